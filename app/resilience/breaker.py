"""The circuit breaker: it stops calls to a service that keeps failing.

Closed, it lets calls through and watches the rates of failures and of slow calls. Open, it lets
none through, so that the service can recover. Half open, it lets a few probes through: when all
succeed it closes, when one fails it opens again, for longer (M. Nygard, "Release It!", 2nd ed.,
chapter 5).

Why it is our own: pybreaker, aiobreaker, circuitbreaker and purgatory count consecutive failures.
A service that fails every second call never reaches such a count. interlock-cb (2.8) has rates,
slow calls and growing waits, but no jitter in the waits, so all processes would probe at the same
moment. It is young, has one maintainer, and pays for a lock and a synchronous interface that the
gateway does not need. The hundred lines below are enough.
"""

import math
from collections.abc import Callable, Mapping
from enum import StrEnum

from msgspec import Struct

from app.errors import Code
from app.resilience.clock import Clock
from app.resilience.retry import Chance, SlidingWindow
from app.settings.resilience import BreakerSettings

FAILURE_CODES = (
    Code.SOURCE_TIMEOUT,
    Code.SOURCE_UNAVAILABLE,
    Code.SOURCE_MALFORMED,
    Code.SOURCE_OVERLOADED,
)
"""The codes of failures that count against a service's health."""

_CALL, _SLOW, _FIRST_CODE = range(3)

SLOW_SHARE = 0.9
"""A call is slow from this share of its time limit on, unless ``slow_call`` is set."""


