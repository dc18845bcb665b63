"""A source that is a REST service: it turns keys into calls, and responses into source results."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger

from app.errors import Code, SourceFailure
from app.expressions.expression import NO_RESPONSE
from app.settings.response import AnswerSettings
from app.settings.source import KeyFromSettings
from app.sources.base import (
    FetchResult,
    Record,
    RequestContext,
    SourceResult,
    SourceSpec,
    UserId,
    joined_fetches,
)
from app.sources.client import ServiceClient
from app.sources.division import fetch_parts
from app.sources.failed_items import FailedItems
from app.sources.mapping.contract import Observer
from app.sources.mapping.decoding import BY_LIBRARIES, ReadMethods
from app.sources.mapping.paging import target_of
from app.sources.mapping.reader import ended
from app.sources.mapping.readers import reader_of
from app.sources.mapping.requests import UpstreamRequest, encoder_of
from app.sources.mapping.rows import RawAnswer, Rows
from app.sources.seldom import requests_of

R = TypeVar("R", bound=Record)


class RestSource(Generic[R]):
    """A ``Source`` that calls a REST service, by its ``SourceSpec`` and its settings."""

    def __init__(
        self,
        spec: SourceSpec[R],
        client: ServiceClient,
        log: FilteringBoundLogger,
        foreign_keys: Mapping[str, str] | None = None,
        *,
        observer: Observer | None = None,
        fold_case: bool = False,
        methods: ReadMethods = BY_LIBRARIES,
    ) -> None:
        """Create the source.

        Args:
            spec: The source as data.
            client: The client of the service.
            log: Where divided calls are logged.
            foreign_keys: Expressions for keys of other sources in its rows, by source name.
            observer: Called for each record with how it was made; ``None`` for no observer.
            fold_case: Whether keys that differ only in case are the same, whatever the settings
                say.
            methods: How rows are decoded and expressions evaluated.
        """
        self._spec = spec
        self._client = client
        self._encoder = encoder_of(spec, client.settings)
        self._reader = reader_of(
            spec,
            client.settings,
            foreign_keys,
            observer=observer,
            fold_case=fold_case,
            methods=methods,
        )
        answer = client.settings.answer
        self._has_items = answer is not None and answer.parts is not None
        self._origins = client.settings.origins
        self._log = log

    @property
    def name(self) -> str:
        """Name of the source for clients, settings and logs."""
        return self._spec.name

    async def fetch_many(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> FetchResult[SourceResult[R]]:
        """Fetch keys from the service, by several calls if they are too many for one.

        Args:
            keys: Keys of users, without duplicates.
            context: The context of the call.

        Returns:
            One source result per key, in the order of ``keys``. A key that the request cannot
            encode is not sent, and gets ``SOURCE_REJECTED``.
        """
        encoded = self._encoder.encode(keys)
        fetched = await fetch_parts(
            encoded.sent,
            lambda request: self._fetch(request, context),
            at_a_time=self._encoder.at_a_time,
        )
        if encoded.refused:
            fetched = self._with_refused(fetched, keys, encoded.refused, context)
        if self._origins:
            self._warn_of_unknown_keys(fetched.results, self._origins, context)
        return fetched

    def _warn_of_unknown_keys(
        self,
        answers: Sequence[SourceResult[R]],
        origins: Sequence[KeyFromSettings],
        context: RequestContext,
    ) -> None:
        """Log how many keys this source does not know although another source has them for it."""
        if unknown := sum(answer is None for answer in answers):
            self._client.seldom.warn(
                "source.unknown_keys",
                self.name,
                context,
                key_from=", ".join(origin.source for origin in origins),
                keys=unknown,
            )

    def _with_refused(
        self,
        fetched: FetchResult[SourceResult[R]],
        keys: Sequence[UserId],
        refused: Sequence[UserId],
        context: RequestContext,
    ) -> FetchResult[SourceResult[R]]:
        """Add the failure of keys that cannot be encoded, and log them."""
        self._client.seldom.warn("source.not_written", self.name, context, keys=len(refused))
        detail = "the key cannot be written in the form of the request, and was not sent"
        refusal = SourceFailure(self.name, Code.SOURCE_REJECTED, detail, unwritten=True)
        not_sent, others = set(refused), iter(fetched.results)
        results = [refusal if key in not_sent else next(others) for key in keys]
        trace = replace(fetched.trace, code=Code.SOURCE_REJECTED)
        return FetchResult(results, trace, fetched.arrivals)

    async def _fetch(
        self, request: UpstreamRequest, context: RequestContext
    ) -> FetchResult[SourceResult[R]]:
        """Send one request; if one key may have caused its failure, send each half, once."""
        fetched = await self._send(request, context)
        failure = _failure_of_all(fetched.results)
        if not (
            failure is not None
            and failure.divisible
            and len(request.keys) > 1
            and self._client.pipeline.take_extra_calls(2)  # one call for each half
        ):
            return fetched
        self._log.info(
            "source.halved",
            **requests_of(context),
            source=self.name,
            keys=len(request.keys),
            outcome=failure.code.value,
            detail=failure.detail,
        )
        middle = len(request.keys) // 2
        halves = (
            *self._encoder.encode(request.keys[:middle]).sent,
            *self._encoder.encode(request.keys[middle:]).sent,
        )
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(self._send(half, context)) for half in halves]
        return joined_fetches(
            [_with_cause(part.result(), failure) for part in parts], before=fetched.trace
        )

    async def _send(
        self, request: UpstreamRequest, context: RequestContext
    ) -> FetchResult[SourceResult[R]]:
        """Send one request, follow its pages, and return the result of each key."""

        def read(answer: RawAnswer) -> Rows[Any]:
            return self._reader.read(answer, request.keys)

        absent = self._encoder.absent
        items = FailedItems(self._reader, self._encoder, request) if self._has_items else None
        reply = await self._client.send(
            request, context, read if items is None else items.read, absent=absent
        )
        rows, trace, arrivals = reply.value, reply.trace, reply.arrivals
        if items is not None and items.rows is not None:
            rows = items.rows
        if isinstance(rows, SourceFailure):
            return FetchResult([rows] * len(request.keys), trace, arrivals)
        if rows is None:
            unknown = [self._reader.unknown(key, NO_RESPONSE) for key in request.keys]
            return FetchResult(unknown, trace, arrivals)
        visited = {request.target}
        while (page := self._following(rows, request, visited)) is not None:
            visited.add(page.target)
            reply = await self._client.send(page, context, read, absent=absent)
            trace.add(reply.trace)
            arrivals = {**arrivals, **reply.arrivals}
            if isinstance(reply.value, SourceFailure):
                rows = ended(rows, reply.value)
            elif reply.value is not None:
                rows = self._reader.merged(rows, reply.value)
            else:
                break
        answers = self._reader.results(rows, request.keys)
        if rows.unexpected:
            self._client.seldom.warn(
                "source.odd_rows",
                self.name,
                context,
                malformed=len(rows.malformed),
                first_malformed=rows.malformed[0] if rows.malformed else None,
                duplicate=rows.duplicate,
                unasked=rows.unasked,
            )
        if rows.unasked:
            answers = self._without_guesses(answers, rows, request, context)
            trace.code = Code.SOURCE_MALFORMED
        return FetchResult(answers, trace, arrivals)

    def _following(
        self, rows: Rows[R], request: UpstreamRequest, visited: Collection[str]
    ) -> UpstreamRequest | None:
        """Return the request of the next page; ``None`` if all keys have a row, or none follows."""
        settings = self._client.settings
        if rows.next is None:
            return None
        more = (settings.answer or AnswerSettings()).more
        target = target_of(rows.next, request.target, settings.base_url, more)
        if target is None or target in visited or len(visited) >= more.max_pages:
            return None
        keys = tuple(
            key
            for place, (key, answer) in enumerate(zip(request.keys, rows.answers, strict=True))
            if rows.needs_more(answer) or place in rows.other_case
        )
        return replace(request, target=target, keys=keys)

    def _without_guesses(
        self,
        answers: Sequence[SourceResult[R]],
        rows: Rows[Any],
        request: UpstreamRequest,
        context: RequestContext,
    ) -> Sequence[SourceResult[R]]:
        """Return the results of a service that did not apply the filter as it should.

        Rows of requested keys are right even then. But a key without a row gets a failure, because
        the service may know it: "no such user" would be a guess. That does not depend on how many
        rows there are, because the result of a key must not depend on the other requested keys.
        """
        detail = f"{rows.unasked} rows that were not requested, and {rows.found} that were"
        self._client.seldom.warn(
            "source.question_ignored",
            self.name,
            context,
            severe=True,
            path=request.path,
            keys=len(request.keys),
            found=rows.found,
            unasked=rows.unasked,
            hint="the service seems to ignore the keys in the request: check `request`, and"
            " that each row has its key as it was sent",
        )
        failure = SourceFailure(self.name, Code.SOURCE_MALFORMED, detail)
        rest, pairs = rows.remainder.answer, zip(rows.answers, answers, strict=True)
        return [failure if found is rest else answer for found, answer in pairs]


def _failure_of_all(results: Sequence[SourceResult[R]]) -> SourceFailure | None:
    """Return the failure of a whole request; ``None`` if it did not fail as a whole."""
    failure = results[0]
    if isinstance(failure, SourceFailure) and all(result is failure for result in results):
        return failure
    return None


def _with_cause(
    half: FetchResult[SourceResult[R]], cause: SourceFailure
) -> FetchResult[SourceResult[R]]:
    """Add the failure of the whole request to the failure of a half."""
    failure = _failure_of_all(half.results)
    if failure is None:
        return half
    detail = f"{failure.detail} (of a half; all of them: {cause.code.value}, {cause.detail})"
    return replace(half, results=[replace(failure, detail=detail)] * len(half.results))
