"""What the shared store can cost: a request its time limit, and nothing if the store has failed.

A command runs in a task of its own. A request waits for it for ``timeout``, and then goes on
without the store. The command itself goes on, for as long as a connection may take to open. If it
ended with the request, a slow store would lose all its connections, and a store with TLS would
never get one.

A circuit breaker stops the commands to a store that keeps failing. The log says so once, and once
when the store is back.
"""

import asyncio
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable
from contextvars import Context
from types import TracebackType
from typing import Self, TypeVar

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
from app.store.contract import StoreClient, StoreError, StoreFailure, StoreFailureKind

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
        self._connect = connect
        self._client: StoreClient | None = None
        self._clock = clock
        self._log = log
        self._duration = metrics.store
        self._tasks = Tasks()
        self._is_full = False
        self._last = NOT_ASKED
        self._breaker = Breaker(BREAKER, clock=clock, chance=chance, on_change=self._log_change)
        metrics.registry.observe(
            metric_list.STORE_CIRCUIT,
            lambda: [((one.value,), float(self._breaker.state is one)) for one in BreakerState],
        )

    async def __aenter__(self) -> Self:
        self._tasks = Tasks()
        self._client = self._connect(self.settings)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
        permit = None if self._client is None else self._breaker.admit()
        if permit is None:
            self._duration.record(0.0, operation, NOT_ASKED.kind.value)
            return NOT_ASKED
        running = _Command(permit, self._clock.monotonic())
        task = self._tasks.begin(
            self._attempt(operation, command, running), f"store {operation}", Context()
        )
        if await self._is_done_in_time(task):
            return CLOSED if task.cancelled() else task.result()
        self._settle(operation, running, TIMED_OUT)
        return TIMED_OUT

    def begin(self, operation: str, command: Callable[[StoreClient], Awaitable[object]]) -> None:
        """Run a command that nobody waits for.

        Args:
            operation: What the command is for, in metrics.
            command: The command.
        """
        permit = None if self._client is None else self._breaker.admit()
        if permit is not None:
            running = _Command(permit, self._clock.monotonic())
            work = self._attempt(operation, command, running)
            self._tasks.begin(work, f"store {operation}", Context())

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

    async def _attempt(
        self,
        operation: str,
        command: Callable[[StoreClient], Awaitable[T]],
        running: "_Command",
    ) -> T | StoreFailure:
        """Run a command to its end."""
        try:
            result = await command(self.client)
        except StoreError as error:
            self._settle(operation, running, error.failure)
            return error.failure
        except BaseException:
            running.permit.release()  # the gateway stops, or a bug of ours
            raise
        self._settle(operation, running, None)
        return result

    async def _is_done_in_time(self, task: asyncio.Task[object]) -> bool:
        """Wait for a command; ``asyncio.wait`` would cost several times as much."""
        ended: asyncio.Future[None] = get_running_loop().create_future()

        def end(_: object = None) -> None:
            if not ended.done():
                ended.set_result(None)

        task.add_done_callback(end)
        cancel = self._clock.call_later(self.settings.timeout, end)
        try:
            await ended
        finally:
            cancel()
        return task.done()

    def _settle(self, operation: str, running: "_Command", failure: StoreFailure | None) -> None:
        """Count a command, once."""
        if running.settled:
            return
        running.settled = True
        if failure is not None:
            self._last = failure
        seconds = self._record(operation, running.started, failure)
        code = None if failure is None else _CODES.get(failure.kind)
        running.permit.record(failure=code, seconds=seconds)
        if failure is not None and failure.kind is StoreFailureKind.FULL:
            if not self._is_full:
                self._is_full = True
                self._log.warning("store.unavailable", reason=failure.kind.value)
        elif failure is None and self._is_full and operation.startswith("put"):
            self._is_full = False
            self._log.info("store.available")

    def _record(self, operation: str, started: float, failure: StoreFailure | None) -> float:
        """Measure a command; return the seconds that it took."""
        seconds = self._clock.monotonic() - started
        self._duration.record(seconds, operation, "" if failure is None else failure.kind.value)
        return seconds

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


class _Command:
    """A command that runs.

    Args:
        permit: The permit of the breaker.
        started: When it began, by ``clock.monotonic()``.

    Attributes:
        settled: Whether it was counted.
    """

    __slots__ = ("permit", "settled", "started")

    def __init__(self, permit: Permit, started: float) -> None:
        self.permit = permit
        self.started = started
        self.settled = False