class BreakerState(StrEnum):
    """The state of a breaker: which calls it lets through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


# Each call compares with them several times, and Python 3.11 reads enum members slowly.
_CLOSED, _OPEN, _HALF_OPEN = BreakerState


class ChangeReason(StrEnum):
    """Why a breaker changes its state."""

    FAILURES = "failures"
    """Too many of the calls in the window failed."""
    SLOW_CALLS = "slow calls"
    """Too many of the calls in the window were slow."""
    TIME_TO_PROBE = "time to probe"
    """It was open for its whole time."""
    PROBE_FAILED = "a probe failed"
    """A probe failed."""
    PROBE_SLOW = "a probe was slow"
    """A probe was slow."""
    PROBES_SUCCEEDED = "probes succeeded"
    """All probes succeeded."""


class CallCounts(Struct, frozen=True):
    """The calls within the window.

    Attributes:
        calls: All calls.
        failures: How many failed, by the code of the failure.
        slow: Those that were slow; a call may be both.
    """

    calls: int
    failures: Mapping[Code, int]
    slow: int

    @property
    def failed(self) -> int:
        """Those that failed."""
        return sum(self.failures.values())


class StateChange(Struct, frozen=True):
    """A change of state.

    Attributes:
        before: The state before.
        after: The state now.
        reason: Why it changed.
        counts: The calls that opened a closed breaker; ``None`` for other changes, which are due to
            probes or to time.
        open_for: Seconds for which the breaker stays open; ``None`` unless ``after`` is open.
    """

    before: BreakerState
    after: BreakerState
    reason: ChangeReason
    counts: CallCounts | None = None
    open_for: float | None = None


class Permit:
    """The permission to make one call; ended by ``record`` or ``release``, whichever comes first.

    A result counts only if the state has not changed since the permit was given: a call that was
    let through before the breaker opened is not a probe.

    Args:
        breaker: The breaker that gives the permit.
        period: The number of the breaker's period: each change of state begins a new one.
    """

    __slots__ = ("_breaker", "_period")

    def __init__(self, breaker: "Breaker", period: int) -> None:
        self._breaker: Breaker | None = breaker
        self._period = period

    def record(
        self,
        *,
        failure: Code | None,
        seconds: float,
        limit: float = math.inf,
        requests: int = 1,
    ) -> None:
        """Report the result of the call.

        Args:
            failure: Why it failed because of the service's health, one of ``FAILURE_CODES``;
                ``None`` if it did not.
            seconds: How long it took.
            limit: The seconds it was allowed to take. Without a ``slow_call`` setting, a call is
                slow from nine tenths of them on.
            requests: How many requests share the call. A call that succeeds counts as often:
                otherwise, requests that share calls would reach the failure rate sooner.
        """
        if self._breaker is not None:
            self._breaker.settle(
                self._period, failure, seconds=seconds, limit=limit, requests=requests
            )
            self._breaker = None

    def release(self) -> None:
        """Give the permit back without a result: the call was not made, or was cancelled."""
        if self._breaker is not None:
            self._breaker.release(self._period)
            self._breaker = None


class Breaker:
    """The circuit breaker of one service.

    Args:
        settings: The thresholds and times.
        clock: The time.
        chance: Random numbers for the jitter of the time that it stays open.
        on_change: Called with each change of state.

    Attributes:
        state: The state now.
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
        self._window = SlidingWindow(
            kinds=_FIRST_CODE + len(FAILURE_CODES), seconds=settings.window, clock=clock
        )
        self._period = 0
        self._probe_at = 0.0
        self._times_opened = 0
        self._probes_in_flight = 0
        self._probes_succeeded = 0

    @property
    def refuses(self) -> bool:
        """Whether a call would be refused now. Reading it changes nothing."""
        if self.state is _CLOSED:
            return False
        if self.state is _OPEN:
            return self._clock.monotonic() < self._probe_at
        return self._all_probes_used

    @property
    def _all_probes_used(self) -> bool:
        """Whether the probes in flight and those that succeeded are as many as are needed."""
        return self._probes_in_flight + self._probes_succeeded >= self._settings.probes

    def admit(self) -> Permit | None:
        """Ask for the permission to make a call.

        An open breaker becomes half open here, once its time is over.

        Returns:
            The permit, or ``None`` when the call may not be made now.
        """
        if self.state is _CLOSED:
            return Permit(self, self._period)
        if self.state is _OPEN and self._clock.monotonic() >= self._probe_at:
            self._change_state(_HALF_OPEN, ChangeReason.TIME_TO_PROBE)
        if self.state is _OPEN:
            return None
        if self._all_probes_used:
            return None
        self._probes_in_flight += 1
        return Permit(self, self._period)

    def release(self, period: int) -> None:
        """Take back a permit of a call without a result. ``Permit`` calls it.

        Args:
            period: The period in which the permit was given.
        """
        if period == self._period and self.state is _HALF_OPEN:
            self._probes_in_flight -= 1

    def settle(
        self, period: int, failure: Code | None, *, seconds: float, limit: float, requests: int
    ) -> None:
        """Count the result of a call, and change the state if that follows. ``Permit`` calls it.

        Args:
            period: The period in which the permit was given. Results of an earlier period are
                ignored.
            failure: Why the call failed; ``None`` if it did not.
            seconds: How long it took.
            limit: The seconds it was allowed to take.
            requests: How many requests share the call.
        """
        if period != self._period:
            return
        slow_call = self._settings.slow_call
        slow = seconds >= (SLOW_SHARE * limit if slow_call is None else slow_call)
        failed = failure is not None
        if self.state is _HALF_OPEN:
            self._probes_in_flight -= 1
            if failed or slow:
                self._open(ChangeReason.PROBE_FAILED if failed else ChangeReason.PROBE_SLOW)
                return
            self._probes_succeeded += 1
            if self._probes_succeeded == self._settings.probes:
                self._times_opened = 0
                self._change_state(_CLOSED, ChangeReason.PROBES_SUCCEEDED)
            return
        kinds = [_CALL] * (1 if failed or slow else requests) + [_SLOW] * slow
        if failure is not None:
            kinds.append(_FIRST_CODE + FAILURE_CODES.index(failure))
        calls, slow_calls, *by_code = self._window.add(*kinds)
        if calls < self._settings.min_calls:
            return
        if sum(by_code) / calls >= self._settings.failure_rate:
            reason = ChangeReason.FAILURES
        elif slow_calls / calls >= self._settings.slow_rate:
            reason = ChangeReason.SLOW_CALLS
        else:
            return
        failures = {
            code: count for code, count in zip(FAILURE_CODES, by_code, strict=True) if count
        }
        self._open(reason, CallCounts(calls, failures, slow_calls))

    def _open(self, reason: ChangeReason, counts: CallCounts | None = None) -> None:
        """Open. The time doubles with each failed round of probes, up to ``max_open``."""
        longest = min(
            self._settings.max_open, self._settings.open_for * 2 ** min(self._times_opened, 30)
        )
        open_for = longest * (0.5 + self._chance() / 2)
        self._times_opened += 1
        self._probe_at = self._clock.monotonic() + open_for
        self._change_state(_OPEN, reason, counts, open_for)

    def _change_state(
        self,
        state: BreakerState,
        reason: ChangeReason,
        counts: CallCounts | None = None,
        open_for: float | None = None,
    ) -> None:
        """Begin a new period in another state, and report it."""
        before, self.state = self.state, state
        self._period += 1
        self._probes_in_flight = self._probes_succeeded = 0
        self._window.clear()
        self._on_change(StateChange(before, state, reason, counts, open_for))
