"""Rate pacing: which caller may call a service, and when. ``pace.py`` computes the rates.

A caller whom the service has not slowed down has no pacer, and costs nothing. A service that gets
the caller's identity has a rate for each caller: what it says to one caller slows down the calls of
no other.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

from msgspec import Struct

from app.resilience.bulkhead import FullError
from app.resilience.clock import Clock
from app.resilience.pace import CallRate, PaceState, Signal, slowed, sped_up
from app.resilience.retry import Chance
from app.settings.source import SourceSettings

MAX_CALLERS = 1_000
"""The most callers whose rates are kept."""

REPORT_INTERVAL = 10.0
"""The least seconds between two reports of slowdowns; a busy service would flood the log."""


class Slowdown(Struct, frozen=True):
    """A report that a service was slowed down.

    Attributes:
        limit: The most calls to it at the same time from now on.
        pause: Seconds from now without any call.
        signals: How often it asked for less since the last report.
    """

    limit: int
    pause: float
    signals: int


class _QueuedCall(Struct, eq=False, frozen=True):
    """A call that waits for its turn.

    Attributes:
        turn: Done once it is known whether the call gets its turn.
        end: The moment until which the call can wait.
    """

    turn: asyncio.Future[bool]
    end: float


# Each call compares with it, and Python 3.11 reads enum members slowly.
_FREE = PaceState.FREE


class Pacer:
    """Paces the calls for one caller.

    Attributes:
        pace: The rate now.
    """

    def __init__(self, *, limit: int, capacity: int, clock: Clock) -> None:
        """Begin with the source's own limit.

        Args:
            limit: The most calls at the same time.
            capacity: The most calls that run or wait.
            clock: The time.
        """
        self.pace = CallRate(float(limit))
        self._capacity = capacity
        self._clock = clock
        self._running = 0
        self._queue: deque[_QueuedCall] = deque()

    @property
    def pause(self) -> float:
        """Seconds from now without any call; 0 when calls may be made."""
        return max(0.0, self.pace.until - self._clock.monotonic())

    @property
    def idle(self) -> bool:
        """Whether no call runs or waits."""
        return not (self._running or self._queue)

    def slow_down(self, pace: CallRate) -> None:
        """Use a slower rate. Queued calls that cannot wait until its pause ends fail at once.

        Args:
            pace: The rate from now on.
        """
        self.pace = pace
        for queued in [queued for queued in self._queue if queued.end <= pace.until]:
            self._queue.remove(queued)
            queued.turn.set_result(False)

    def speed_up(self, pace: CallRate) -> None:
        """Use a faster rate, and let queued calls go on.

        Args:
            pace: The rate from now on.
        """
        self.pace = pace
        self._admit()

    @asynccontextmanager
    async def turn(self, seconds: float) -> AsyncGenerator[None]:
        """Wait for the turn of a call, which lasts until the end of the context.

        Args:
            seconds: The longest wait.

        Yields:
            Nothing.

        Raises:
            FullError: The turn does not come in time, or too many calls wait. Raised at once when
                the pause is longer than the wait.
        """
        await self._enter(seconds)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, seconds: float) -> None:
        """Wait for the turn of a call."""
        if self._running + len(self._queue) >= self._capacity:
            raise FullError("the queue of waiting calls is full")
        if self.pause >= seconds:
            raise self._too_long()
        end = self._clock.monotonic() + seconds
        queued = _QueuedCall(asyncio.get_running_loop().create_future(), end)
        self._queue.append(queued)
        self._admit()
        try:
            while not queued.turn.done():
                await self._wait(queued)
        except BaseException:
            if queued in self._queue:
                self._queue.remove(queued)
            elif queued.turn.result():  # cancelled just after its turn had come
                self._leave()
            raise
        if not queued.turn.result():
            raise self._too_long()

    async def _wait(self, queued: _QueuedCall) -> None:
        """Wait for the turn, or for the end of the pause or of the time."""
        left, pause = queued.end - self._clock.monotonic(), self.pause
        if left <= 0:
            raise FullError("no running call ended in time, at the rate that the source allows")
        with suppress(TimeoutError):
            async with self._clock.timeout(min(pause or left, left)):
                await asyncio.wait((queued.turn,))
        self._admit()

    def _admit(self) -> None:
        """Give queued calls their turn in the order of arrival, as far as the rate allows."""
        while self._queue and not self.pause and self._running < int(self.pace.limit):
            self._running += 1
            self._queue.popleft().turn.set_result(True)

    def _leave(self) -> None:
        """End the turn of a call."""
        self._running -= 1
        self._admit()

    def _too_long(self) -> FullError:
        """Make the error for a pause that is longer than the call can wait."""
        return FullError(f"the source wants no calls for {self.pause:.3g} s")


class Paces:
    """The rates at which one service is asked: one for each caller that it has slowed down."""

    def __init__(
        self,
        settings: SourceSettings,
        *,
        clock: Clock,
        chance: Chance,
        on_slow: Callable[[Slowdown], None],
    ) -> None:
        """Begin with no caller slowed down.

        Args:
            settings: The limits of the source.
            clock: The time.
            chance: Random numbers for the jitter of waits that the service does not state.
            on_slow: Called with a report of slowdowns, at most once in ``REPORT_INTERVAL`` seconds.
        """
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._on_slow = on_slow
        self._pacers: dict[str, Pacer] = {}
        self._signals = 0
        self._report_at = clock.monotonic()

    @property
    def state(self) -> PaceState:
        """The state of the slowest caller."""
        states = {self.state_of(caller) for caller in self._pacers}
        slowest_first = (PaceState.PAUSED, PaceState.SLOWED)
        return next((state for state in slowest_first if state in states), PaceState.FREE)

    def state_of(self, caller: str) -> PaceState:
        """Return the state of a caller.

        Args:
            caller: The caller.

        Returns:
            Its state; ``FREE`` for a caller that was not slowed down.
        """
        pacer = self._pacers.get(caller)
        if pacer is None:
            return _FREE
        return pacer.pace.state(self._clock.monotonic(), self._settings.max_calls)

    def pacer_of(self, caller: str) -> Pacer | None:
        """Return the pacer of a caller.

        Args:
            caller: The caller.

        Returns:
            Its pacer; ``None`` for a caller that was not slowed down.
        """
        return self._pacers.get(caller)

    def apply_signal(self, caller: str, signal: Signal, *, began: float) -> None:
        """Slow the calls of a caller down, if a signal asks for it.

        Args:
            caller: The caller for whom the service was called.
            signal: The signal of the answer.
            began: When the call of that answer began, by the clock's ``monotonic``.
        """
        slows = signal.refused or bool(signal.wait)
        few = signal.left is not None and signal.left < self._settings.max_calls
        if not self._settings.pacing.enabled or not (slows or few):
            return
        pacer = self._pacers.get(caller) or self._begin(caller)
        now = self._clock.monotonic()
        pacer.slow_down(
            slowed(pacer.pace, signal, self._settings, began=began, now=now, chance=self._chance)
        )
        if slows:
            self._signals += 1
            if now >= self._report_at:
                self._on_slow(Slowdown(int(pacer.pace.limit), pacer.pause, self._signals))
                self._signals, self._report_at = 0, now + REPORT_INTERVAL

    def record_success(self, caller: str, *, began: float) -> None:
        """Speed the calls of a caller up after a good answer; drop its pacer at full speed.

        Args:
            caller: The caller for whom the service was called.
            began: When the call of that answer began, by the clock's ``monotonic``.
        """
        pacer = self._pacers.get(caller)
        if pacer is None:
            return
        pacer.speed_up(sped_up(pacer.pace, began=began, most=self._settings.max_calls))
        if self.state_of(caller) is _FREE and pacer.idle:
            del self._pacers[caller]

    def _begin(self, caller: str) -> Pacer:
        """Add the pacer of a caller; drop other pacers when there are too many."""
        if len(self._pacers) >= MAX_CALLERS:
            unused = [
                name for name, pacer in self._pacers.items() if pacer.idle and not pacer.pause
            ]
            for name in unused or [next(iter(self._pacers))]:
                del self._pacers[name]
        most = self._settings.max_calls
        pacer = self._pacers[caller] = Pacer(
            limit=most, capacity=most + self._settings.max_waiting_calls, clock=self._clock
        )
        return pacer
