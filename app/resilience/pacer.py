"""Keeping the pace that a service asks for: who may call it when. ``pace.py`` decides.

Those who were told nothing have no pacer, and pay nothing. A service that is told who asks counts
each caller apart: what it says to one of them slows that one's calls down, and nobody else's.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from app.resilience.bulkhead import FullError
from app.resilience.clock import Clock
from app.resilience.pace import CallRate, PaceState, Signal, slowed, sped_up
from app.resilience.retry import Chance
from app.settings.source import SourceSettings

MOST_CALLERS = 1_000
"""Of how many callers a pace is remembered."""

TOLD_EVERY = 10.0
"""Seconds between two tellings that a service was slowed down; else a busy one would flood."""


@dataclass(frozen=True, slots=True)
class Slowdown:
    """What is told of a service that was slowed down.

    Attributes:
        limit: Calls to it at the same time from now on.
        pause: Seconds from now in which there is none.
        signals: How often it asked for that since it was last told.
    """

    limit: int
    pause: float
    signals: int


@dataclass(eq=False, slots=True)
class _QueuedCall:
    """A place in the line.

    Attributes:
        turn: Whether it is this one's turn; done once that is known.
        end: The moment until which it can wait.
    """

    turn: asyncio.Future[bool]
    end: float


# Every call asks for it, and Python 3.11 looks it up slowly.
_FREE = PaceState.FREE


class Pacer:
    """The pace of the calls that are made for one caller.

    Attributes:
        pace: The pace.
    """

    def __init__(self, *, limit: int, room: int, clock: Clock) -> None:
        """Begin with no bound but the source's own.

        Args:
            limit: Calls at the same time.
            room: Most that may run or wait.
            clock: Tells the time.
        """
        self.pace = CallRate(float(limit))
        self._room = room
        self._clock = clock
        self._inside = 0
        self._line: deque[_QueuedCall] = deque()

    @property
    def pause(self) -> float:
        """Seconds from now in which there is no call."""
        return max(0.0, self.pace.until - self._clock.monotonic())

    @property
    def idle(self) -> bool:
        """Whether nobody calls or waits."""
        return not (self._inside or self._line)

    def slow_down(self, pace: CallRate) -> None:
        """Go slower. Who waits and cannot wait that long is told so at once."""
        self.pace = pace
        for seat in [seat for seat in self._line if seat.end <= pace.until]:
            self._line.remove(seat)
            seat.turn.set_result(False)

    def speed_up(self, pace: CallRate) -> None:
        """Go faster."""
        self.pace = pace
        self._admit()

    @asynccontextmanager
    async def turn(self, seconds: float) -> AsyncGenerator[None]:
        """Have one's turn within the context.

        Args:
            seconds: How long to wait for it at most.

        Yields:
            Nothing; it is one's turn until the end of the context.

        Raises:
            FullError: It does not come in time, which is said at once where that is plain.
        """
        await self._enter(seconds)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, seconds: float) -> None:
        """Wait for one's turn."""
        if self._inside + len(self._line) >= self._room:
            raise FullError("as many calls wait as may")
        if self.pause >= seconds:
            raise self._too_long()
        end = self._clock.monotonic() + seconds
        seat = _QueuedCall(asyncio.get_running_loop().create_future(), end)
        self._line.append(seat)
        self._admit()
        try:
            while not seat.turn.done():
                await self._wait(seat)
        except BaseException:
            if seat in self._line:
                self._line.remove(seat)
            elif seat.turn.result():  # cancelled when it had just come
                self._leave()
            raise
        if not seat.turn.result():
            raise self._too_long()

    async def _wait(self, seat: _QueuedCall) -> None:
        """Wait for a turn, for the end of a pause, or for as long as one can."""
        left, pause = seat.end - self._clock.monotonic(), self.pause
        if left <= 0:
            raise FullError("no call ended in time, at the pace that the source asks for")
        with suppress(TimeoutError):
            async with self._clock.timeout(min(pause or left, left)):
                await asyncio.wait((seat.turn,))
        self._admit()

    def _admit(self) -> None:
        """Give those their turn whose turn it is, in the order in which they came."""
        while self._line and not self.pause and self._inside < int(self.pace.limit):
            self._inside += 1
            self._line.popleft().turn.set_result(True)

    def _leave(self) -> None:
        """End one's turn."""
        self._inside -= 1
        self._admit()

    def _too_long(self) -> FullError:
        """Say that the pause is longer than one can wait."""
        return FullError(f"the source wants to be left alone for {self.pause:.3g} s")


class Paces:
    """The paces at which one service is asked, by caller: only of those who were slowed down."""

    def __init__(
        self,
        settings: SourceSettings,
        *,
        clock: Clock,
        chance: Chance,
        on_slow: Callable[[Slowdown], None],
    ) -> None:
        """Begin with nobody slowed down.

        Args:
            settings: The bounds.
            clock: Tells the time.
            chance: Gives the jitter of waits that the service does not tell.
            on_slow: Is told of slowdowns, not too often.
        """
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._on_slow = on_slow
        self._pacers: dict[str, Pacer] = {}
        self._signals = 0
        self._tell_at = clock.monotonic()

    @property
    def state(self) -> PaceState:
        """How the slowest caller's calls are made."""
        tempos = {self.state_of(caller) for caller in self._pacers}
        return next(
            (one for one in (PaceState.PAUSED, PaceState.SLOWED) if one in tempos), PaceState.FREE
        )

    def state_of(self, caller: str) -> PaceState:
        """Say how a caller's calls are made."""
        pacer = self._pacers.get(caller)
        if pacer is None:
            return _FREE
        return pacer.pace.state(self._clock.monotonic(), self._settings.max_calls)

    def of(self, caller: str) -> Pacer | None:
        """Find the pacer of a caller; ``None`` for one who was not slowed down."""
        return self._pacers.get(caller)

    def apply_signal(self, caller: str, signal: Signal, *, began: float) -> None:
        """Heed what the service said.

        Args:
            caller: To whom.
            signal: What it said.
            began: When the call was begun that it said so to.
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
            if now >= self._tell_at:
                self._on_slow(Slowdown(int(pacer.pace.limit), pacer.pause, self._signals))
                self._signals, self._tell_at = 0, now + TOLD_EVERY

    def record_success(self, caller: str, *, began: float) -> None:
        """Take note of a good answer; who is back at full speed is forgotten.

        Args:
            caller: To whom.
            began: When the call was begun.
        """
        pacer = self._pacers.get(caller)
        if pacer is None:
            return
        pacer.speed_up(sped_up(pacer.pace, began=began, most=self._settings.max_calls))
        if self.state_of(caller) is _FREE and pacer.idle:
            del self._pacers[caller]

    def _begin(self, caller: str) -> Pacer:
        """Begin to pace a caller, and forget others where they are too many."""
        if len(self._pacers) >= MOST_CALLERS:
            over = [name for name, one in self._pacers.items() if one.idle and not one.pause]
            for name in over or [next(iter(self._pacers))]:
                del self._pacers[name]
        most = self._settings.max_calls
        pacer = self._pacers[caller] = Pacer(
            limit=most, room=most + self._settings.max_waiting_calls, clock=self._clock
        )
        return pacer
