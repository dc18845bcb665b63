"""Sources of a Python module: a database, gRPC, or anything else that is not REST.

The module opens its client and gives rows. All that protects the gateway and its other sources is
the same as for a service: timeout, circuit breaker, bulkhead, retries, and batches.
"""

import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, cast

from pydantic import ValidationError
from structlog.typing import FilteringBoundLogger

from app.errors import Code, SourceFailure, bare, mistakes_in
from app.expressions.ids import folded
from app.resilience.breaker import BreakerState
from app.resilience.clock import Clock, Deadline
from app.resilience.pace import PaceState
from app.resilience.pipeline import ResiliencePipeline
from app.settings.resilience import DeadlineSettings
from app.settings.source import SourceSettings
from app.sources.base import (
    DamagedRecord,
    FetchResult,
    Record,
    RequestContext,
    SourceResult,
    SourceSpec,
    SourceTrace,
    UserId,
    child_of,
)
from app.sources.client import LastContact
from app.sources.division import divided, fetch_parts
from app.sources.seldom import requests_of

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class SourceCall:
    """One call to a source of a module.

    Attributes:
        request_id: The id of the request, or of the batch that several requests share, for logs.
        traceparent: The trace, for services that take it (W3C Trace Context); ``None`` if the
            client sent none.
        seconds: How long the call may take. It is cancelled then.
    """

    request_id: str
    traceparent: str | None
    seconds: float


class RowSource(Protocol):
    """Gives the rows of many users at once. A module writes it."""

    async def fetch(
        self, keys: Sequence[str], call: SourceCall
    ) -> Mapping[str, Mapping[str, object]]:
        """Fetch rows.

        Async because it waits for what has the rows.

        Args:
            keys: Keys of users, without duplicates, as many as ``max_keys`` allows.
            call: The call.

        Returns:
            The row of each user that is known, by key: the values of the record's fields, by their
            names in Python. What a row lacks is ``None``. A key that is missing here means that
            there is no such user.

        Raises:
            TimeoutError: The rows did not come in time (``SOURCE_TIMEOUT``).
            Exception: The rows cannot be had (``SOURCE_UNAVAILABLE``).
        """
        ...


@dataclass(frozen=True, slots=True)
class OwnSource:
    """A source that a module brings.

    Attributes:
        name: Its name, for settings, logs and clients: small letters, digits and ``_``.
        record: The type of its rows.
        key: The field of the record that has the user's key.
        open: Opens what the source needs when the gateway starts, and closes it at the end.
        module: The module; the gateway fills it in.
    """

    name: str
    record: type[Record]
    key: str
    open: Callable[[], AbstractAsyncContextManager[RowSource]]
    module: str = field(default="", compare=False)

    @property
    def spec(self) -> SourceSpec[Any]:
        """The source as the rest of the gateway knows it.

        Raises:
            TypeError: The record lacks the key, or needs more than that.
        """
        if self.key not in self.record.model_fields:
            raise TypeError(f"{self.record.__name__} has no field {self.key}")
        return SourceSpec(self.name, self.record, path="", parameter="", key=self.key)


