"""The source behind a REST service: keys into calls, calls into one answer a key."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from structlog.typing import FilteringBoundLogger

from app.errors import Code, SourceError
from app.shapes.answer import AnswerSettings, MoreSettings
from app.shapes.key_from import KeyFromSettings
from app.sources.answer import RawAnswer
from app.sources.ask import Ask
from app.sources.base import Call, Record, SourceSpec, UserId
from app.sources.client import ServiceClient
from app.sources.decoding import DecoderFactory, validating_decoder
from app.sources.following import target_of
from app.sources.forms import form_of
from app.sources.merging import ended, merged
from app.sources.reader import reader_of
from app.sources.rows import Rows
from app.sources.seen import See
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
        see: See | None = None,
        fold_case: bool = False,
        decoders: DecoderFactory = validating_decoder,
    ) -> None:
        """Make the source.

        Args:
            spec: What it is.
            client: Asks the service.
            log: Where what is odd is reported.
            foreign_keys: Expressions for other sources' keys in its rows, by the names of these.
            see: Is shown how each record is made, where somebody watches.
            fold_case: Whether keys that differ in case alone are the same, whatever the settings
                say.
            decoders: Makes what reads bytes straight into records.
        """
        self._spec = spec
        self._client = client
        self._form = form_of(spec, client.settings)
        self._reader = reader_of(
            spec, client.settings, foreign_keys, see=see, fold_case=fold_case, decoders=decoders
        )
        self._key_from = client.settings.key_from
        self._log = log

    @property
    def name(self) -> str:
        """What clients, settings and logs call the source."""
        return self._spec.name

    async def fetch_many(
        self, keys: Sequence[UserId], call: Call
    ) -> Sequence[R | SourceError | None]:
        """Fetch what the service has of each user; too many for one call are split.

        Args:
            keys: Users, each once.
            call: What of the incoming request goes on.

        Returns:
            One answer a key, in the order of the keys. ``SOURCE_REJECTED`` for a key that cannot
            be written in the form of the request: the service is not asked for it.
        """
        asks = self._form.asks(keys)
        if len(asks.sent) == 1:
            answers = await self._fetch(asks.sent[0], call)
        else:
            answers = await self._fetch_all(asks.sent, call)
        if asks.refused:
            refused, refusal = set(asks.refused), self._refused(asks.refused, call)
            said = iter(answers)
            answers = [refusal if key in refused else next(said) for key in keys]
        if self._key_from is not None:
            self._tell_unknown(answers, self._key_from, call)
        return answers

    def _tell_unknown(
        self, answers: Sequence[R | SourceError | None], origin: KeyFromSettings, call: Call
    ) -> None:
        """Log how many keys are unknown that another source has for this one, which is odd."""
        if unknown := sum(answer is None for answer in answers):
            self._client.seldom.warn(
                "source.unknown_keys",
                self.name,
                call,
                key_from=origin.source,
                keys=unknown,
            )

    def _refused(self, keys: Sequence[UserId], call: Call) -> SourceError:
        """Say of keys that they cannot be written."""
        self._client.seldom.warn("source.not_written", self.name, call, keys=len(keys))
        call.trace.of(self.name).code = Code.SOURCE_REJECTED
        detail = "the key cannot be written in the form of the request, and was not sent"
        return SourceError(self.name, Code.SOURCE_REJECTED, detail)

    async def _fetch_all(self, asks: Sequence[Ask], call: Call) -> Sequence[R | SourceError | None]:
        """Fetch several batches, as many at the same time as the form says, in order."""
        # Never more than the service may be sent at the same time: one large batch would fill all
        # places to wait, and what is behind them would fail, of itself and of others.
        room = asyncio.Semaphore(self._form.at_a_time)

        async def fetch(ask: Ask) -> Sequence[R | SourceError | None]:
            async with room:
                return await self._fetch(ask, call)

        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(fetch(ask)) for ask in asks]
        return [answer for part in parts for answer in part.result()]

    async def _fetch(self, ask: Ask, call: Call) -> Sequence[R | SourceError | None]:
        """Fetch one batch by one call; where one key may have spoilt it, by halves, once."""
        answers = await self._ask(ask, call)
        failure = answers[0]
        if not (
            isinstance(failure, SourceError)
            and failure.divisible
            and all(answer is failure for answer in answers)
            and len(ask.keys) > 1
            and self._client.guard.take_repetition(2)  # each half is a call
        ):
            return answers
        self._log.info(
            "source.halved",
            **requests_of(call),
            source=self.name,
            keys=len(ask.keys),
            outcome=failure.code.value,
            detail=failure.detail,
        )
        middle = len(ask.keys) // 2
        halves = (
            *self._form.asks(ask.keys[:middle]).sent,
            *self._form.asks(ask.keys[middle:]).sent,
        )
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(self._ask(half, call)) for half in halves]
        return [answer for part in parts for answer in _with_cause(part.result(), failure)]

    async def _ask(self, ask: Ask, call: Call) -> Sequence[R | SourceError | None]:
        """Ask about some users by one call."""

        def read(answer: RawAnswer) -> Rows[R]:
            return self._reader.read(answer, ask.keys)

        rows = await self._client.send(ask, call, read, absent=self._form.absent)
        if not isinstance(rows, Rows):
            return [rows] * len(ask.keys)
        if rows.next is not None:
            shape = self._client.settings.answer or AnswerSettings()
            rows = await self._follow(rows, ask, call, shape.more)
        if rows.odd:
            self._client.seldom.warn(
                "source.odd_rows",
                self.name,
                call,
                malformed=len(rows.malformed),
                first_malformed=rows.malformed[0] if rows.malformed else None,
                duplicate=rows.duplicate,
                unasked=rows.unasked,
            )
        return rows.answers if not rows.unasked else self._doubted(rows, ask, call)

    async def _follow(self, rows: Rows[R], ask: Ask, call: Call, more: MoreSettings) -> Rows[R]:
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
            missing = rows.rest.answer
            keys = tuple(
                key for key, row in zip(ask.keys, rows.answers, strict=True) if row is missing
            )
            page_ask = replace(ask, target=target, keys=keys)
            following = await self._client.send(page_ask, call, read, absent=self._form.absent)
            if isinstance(following, SourceError):
                return ended(rows, following)
            if following is None:
                break
            rows = merged(self.name, rows, following)
        return rows

    def _doubted(self, rows: Rows[R], ask: Ask, call: Call) -> Sequence[R | SourceError | None]:
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
            call,
            severe=True,
            path=ask.path,
            keys=len(ask.keys),
            found=found,
            unasked=rows.unasked,
            hint="the service seems to pass over how it is asked for users: check `request`, and"
            " that rows have the key as it was asked for",
        )
        call.trace.of(self.name).code = Code.SOURCE_MALFORMED
        failure = SourceError(self.name, Code.SOURCE_MALFORMED, detail)
        rest = rows.rest.answer
        return [failure if answer is rest else answer for answer in rows.answers]


def _with_cause(
    answers: Sequence[R | SourceError | None], cause: SourceError
) -> Sequence[R | SourceError | None]:
    """Add to the failure of a half why there are halves."""
    failure = answers[0]
    if not isinstance(failure, SourceError) or any(answer is not failure for answer in answers):
        return answers
    detail = f"{failure.detail} (of a half; all of them: {cause.code.value}, {cause.detail})"
    return [replace(failure, detail=detail)] * len(answers)
