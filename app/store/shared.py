"""What the shared store can cost: a request its time limit, and nothing if the store has failed.

A command runs in a task of its own. A request waits for it for ``timeout``, and then goes on
without the store. The lag of the event loop is not the store's time (``time_limit.py``). The
command itself goes on, for as long as a connection may take to open. If it ended with the request,
a slow store would lose all its connections, and a store with TLS would never get one.

A circuit breaker stops the commands to a store that keeps failing. The log says so once, and once
when the store is back.
"""

import asyncio
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from contextvars import Context
from types import TracebackType
from typing import Generic, Self, TypeVar

from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from app.errors import Code
from app.observability import metric_list
from app.observability.telemetry import GatewayMetrics
from app.resilience.breaker import Breaker, BreakerState, Permit, StateChange
from app.resilience.clock import Clock
from app.resilience.retry import Chance
from app.resilience.tasks import Tasks
from app.settings.resilience import BreakerSettings
from app.settings.store import StoreSettings
from app.store.batches import ReadsTogether, WritesTogether
from app.store.contract import StoreClient, StoreError, StoreFailure, StoreFailureKind
from app.store.time_limit import TimeLimit

T = TypeVar("T")

BREAKER = BreakerSettings(
    window=5.0,
    min_calls=5,
    failure_rate=0.5,
    slow_call=3600.0,  # what is too slow has failed
    open_for=1.0,
    max_open=10.0,
    probes=1,
)
"""When commands stop for a while. A store that is back is worth a probe each few seconds."""

_CODES = {
    StoreFailureKind.TIMEOUT: Code.SOURCE_TIMEOUT,
    StoreFailureKind.CONNECTION: Code.SOURCE_UNAVAILABLE,
    StoreFailureKind.REFUSED: Code.SOURCE_MALFORMED,
    StoreFailureKind.FORBIDDEN: Code.SOURCE_MALFORMED,
}
"""What counts against the health of the store, in the words of the breaker. A full store can be
read, so it is not ill."""

TIMED_OUT = StoreFailure(StoreFailureKind.TIMEOUT, "no time was left to wait for it")
NOT_ASKED = StoreFailure(StoreFailureKind.NOT_ASKED)
CLOSED = StoreFailure(StoreFailureKind.CONNECTION, "the gateway stops")


