"""Calls a source of a module through the resilience pipeline, as services are called."""

import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from inspect import iscoroutine
from typing import Any, Generic, TypeGuard, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger

from app.errors import Code, ConfigurationError, SourceFailure, bare
from app.expressions.ids import folded
from app.observability.telemetry import Telemetry
from app.resilience.breaker import BreakerState
from app.resilience.clock import Clock, Deadline
from app.resilience.pace import PaceState
from app.resilience.pipeline import ResiliencePipeline
from app.resilience.tasks import ends_task
from app.settings.resilience import DeadlineSettings
from app.settings.source import SourceSettings
from app.sources.base import (
    DamagedRecord,
    FetchResult,
    Record,
    RequestContext,
    SourceResult,
    UserId,
)
from app.sources.call_log import log_attempt, log_call
from app.sources.client import LastContact, Reply
from app.sources.division import divided, fetch_parts
from app.sources.own.contract import (
    FAULTS,
    OPEN_EXPECTED,
    FetchPage,
    ListQuery,
    ListSource,
    OwnSource,
    ReadFailure,
    RowSource,
    SourceCall,
    source_failure,
)
from app.sources.own.records import OwnRecords
from app.sources.seldom import SeldomLog, requests_of
from app.sources.telemetry import SourceTelemetry
from app.sources.trace import trace_of_call

R = TypeVar("R", bound=Record)
T = TypeVar("T")

Ask = Callable[[SourceCall], Awaitable[object]]
"""Calls the module."""

_FAULT_CODES = frozenset(Code(one.value) for one in FAULTS)


class _AskedKeys(Struct, Generic[R]):
    """The keys of one call, and their results so far. Retries ask for failed keys only.

    Attributes:
        keys: All keys.
        results: The results so far.
        left: The keys that are asked for next.
    """

    keys: Sequence[UserId]
    results: dict[UserId, SourceResult[R]]
    left: Sequence[UserId]

    def add(self, results: Mapping[UserId, SourceResult[R]]) -> SourceFailure | None:
        """Add results, and find out whether keys have to be asked for again.

        Args:
            results: The results of one attempt.

        Returns:
            The failure of the call; ``None`` if a retry would give no more.
        """
        for key, result in results.items():
            before = self.results.get(key, _NOTHING)
            if before is _NOTHING or isinstance(before, SourceFailure):  # a hedged call has both
                self.results[key] = result
        failed = [
            (key, result)
            for key in self.keys
            if isinstance(result := self.results.get(key), SourceFailure)
            and result.code in _FAULT_CODES
        ]
        if not failed:
            return None
        self.left = [key for key, _ in failed]
        first, count = failed[0][1], len(self.keys)
        detail = f"{len(failed)} of {count} keys: {first.detail}" if count > 1 else first.detail
        return replace(first, detail=detail, partial=len(failed) < count)

    def all_results(self, rest: SourceFailure | None) -> Sequence[SourceResult[R]]:
        """Return the result of each key.

        Args:
            rest: The failure of the call, for keys without a result.

        Returns:
            The results, in the order of the keys.
        """
        if rest is None:
            return [self.results[key] for key in self.keys]  # each has one
        return [self.results.get(key, rest) for key in self.keys]


_NOTHING = object()

MAX_NAMES = 20
"""The most members of rows that a line of the log names."""

MAX_NAME = 64
"""The most characters of each."""


