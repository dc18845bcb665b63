"""The circuit breaker: not asking a service that keeps failing.

Closed, it lets calls through and watches the rates of failures and of slow calls. Open, it lets
none through, and the service can recover. Half open, it lets a few probes through: when all
succeed it closes, when one fails it opens again, for longer (M. Nygard, "Release It!", 2nd ed.,
chapter 5).

Why it is our own: pybreaker, aiobreaker, circuitbreaker and purgatory count failures in a row,
which a service that fails every second call never reaches. interlock-cb (2.8) has rates, slow
calls and growing waits, but no jitter in those, so that all processes would probe in step; it is
young, has one maintainer, and pays for a lock and a synchronous side that we have no use for. What
is needed is the hundred lines below, and failing well is what this project is for.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from app.resilience.clock import Clock
from app.resilience.retry import Chance, SlidingWindow
from app.settings.resilience import BreakerSettings

_CALL, _FAILURE, _SLOW = range(3)


SLOW = 0.9
"""The share of its time from which on a call is slow, where the settings do not say."""


class BreakerState(StrEnum):
    """What a breaker does with calls."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


# Every call asks several times, and Python 3.11 looks them up slowly.
_CLOSED, _OPEN, _HALF_OPEN = BreakerState


@dataclass(frozen=True, slots=True)
class StateChange:
    """A change of state.

    Attributes:
        before: The state before.
        after: The state now.
        open_for: Seconds for which it stays open, where it opened.
    """

    before: BreakerState
    after: BreakerState
    open_for: float | None = None


class Permit:
    """Leave to make one call. It has to be given back, with how the call went or without.

    Only the first way of giving it back counts, and only in the same period between two changes
    of state: a call that was let through before the breaker opened is no probe.
    """

    __slots__ = ("_breaker", "_period")

    def __init__(self, breaker: "Breaker", period: int) -> None:
        self._breaker: Breaker | None = breaker
        self._period = period

    def record(self, *, failed: bool, seconds: float, limit: float = math.inf) -> None:
        """Say how the call went.

        Args:
            failed: Whether it failed in a way that speaks of the service's health.
            seconds: How long it took.
            limit: How long it might have taken; where the settings do not say what is slow, nine
                tenths of this are.
        """
        if self._breaker is not None:
            self._breaker.settle(self._period, failed=failed, seconds=seconds, limit=limit)
            self._breaker = None

    def release(self) -> None:
        """Say that the call tells nothing: it was not made, or its client went away."""
        if self._breaker is not None:
            self._breaker.settle(self._period, failed=None)
            self._breaker = None


class Breaker:
    """The circuit breaker of one service.

    Args:
        settings: What it judges by.
        clock: Tells the time.
        chance: Gives the jitter of the time that it stays open.
        on_change: Is told each change of state.

    Attributes:
        state: What it does with calls.
    """

    def __init__(
        self,
        settings: BreakerSettings,
        *,
        clock: Clock,
        chance: Chance,
        on_change: Callable[[StateChange], None],
    ) -> None:
        self.state = _CLOSED
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._on_change = on_change
        self._window = SlidingWindow(kinds=3, seconds=settings.window, clock=clock)
        self._period = 0
        self._probe_at = 0.0
        self._times_opened = 0
        self._probes_out = 0
        self._probes_good = 0

    @property
    def refuses(self) -> bool:
        """Whether no call may be made now. Asking changes nothing."""
        if self.state is _CLOSED:
            return False
        if self.state is _OPEN:
            return self._clock.monotonic() < self._probe_at
        return self._all_probes_out

    @property
    def _all_probes_out(self) -> bool:
        """Whether as many probes are on their way, or back, as have to succeed."""
        return self._probes_out + self._probes_good >= self._settings.probes

    def admit(self) -> Permit | None:
        """Ask for leave to make a call.

        Returns:
            The permit, or ``None`` when the call may not be made now.
        """
        if self.state is _CLOSED:
            return Permit(self, self._period)
        if self.state is _OPEN and self._clock.monotonic() >= self._probe_at:
            self._change(_HALF_OPEN)
        if self.state is _OPEN:
            return None
        if self._all_probes_out:
            return None
        self._probes_out += 1
        return Permit(self, self._period)

    def settle(
        self, period: int, *, failed: bool | None, seconds: float = 0.0, limit: float = math.inf
    ) -> None:
        """Take a permit back.

        Args:
            period: The period in which it was given.
            failed: Whether the call failed; ``None`` when it tells nothing.
            seconds: How long it took.
            limit: How long it might have taken.
        """
        if period != self._period:
            return
        from_settings = self._settings.slow_call
        slow = seconds >= (SLOW * limit if from_settings is None else from_settings)
        if self.state is _HALF_OPEN:
            self._probes_out -= 1
            if failed or slow:
                self._open()
            elif failed is not None:
                self._probes_good += 1
                if self._probes_good == self._settings.probes:
                    self._times_opened = 0
                    self._change(_CLOSED)
        elif failed is not None:
            kinds = [_CALL]
            if failed:
                kinds.append(_FAILURE)
            if slow:
                kinds.append(_SLOW)
            if self._is_too_bad(*self._window.add(*kinds)):
                self._open()

    def _is_too_bad(self, calls: int, failures: int, slow: int) -> bool:
        """Tell whether enough calls have failed or were slow."""
        return calls >= self._settings.min_calls and (
            failures / calls >= self._settings.failure_rate
            or slow / calls >= self._settings.slow_rate
        )

    def _open(self) -> None:
        """Open, for longer each time that probing has failed."""
        longest = min(
            self._settings.max_open, self._settings.open_for * 2 ** min(self._times_opened, 30)
        )
        open_for = longest * (0.5 + self._chance() / 2)
        self._times_opened += 1
        self._probe_at = self._clock.monotonic() + open_for
        self._change(_OPEN, open_for)

    def _change(self, state: BreakerState, open_for: float | None = None) -> None:
        """Begin a new period."""
        before, self.state = self.state, state
        self._period += 1
        self._probes_out = self._probes_good = 0
        self._window.clear()
        self._on_change(StateChange(before, state, open_for))
