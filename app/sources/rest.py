"""The source behind a REST service: keys into calls, calls into one answer a key."""

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
    """Answers for many users at once, as its ``SourceSpec`` and its settings say. A ``Source``."""

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
        """Make the source.

        Args:
            spec: What it is.
            client: Asks the service.
            log: Where what is odd is reported.
            foreign_keys: Expressions for other sources' keys in its rows, by the names of these.
            observer: Is shown how each record is made, where somebody watches.
            fold_case: Whether keys that differ in case alone are the same, whatever the settings
                say.
            decoders: Makes what reads bytes straight into records.
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
        """What clients, settings and logs call the source."""
        return self._spec.name

    async def fetch_many(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> Sequence[R | SourceFailure | None]:
        """Fetch what the service has of each user; too many for one call are split.

        Args:
            keys: Users, each once.
            context: What of the incoming request goes on.

        Returns:
            One answer a key, in the order of the keys. ``SOURCE_REJECTED`` for a key that cannot
            be written in the form of the request: the service is not asked for it.
        """
        asks = self._encoder.encode(keys)
        if len(asks.sent) == 1:
            answers = await self._fetch(asks.sent[0], context)
        else:
            answers = await self._fetch_all(asks.sent, context)
        if asks.refused:
            refused, refusal = set(asks.refused), self._refused(asks.refused, context)
            said = iter(answers)
            answers = [refusal if key in refused else next(said) for key in keys]
        if self._key_from is not None:
            self._tell_unknown(answers, self._key_from, context)
        return answers

    def _tell_unknown(
        self,
        answers: Sequence[R | SourceFailure | None],
        origin: KeyFromSettings,
        context: RequestContext,
    ) -> None:
        """Log how many keys are unknown that another source has for this one, which is odd."""
        if unknown := sum(answer is None for answer in answers):
            self._client.seldom.warn(
                "source.unknown_keys",
                self.name,
                context,
                key_from=origin.source,
                keys=unknown,
            )

    def _refused(self, keys: Sequence[UserId], context: RequestContext) -> SourceFailure:
        """Say of keys that they cannot be written."""
        self._client.seldom.warn("source.not_written", self.name, context, keys=len(keys))
        context.trace.for_source(self.name).code = Code.SOURCE_REJECTED
        detail = "the key cannot be written in the form of the request, and was not sent"
        return SourceFailure(self.name, Code.SOURCE_REJECTED, detail)

    async def _fetch_all(
        self, asks: Sequence[UpstreamRequest], context: RequestContext
    ) -> Sequence[R | SourceFailure | None]:
        """Fetch several batches, as many at the same time as the form says, in order."""
        # Never more than the service may be sent at the same time: one large batch would fill all
        # places to wait, and what is behind them would fail, of itself and of others.
        room = asyncio.Semaphore(self._encoder.at_a_time)

        async def fetch(ask: UpstreamRequest) -> Sequence[R | SourceFailure | None]:
            async with room:
                return await self._fetch(ask, context)

        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(fetch(ask)) for ask in asks]
        return [answer for part in parts for answer in part.result()]

    async def _fetch(
        self, ask: UpstreamRequest, context: RequestContext
    ) -> Sequence[R | SourceFailure | None]:
        """Fetch one batch by one call; where one key may have spoilt it, by halves, once."""
        answers = await self._ask(ask, context)
        failure = answers[0]
        if not (
            isinstance(failure, SourceFailure)
            and failure.divisible
            and all(answer is failure for answer in answers)
            and len(ask.keys) > 1
            and self._client.pipeline.take_repetition(2)  # each half is a call
        ):
            return answers
        self._log.info(
            "source.halved",
            **requests_of(context),
            source=self.name,
            keys=len(ask.keys),
            outcome=failure.code.value,
            detail=failure.detail,
        )
        middle = len(ask.keys) // 2
        halves = (
            *self._encoder.encode(ask.keys[:middle]).sent,
            *self._encoder.encode(ask.keys[middle:]).sent,
        )
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(self._ask(half, context)) for half in halves]
        return [answer for part in parts for answer in _with_cause(part.result(), failure)]

    async def _ask(
        self, ask: UpstreamRequest, context: RequestContext
    ) -> Sequence[R | SourceFailure | None]:
        """Ask about some users by one call."""

        def read(answer: RawAnswer) -> Rows[R]:
            return self._reader.read(answer, ask.keys)

        rows = await self._client.send(ask, context, read, absent=self._encoder.absent)
        if not isinstance(rows, Rows):
            return [rows] * len(ask.keys)
        if rows.next is not None:
            shape = self._client.settings.answer or AnswerSettings()
            rows = await self._follow(rows, ask, context, shape.more)
        if rows.odd:
            self._client.seldom.warn(
                "source.odd_rows",
                self.name,
                context,
                malformed=len(rows.malformed),
                first_malformed=rows.malformed[0] if rows.malformed else None,
                duplicate=rows.duplicate,
                unasked=rows.unasked,
            )
        return rows.answers if not rows.unasked else self._doubted(rows, ask, context)

    async def _follow(
        self, rows: Rows[R], ask: UpstreamRequest, context: RequestContext, more: MoreSettings
    ) -> Rows[R]:
        """Read on, page by page, until all users are found or there is nowhere new to go."""

        def read(answer: RawAnswer) -> Rows[R]:
            return self._reader.read(answer, ask.keys)

        seen = {ask.target}
        base = self._client.settings.base_url
        while (page := rows.next) is not None and len(seen) < more.max_pages:
            target = target_of(page, ask.target, base, more)
            if target is None or target in seen:
                break
            seen.add(target)
            missing = rows.remainder.answer
            keys = tuple(
                key for key, row in zip(ask.keys, rows.answers, strict=True) if row is missing
            )
            page_ask = replace(ask, target=target, keys=keys)
            following = await self._client.send(
                page_ask, context, read, absent=self._encoder.absent
            )
            if isinstance(following, SourceFailure):
                return ended(rows, following)
            if following is None:
                break
            rows = merged(self.name, rows, following)
        return rows

    def _doubted(
        self, rows: Rows[R], ask: UpstreamRequest, context: RequestContext
    ) -> Sequence[R | SourceFailure | None]:
        """Tell whether the service asked itself another question, by rows that nobody asked for.

        It did where none of the rows was asked for, or where there are more users in them than
        were asked for: it has passed over what it was asked, and told of anybody, or of those whom
        it took the keys for. What it has of the users asked for is theirs all the same. But who is
        not in such an answer may be known to it, so "no such user" would be a guess.
        """
        found = rows.found
        if found and found + rows.unasked <= len(ask.keys):
            return rows.answers
        detail = f"{rows.unasked} rows that nobody asked for, and {found} that somebody did"
        self._client.seldom.warn(
            "source.question_ignored",
            self.name,
            context,
            severe=True,
            path=ask.path,
            keys=len(ask.keys),
            found=found,
            unasked=rows.unasked,
            hint="the service seems to pass over how it is asked for users: check `request`, and"
            " that rows have the key as it was asked for",
        )
        context.trace.for_source(self.name).code = Code.SOURCE_MALFORMED
        failure = SourceFailure(self.name, Code.SOURCE_MALFORMED, detail)
        rest = rows.remainder.answer
        return [failure if answer is rest else answer for answer in rows.answers]


def _with_cause(
    answers: Sequence[R | SourceFailure | None], cause: SourceFailure
) -> Sequence[R | SourceFailure | None]:
    """Add to the failure of a half why there are halves."""
    failure = answers[0]
    if not isinstance(failure, SourceFailure) or any(answer is not failure for answer in answers):
        return answers
    detail = f"{failure.detail} (of a half; all of them: {cause.code.value}, {cause.detail})"
    return [replace(failure, detail=detail)] * len(answers)