class OwnService(Generic[R]):
    """A ``Source`` whose rows a module gives.

    Args:
        own: The source.
        rows: What gives the rows.
        settings: The limits of the source.
        pipeline: The resilience pipeline.
        deadlines: ``reserve`` is subtracted from the time of a request.
        clock: The clock.
        log: Where calls are logged.
        telemetry: Where calls are counted.
        fold_case: Whether keys that differ only in case are the same.

    Attributes:
        name: Name of the source.
        settings: The limits of the source.
        contact: The last call that brought something; ``None`` before the first.
        seldom: Rate-limited warnings.
    """

    def __init__(
        self,
        own: OwnSource,
        rows: RowSource,
        settings: SourceSettings,
        *,
        pipeline: ResiliencePipeline,
        deadlines: DeadlineSettings,
        clock: Clock,
        log: FilteringBoundLogger,
        telemetry: Telemetry,
        fold_case: bool,
    ) -> None:
        self.name = own.name
        self.settings = settings
        self.contact: LastContact | None = None
        self.seldom = SeldomLog(log, clock)
        self.own = own
        self._rows = rows
        self._pipeline = pipeline
        self._deadlines = deadlines
        self._clock = clock
        self._log = log
        self._telemetry = SourceTelemetry(telemetry)
        self._folded = partial(folded, fold_case=fold_case)
        self._records = OwnRecords[R](own, self._folded)

    @property
    def address(self) -> str:
        """What people read in the place of an address."""
        return f"module {self.own.module}"

    @property
    def circuit(self) -> BreakerState:
        """State of the circuit breaker."""
        return self._pipeline.state

    @property
    def pace_state(self) -> PaceState:
        """State of the rate pacing."""
        return self._pipeline.pace_state

    def is_congested(self) -> bool:
        """Return whether calls wait before they are made, for any reason."""
        return self._pipeline.congested

    async def fetch_many(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> FetchResult[SourceResult[R]]:
        """Fetch the records of users, by several calls if they are too many for one.

        Args:
            keys: Keys of users, without duplicates.
            context: The context of the call; its ``fields`` are the wanted ones if the source
                selects.

        Returns:
            One source result per key, in the order of ``keys``.
        """
        return await fetch_parts(
            divided(keys, self.settings.max_keys),
            lambda part: self._fetch(part, context),
            at_a_time=self.settings.max_calls,
        )

    async def fetch_page(
        self,
        query: ListQuery,
        context: RequestContext,
        read: Callable[[object], T | SourceFailure],
    ) -> Reply[T]:
        """Fetch a page of a list.

        Args:
            query: The page.
            context: The context of the call.
            read: Converts what the module returns to a value or a failure.

        Returns:
            The value or the failure, and what the call did.
        """
        fetch = self._page_function(query.name)

        async def attempt(seconds: float) -> T | SourceFailure:
            call = self._call(context, seconds)
            return await self._attempt(
                lambda: fetch(query, call), read, context, seconds, keys=1, list=query.name
            )

        return await self._run(attempt, context, keys=1, limit=self.settings.page_timeout)

    def _page_function(self, name: str) -> FetchPage:
        """Return what fetches the pages of a list."""
        own = self.own.lists[name].fetch
        # The object has the method: it was looked for when the source was opened.
        return cast("ListSource", self._rows).fetch_page if own is None else own

    async def _fetch(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> FetchResult[SourceResult[R]]:
        """Make one call for the rows of users."""
        asked = _AskedKeys[R](keys, {}, keys)

        async def attempt(seconds: float) -> SourceFailure | None:
            left, call = asked.left, self._call(context, seconds)

            def read(answer: object) -> SourceFailure | None:
                if isinstance(answer, ReadFailure):
                    return source_failure(self.name, answer)
                if not isinstance(answer, Mapping):
                    what = f"fetch has returned {type(answer).__name__}: expected rows by key"
                    return SourceFailure(self.name, Code.SOURCE_MALFORMED, what)
                rows = cast("Mapping[str, object]", answer)
                return asked.add(self._results(left, rows, call, context))

            # A copy, since a module that changed the list would mix up whose rows these are.
            return await self._attempt(
                lambda: self._rows.fetch([*left], call), read, context, seconds, keys=len(left)
            )

        reply = await self._run(attempt, context, keys=len(keys), limit=self.settings.timeout)
        results = asked.all_results(reply.value)
        failures = (one.code for one in results if isinstance(one, SourceFailure))
        reply.trace.code = reply.trace.code or next(failures, None)
        return FetchResult(results, reply.trace)

    async def _run(
        self,
        attempt: Callable[[float], Awaitable[T | SourceFailure]],
        context: RequestContext,
        *,
        keys: int,
        limit: float,
    ) -> Reply[T]:
        """Make a call through the pipeline."""
        started = self._clock.monotonic()
        span = self._telemetry.begin_span(context.trace)
        outcome = await self._pipeline.run(
            attempt,
            limit=limit,
            deadline=context.deadline or Deadline(math.inf, self._clock),
            reserve=self._deadlines.reserve,
            isolated=context.isolated,
            divisible=context.divisible,
            requests=len(context.requests) or 1,
        )
        trace = trace_of_call(
            outcome,
            keys=keys,
            started=started,
            ended=self._clock.monotonic(),
            circuit=self.circuit,
            pace=self.pace_state,
        )
        self._telemetry.record_call(self.name, trace.timeline[0], span, context.trace)
        log_call(self._log, context, self.name, outcome)
        return Reply(outcome.answer, trace)

    def _call(self, context: RequestContext, seconds: float) -> SourceCall:
        """Make the ``SourceCall`` that the module gets."""
        trace = context.trace
        return SourceCall(
            context.request_id,
            None if trace is None else trace.child().traceparent,
            seconds,
            context.fields if self.own.selects else None,
        )

    async def _attempt(
        self,
        ask: Callable[[], Awaitable[object]],
        read: Callable[[object], T | SourceFailure],
        context: RequestContext,
        seconds: float,
        *,
        keys: int,
        **facts: object,
    ) -> T | SourceFailure:
        """Ask the module within so many seconds, read what it returns, and log it."""
        started = self._clock.monotonic()
        answer: T | SourceFailure
        try:
            async with self._clock.timeout(seconds):
                found = await ask()
                if isinstance(found, Mapping):  # it may be any code of the module's
                    found = {**cast("Mapping[object, object]", found)}
        except TimeoutError:
            answer = self._failure(Code.SOURCE_TIMEOUT, "no answer within the timeout")
        except BaseException as error:  # the module's code may raise anything, such as SystemExit
            if ends_task(error):
                raise
            detail = f"the module has raised {type(error).__name__}"
            answer = self._failure(Code.SOURCE_UNAVAILABLE, detail)
            self._log.warning(
                "extension.source_failed",
                **requests_of(context),
                source=self.name,
                module=self.own.module,
                **facts,
                exc_info=error,
            )
            bare(error)
        else:
            answer = read(found)
        if not isinstance(answer, SourceFailure) or answer.partial:
            self.contact = LastContact(self._clock.now(), None)
        seconds = self._clock.monotonic() - started
        log_attempt(self._log, context, self.name, answer, keys=keys, seconds=seconds, facts=facts)
        return answer

    def _failure(self, code: Code, detail: str) -> SourceFailure:
        """Make a failure that a retry may mend."""
        return SourceFailure(self.name, code, detail, retryable=True)

    def _results(
        self,
        keys: Sequence[UserId],
        rows: Mapping[str, object],
        call: SourceCall,
        context: RequestContext,
    ) -> Mapping[UserId, SourceResult[R]]:
        """Make the result of each key of its row.

        A key without a row gets a failure if there are rows that nobody asked for: the source may
        have looked for other users than it should.
        """
        absent: SourceFailure | None = None
        by_key = {self._folded(str(key)): row for key, row in rows.items()}
        if unasked := len(by_key.keys() - {*map(self._folded, keys)}):
            detail = f"{unasked} rows that were not requested"
            absent = SourceFailure(self.name, Code.SOURCE_MALFORMED, detail)
        given = {key: by_key[own] for key in keys if (own := self._folded(key)) in by_key}
        made = {key: self._records.result(key, row, call.fields) for key, row in given.items()}
        self._warn_of_rows(made, given, call, context, unasked=unasked)
        return {key: made.get(key, absent) for key in keys}

    def _warn_of_rows(
        self,
        made: Mapping[UserId, SourceResult[R]],
        rows: Mapping[UserId, object],
        call: SourceCall,
        context: RequestContext,
        *,
        unasked: int,
    ) -> None:
        """Log rows that do not fit, and members that may be misspelt. Both would be a riddle."""
        wrong = [
            next(iter(one.failures.values())) if isinstance(one, DamagedRecord) else one
            for key, one in made.items()
            if isinstance(one, DamagedRecord | SourceFailure)
            and not isinstance(rows[key], ReadFailure)  # the module knows of it
        ]
        if wrong or unasked:
            self.seldom.warn(
                "source.odd_rows",
                self.name,
                context,
                malformed=len(wrong),
                first_malformed=wrong[0].detail if wrong else None,
                unasked=unasked,
            )
        odd = [self._records.odd_members(row, call.fields) for row in rows.values()]
        if any(members for members, _ in odd):
            self.seldom.warn(
                "extension.odd_members",
                self.name,
                context,
                module=self.own.module,
                members=_some(name for members, _ in odd for name in members),
                missing=_some(name for _, missing in odd for name in missing),
            )


def _some(names: Iterable[str]) -> Sequence[str]:
    """Return names for the log: not more, and not longer, than people read."""
    return [one[:MAX_NAME] for one in sorted({*names})[:MAX_NAMES]]


@asynccontextmanager
async def open_own(
    own: OwnSource,
    settings: SourceSettings,
    pipeline: ResiliencePipeline,
    *,
    deadlines: DeadlineSettings,
    clock: Clock,
    log: FilteringBoundLogger,
    telemetry: Telemetry,
    fold_case: bool,
) -> AsyncGenerator[OwnService[Any]]:
    """Open a source of a module for the life of the process.

    Args:
        own: The source.
        settings: Its limits.
        pipeline: Its resilience pipeline.
        deadlines: The time budget of a request.
        clock: The clock.
        log: Where calls are logged.
        telemetry: Where calls are counted, and their spans go.
        fold_case: Whether keys that differ only in case are the same.

    Yields:
        The source. The module closes it at the end.

    Raises:
        ConfigurationError: The module cannot open the source, or what it opens lacks a method that
            is needed.
    """
    async with AsyncExitStack() as stack:
        rows = await _entered(own, stack)
        _check_methods(own, rows)
        yield OwnService(
            own,
            rows,
            settings,
            pipeline=pipeline,
            deadlines=deadlines,
            clock=clock,
            log=log,
            telemetry=telemetry,
            fold_case=fold_case,
        )


def _is_context(value: object) -> TypeGuard[AbstractAsyncContextManager[RowSource]]:
    """Return whether a value is an async context manager."""
    return hasattr(type(value), "__aenter__") and hasattr(type(value), "__aexit__")


async def _entered(own: OwnSource, stack: AsyncExitStack) -> RowSource:
    """Enter what a module opens for a source, and refuse what cannot be entered."""
    about = f"module {own.module}: open of the source {own.name}"
    try:
        opened: object = own.open()
        if _is_context(opened):
            return await stack.enter_async_context(opened)
    except BaseException as error:  # the module's code may raise anything, such as SystemExit
        if ends_task(error):
            raise
        what = f"{about} has raised {type(error).__name__}: {error}".rstrip(": ")
        raise ConfigurationError((f"{what}.",)) from error
    if iscoroutine(opened):
        opened.close()  # nobody awaits it
    what = f"{about} returns {type(opened).__name__}: {OPEN_EXPECTED}."
    raise ConfigurationError((what,))


def _check_methods(own: OwnSource, rows: object) -> None:
    """Refuse what a module has opened if it lacks a method that is needed."""
    lists = [name for name, one in own.lists.items() if one.fetch is None]
    needed = {"fetch": "every source", **({"fetch_page": f"the list {lists[0]}"} if lists else {})}
    mistakes = tuple(
        f"module {own.module}: what the source {own.name} opens is {type(rows).__name__}, which has"
        f" no method {name}: expected it, for {why}."
        for name, why in needed.items()
        if not callable(getattr(rows, name, None))
    )
    if mistakes:
        raise ConfigurationError(mistakes)