@dataclass(slots=True)
class _FoundRows:
    """The rows of one call."""

    rows: Mapping[str, Mapping[str, object]]


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
        fold_case: Whether keys that differ only in case are the same.

    Attributes:
        name: Name of the source.
        settings: The limits of the source.
        contact: The last call that brought rows; ``None`` before the first.
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
        fold_case: bool,
    ) -> None:
        self.name = own.name
        self.settings = settings
        self.contact: LastContact | None = None
        self._own = own
        self._rows = rows
        self._pipeline = pipeline
        self._deadlines = deadlines
        self._clock = clock
        self._log = log
        self._folded = partial(folded, fold_case=fold_case)

    @property
    def address(self) -> str:
        """What people read in the place of an address."""
        return f"module {self._own.module}"

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
            context: The context of the call.

        Returns:
            One source result per key, in the order of ``keys``.
        """
        return await fetch_parts(
            divided(keys, self.settings.max_keys),
            lambda part: self._call(part, context),
            at_a_time=self.settings.max_calls,
        )

    async def _call(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> FetchResult[SourceResult[R]]:
        """Make one call through the pipeline."""
        started = self._clock.monotonic()
        outcome = await self._pipeline.run(
            lambda seconds: self._attempt(keys, context, seconds),
            limit=self.settings.timeout,
            deadline=context.deadline or Deadline(math.inf, self._clock),
            reserve=self._deadlines.reserve,
            isolated=context.isolated,
            divisible=context.divisible,
            requests=len(context.requests) or 1,
        )
        answer = outcome.answer
        failure = answer if isinstance(answer, SourceFailure) else None
        trace = SourceTrace(
            calls=1,
            attempts=outcome.attempts,
            keys=len(keys),
            started=started,
            ended=self._clock.monotonic(),
            code=None if failure is None else failure.code,
            circuit=str(self.circuit),
            pace=str(self.pace_state),
        )
        if isinstance(answer, SourceFailure):
            return FetchResult([answer] * len(keys), trace)
        return FetchResult(self._results(keys, answer.rows), trace)

    async def _attempt(
        self, keys: Sequence[UserId], context: RequestContext, seconds: float
    ) -> _FoundRows | SourceFailure:
        """Ask the module within so many seconds, and log it."""
        started = self._clock.monotonic()
        trace = context.traceparent
        call = SourceCall(context.request_id, None if trace is None else child_of(trace), seconds)
        answer: _FoundRows | SourceFailure
        try:
            async with self._clock.timeout(seconds):
                rows = await self._rows.fetch(keys, call)
            if isinstance(cast("object", rows), Mapping):
                answer = _FoundRows(rows)
                self.contact = LastContact(self._clock.now(), None)
            else:
                what = f"fetch has returned {type(rows).__name__}: expected rows by key"
                answer = SourceFailure(self.name, Code.SOURCE_MALFORMED, what)
        except TimeoutError:
            detail = "no rows within the timeout"
            answer = SourceFailure(self.name, Code.SOURCE_TIMEOUT, detail, retryable=True)
        except Exception as error:  # noqa: BLE001 # the module's code may raise anything
            detail = f"fetch has raised {type(error).__name__}"
            answer = SourceFailure(self.name, Code.SOURCE_UNAVAILABLE, detail, retryable=True)
            self._log.warning(
                "extension.source_failed",
                **requests_of(context),
                source=self.name,
                module=self._own.module,
                exc_info=error,
            )
            bare(error)
        failed = answer if isinstance(answer, SourceFailure) else None
        (self._log.info if failed is None else self._log.warning)(
            "source.fetch",
            **requests_of(context),
            source=self.name,
            keys=len(keys),
            duration_ms=round((self._clock.monotonic() - started) * 1000, 2),
            outcome="ok" if failed is None else failed.code.value,
            **({} if failed is None else {"detail": failed.detail}),
        )
        return answer

    def _results(
        self, keys: Sequence[UserId], rows: Mapping[str, Mapping[str, object]]
    ) -> list[SourceResult[R]]:
        """Make the result of each key of its row.

        A key without a row gets a failure if there are rows that nobody asked for: the source may
        have looked for other users than it should.
        """
        absent: SourceFailure | None = None
        by_key = {self._folded(str(key)): row for key, row in rows.items()}
        if unasked := len(by_key.keys() - {*map(self._folded, keys)}):
            detail = f"{unasked} rows that were not requested"
            absent = SourceFailure(self.name, Code.SOURCE_MALFORMED, detail)
        return [
            self._record(key, by_key[own]) if (own := self._folded(key)) in by_key else absent
            for key in keys
        ]

    def _record(self, key: UserId, row: Mapping[str, object]) -> SourceResult[R]:
        """Make a record of a row. A value that does not fit costs its own field only."""
        record: type[Any] = self._own.record
        try:
            values = {**row, self._own.key: key}
            try:
                made: R = record.model_validate(values, by_name=True, by_alias=False)
            except ValidationError as error:
                failures = {
                    name: SourceFailure(self.name, Code.SOURCE_MALFORMED, what)
                    for name, what in mistakes_in(error)
                }
                kept = {name: value for name, value in values.items() if name not in failures}
                made = record.model_validate(kept, by_name=True, by_alias=False)
                return DamagedRecord(made, failures)
        except (TypeError, ValueError) as error:  # no row at all
            return SourceFailure(self.name, Code.SOURCE_MALFORMED, f"a row: {type(error).__name__}")
        return made


@asynccontextmanager
async def open_own(
    own: OwnSource,
    settings: SourceSettings,
    pipeline: ResiliencePipeline,
    *,
    deadlines: DeadlineSettings,
    clock: Clock,
    log: FilteringBoundLogger,
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
        fold_case: Whether keys that differ only in case are the same.

    Yields:
        The source. The module closes it at the end.
    """
    async with own.open() as rows:
        yield OwnService(
            own,
            rows,
            settings,
            pipeline=pipeline,
            deadlines=deadlines,
            clock=clock,
            log=log,
            fold_case=fold_case,
        )