class SharedStore:
    """The store as the gateway uses it: each command has a result or a failure, within its time.

    Args:
        connect: Makes the client of the store.
        settings: The time limits, and the beginning of all keys.
        clock: The clock.
        chance: Returns random numbers, for the jitter of the breaker.
        log: Where it is logged that the store is not available, and that it is again.
        metrics: Where commands are counted.

    Attributes:
        settings: The settings.
        reads: Reads values, those of one turn of the event loop by one command.
        writes: Stores and removes values, without waiting for it.
    """

    def __init__(
        self,
        connect: Callable[[StoreSettings], StoreClient],
        settings: StoreSettings,
        *,
        clock: Clock,
        chance: Chance,
        log: FilteringBoundLogger,
        metrics: GatewayMetrics,
    ) -> None:
        self.settings = settings
        self.reads = ReadsTogether(self.ask)
        self.writes = WritesTogether(self.begin, clock)
        self._connect = connect
        self._client: StoreClient | None = None
        self._clock = clock
        self._log = log
        self._duration = metrics.store
        self._tasks = Tasks()
        self._is_full = False
        self._forbidden: set[str] = set()
        self._last = NOT_ASKED
        self._breaker = Breaker(BREAKER, clock=clock, chance=chance, on_change=self._log_change)
        self._registry = metrics.registry
        self._exits = ExitStack()

    async def __aenter__(self) -> Self:
        self._tasks = Tasks()
        # A reload may open another store, which is observed in its place.
        self._exits.enter_context(self._registry.observing()).observe(
            metric_list.STORE_CIRCUIT,
            lambda: [((one.value,), float(self._breaker.state is one)) for one in BreakerState],
        )
        self._client = self._connect(self.settings)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exits.close()
        self.writes.end()
        await self._tasks.__aexit__(kind, error, traceback)
        client, self._client = self.client, None
        try:
            await client.close()
        except StoreError as failed:
            self._log.debug("store.not_closed", reason=failed.failure.kind.value)

    @property
    def client(self) -> StoreClient:
        """The client of the store.

        Raises:
            RuntimeError: The store is not open.
        """
        if self._client is None:
            raise RuntimeError("the store is not open: its context has to be entered first")
        return self._client

    @property
    def is_usable(self) -> bool:
        """Whether a command would be sent now."""
        return self._client is not None and not self._breaker.refuses

    async def run(
        self, operation: str, command: Callable[[StoreClient], Awaitable[T]]
    ) -> T | StoreFailure:
        """Run a command for a request, which waits no longer than ``timeout``.

        Args:
            operation: What the command is for, in metrics.
            command: The command.

        Returns:
            Its result, or why there is none.
        """
        answer: asyncio.Future[T | StoreFailure] = get_running_loop().create_future()

        def answered(result: T | StoreFailure) -> None:
            if not answer.done():  # the request may have ended
                answer.set_result(result)

        self.ask(operation, command, answered)
        return await answer

    def ask(
        self,
        operation: str,
        command: Callable[[StoreClient], Awaitable[T]],
        then: Callable[[T | StoreFailure], object],
    ) -> None:
        """Run a command, and call a function with its result, after ``timeout`` at the latest.

        Args:
            operation: What the command is for, in metrics.
            command: The command.
            then: The function. It is called once and always.
        """
        permit = None if self._client is None else self._breaker.admit()
        if permit is None:
            self._duration.record(0.0, operation, NOT_ASKED.kind.value)
            then(NOT_ASKED)
            return
        self._begin(command, _Command(operation, permit, self._clock.monotonic(), then))

    def begin(self, operation: str, command: Callable[[StoreClient], Awaitable[object]]) -> None:
        """Run a command that nobody waits for.

        Args:
            operation: What the command is for, in metrics.
            command: The command.
        """
        permit = None if self._client is None else self._breaker.admit()
        if permit is not None:
            self._begin(command, _Command(operation, permit, self._clock.monotonic()))

    async def insist(
        self,
        operation: str,
        command: Callable[[StoreClient], Awaitable[T]],
        *,
        measured: bool = True,
    ) -> T | StoreFailure:
        """Run a command that no request waits for, even if the circuit is open.

        Args:
            operation: What the command is for, in metrics.
            command: The command. It takes as long as the client lets it.
            measured: Whether it is measured if it succeeds. A command that waits is not.

        Returns:
            Its result, or why there is none.
        """
        started = self._clock.monotonic()
        try:
            result = await command(self.client)
        except StoreError as error:
            self._record(operation, started, error.failure)
            return error.failure
        if measured:
            self._record(operation, started, None)
        return result

    def _begin(
        self, command: Callable[[StoreClient], Awaitable[T]], running: "_Command[T]"
    ) -> None:
        """Begin the task of a command."""
        task = self._tasks.begin(self._attempt(command, running), "store command", Context())
        task.add_done_callback(lambda _: self._end(running, CLOSED))  # if it could not end itself

    async def _attempt(
        self, command: Callable[[StoreClient], Awaitable[T]], running: "_Command[T]"
    ) -> None:
        """Run a command to its end."""
        if running.then is not None:  # from here on: before, the loop was late, and not the store
            running.limit = TimeLimit(
                self.settings.timeout, self._clock, lambda: self._end(running, TIMED_OUT)
            )
        try:
            result = await command(self.client)
        except StoreError as error:
            self._end(running, error.failure)
        else:
            self._end(running, result)

    def _end(self, running: "_Command[T]", result: T | StoreFailure) -> None:
        """Count a command, and hand its result on, once."""
        if running.ended:
            return
        running.ended = True
        if running.limit is not None:
            running.limit.cancel()
            running.limit = None  # else both would be a cycle, with all values that were read
        failure = result if isinstance(result, StoreFailure) else None
        self._settle(running, failure)
        if running.then is not None:
            running.then(result)

    def _settle(self, running: "_Command[T]", failure: StoreFailure | None) -> None:
        """Measure a command, and tell the breaker and the log."""
        if failure is CLOSED:
            running.permit.release()
            return
        if failure is not None:
            self._last = failure
        seconds = self._record(running.operation, running.started, failure)
        code = None if failure is None else _CODES.get(failure.kind)
        running.permit.record(failure=code, seconds=seconds)
        if failure is not None and failure.kind is StoreFailureKind.FULL:
            if not self._is_full:
                self._is_full = True
                self._log.warning("store.unavailable", reason=failure.kind.value)
        elif failure is None and self._is_full and running.operation == "put":
            self._is_full = False
            self._log.info("store.available")

    def _record(self, operation: str, started: float, failure: StoreFailure | None) -> float:
        """Measure a command; return the seconds that it took."""
        seconds = self._clock.monotonic() - started
        self._duration.record(seconds, operation, "" if failure is None else failure.kind.value)
        if failure is not None and failure.kind is StoreFailureKind.FORBIDDEN:
            self._log_forbidden(operation, failure.detail)
        return seconds

    def _log_forbidden(self, operation: str, detail: str) -> None:
        """Log once that a right is missing. The circuit stays closed if other commands succeed."""
        if detail not in self._forbidden:
            self._forbidden.add(detail)
            self._log.warning("store.forbidden", operation=operation, detail=detail)

    def _log_change(self, change: StateChange) -> None:
        """Log that the store is not available, or is available again."""
        if change.before is BreakerState.CLOSED:
            self._log.warning(
                "store.unavailable",
                reason=self._last.kind.value,
                detail=self._last.detail,
            )
        elif change.after is BreakerState.CLOSED:
            self._log.info("store.available")


class _Command(Struct, Generic[T], eq=False):
    """A command that runs.

    Attributes:
        operation: What it is for, in metrics.
        permit: The permit of the breaker.
        started: When it began, by ``clock.monotonic()``.
        then: What is called with its result; ``None`` if nobody waits.
        limit: Its time limit, once it has begun; ``None`` if nobody waits.
        ended: Whether it was counted, and its result handed on.
    """

    operation: str
    permit: Permit
    started: float
    then: Callable[[T | StoreFailure], object] | None = None
    limit: TimeLimit | None = None
    ended: bool = False
