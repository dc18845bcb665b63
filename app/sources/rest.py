"""A source that is a REST service: it turns keys into calls, and responses into source results."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from structlog.typing import FilteringBoundLogger

from app.errors import Code, SourceFailure
from app.settings.response import AnswerSettings, MoreSettings
from app.settings.source import KeyFromSettings
from app.sources.base import Record, RequestContext, SourceSpec, UserId
from app.sources.client import ServiceClient
from app.sources.mapping.contract import Observer
from app.sources.mapping.decoding import DecoderFactory, validating_decoder
from app.sources.mapping.paging import target_of
from app.sources.mapping.reader import ended, merged, reader_of
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
        decoders: DecoderFactory = validating_decoder,
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
            decoders: Creates the decoder from bytes to records.
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
            decoders=decoders,
        )
        self._key_from = client.settings.key_from
        self._log = log

    @property
    def name(self) -> str:
        """Name of the source for clients, settings and logs."""
        return self._spec.name

    async def fetch_many(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> Sequence[R | SourceFailure | None]:
        """Fetch keys from the service, by several calls if they are too many for one.

        Args:
            keys: Keys of users, without duplicates.
            context: The context of the call.

        Returns:
            One source result per key, in the order of ``keys``. A key that the request cannot
            encode is not sent, and gets ``SOURCE_REJECTED``.
        """
        encoded = self._encoder.encode(keys)
        if len(encoded.sent) == 1:
            answers = await self._fetch(encoded.sent[0], context)
        else:
            answers = await self._fetch_all(encoded.sent, context)
        if encoded.refused:
            refused, refusal = set(encoded.refused), self._refusal(encoded.refused, context)
            rest = iter(answers)
            answers = [refusal if key in refused else next(rest) for key in keys]
        if self._key_from is not None:
            self._warn_of_unknown_keys(answers, self._key_from, context)
        return answers

    def _warn_of_unknown_keys(
        self,
        answers: Sequence[R | SourceFailure | None],
        origin: KeyFromSettings,
        context: RequestContext,
    ) -> None:
        """Log how many keys this source does not know although another source has them for it."""
        if unknown := sum(answer is None for answer in answers):
            self._client.seldom.warn(
                "source.unknown_keys",
                self.name,
                context,
                key_from=origin.source,
                keys=unknown,
            )

    def _refusal(self, keys: Sequence[UserId], context: RequestContext) -> SourceFailure:
        """Return the failure of keys that cannot be encoded, and log them."""
        self._client.seldom.warn("source.not_written", self.name, context, keys=len(keys))
        context.trace.for_source(self.name).code = Code.SOURCE_REJECTED
        detail = "the key cannot be written in the form of the request, and was not sent"
        return SourceFailure(self.name, Code.SOURCE_REJECTED, detail)

    async def _fetch_all(
        self, requests: Sequence[UpstreamRequest], context: RequestContext
    ) -> Sequence[R | SourceFailure | None]:
        """Send several requests, at most ``at_a_time`` at once; return their results in order."""
        # Without the limit, one large batch would fill the bulkhead's queue. Then its other calls,
        # and the calls of other batches, would fail.
        semaphore = asyncio.Semaphore(self._encoder.at_a_time)

        async def fetch(request: UpstreamRequest) -> Sequence[R | SourceFailure | None]:
            async with semaphore:
                return await self._fetch(request, context)

        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(fetch(request)) for request in requests]
        return [answer for part in parts for answer in part.result()]

    async def _fetch(
        self, request: UpstreamRequest, context: RequestContext
    ) -> Sequence[R | SourceFailure | None]:
        """Send one request; if one key may have caused its failure, send each half, once."""
        answers = await self._send(request, context)
        failure = answers[0]
        if not (
            isinstance(failure, SourceFailure)
            and failure.divisible
            and all(answer is failure for answer in answers)
            and len(request.keys) > 1
            and self._client.pipeline.take_repetition(2)  # one call for each half
        ):
            return answers
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
        return [answer for part in parts for answer in _with_cause(part.result(), failure)]

    async def _send(
        self, request: UpstreamRequest, context: RequestContext
    ) -> Sequence[R | SourceFailure | None]:
        """Send one request, follow its pages, and return the result of each key."""

        def read(answer: RawAnswer) -> Rows[R]:
            return self._reader.read(answer, request.keys)

        rows = await self._client.send(request, context, read, absent=self._encoder.absent)
        if not isinstance(rows, Rows):
            return [rows] * len(request.keys)
        if rows.next is not None:
            settings = self._client.settings.answer or AnswerSettings()
            rows = await self._follow_pages(rows, request, context, settings.more)
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
        return rows.answers if not rows.unasked else self._check_filter(rows, request, context)

    async def _follow_pages(
        self, rows: Rows[R], request: UpstreamRequest, context: RequestContext, more: MoreSettings
    ) -> Rows[R]:
        """Read further pages until all keys have a row, or no new page follows."""

        def read(answer: RawAnswer) -> Rows[R]:
            return self._reader.read(answer, request.keys)

        visited = {request.target}
        base = self._client.settings.base_url
        while (page := rows.next) is not None and len(visited) < more.max_pages:
            target = target_of(page, request.target, base, more)
            if target is None or target in visited:
                break
            visited.add(target)
            missing = rows.remainder.answer
            keys = tuple(
                key for key, row in zip(request.keys, rows.answers, strict=True) if row is missing
            )
            page_request = replace(request, target=target, keys=keys)
            following = await self._client.send(
                page_request, context, read, absent=self._encoder.absent
            )
            if isinstance(following, SourceFailure):
                return ended(rows, following)
            if following is None:
                break
            rows = merged(self.name, rows, following)
        return rows

    def _check_filter(
        self, rows: Rows[R], request: UpstreamRequest, context: RequestContext
    ) -> Sequence[R | SourceFailure | None]:
        """Detect a service that ignored the filter, by rows that were not requested.

        It did if no row was requested, or if there are more rows than requested keys. Rows of
        requested keys are right even then. But a key without a row gets a failure, because the
        service may know it: "no such user" would be a guess.
        """
        found = rows.found
        if found and found + rows.unasked <= len(request.keys):
            return rows.answers
        detail = f"{rows.unasked} rows that were not requested, and {found} that were"
        self._client.seldom.warn(
            "source.question_ignored",
            self.name,
            context,
            severe=True,
            path=request.path,
            keys=len(request.keys),
            found=found,
            unasked=rows.unasked,
            hint="the service seems to ignore the keys in the request: check `request`, and"
            " that each row has its key as it was sent",
        )
        context.trace.for_source(self.name).code = Code.SOURCE_MALFORMED
        failure = SourceFailure(self.name, Code.SOURCE_MALFORMED, detail)
        rest = rows.remainder.answer
        return [failure if answer is rest else answer for answer in rows.answers]


def _with_cause(
    answers: Sequence[R | SourceFailure | None], cause: SourceFailure
) -> Sequence[R | SourceFailure | None]:
    """Add the failure of the whole request to the failure of a half."""
    failure = answers[0]
    if not isinstance(failure, SourceFailure) or any(answer is not failure for answer in answers):
        return answers
    detail = f"{failure.detail} (of a half; all of them: {cause.code.value}, {cause.detail})"
    return [replace(failure, detail=detail)] * len(answers)
