"""The rate at which a service may be called, from the signals in its answers. Pure functions.

Read from an answer:

429                                    refused for the rate; also 403 with a wait or no calls left
Retry-After                            seconds or a date (RFC 9110, section 10.2.3)
Backoff                                seconds, usually with a successful answer
RateLimit, RateLimit-Policy            draft-ietf-httpapi-ratelimit-headers, 07 and from 08 on
RateLimit-Remaining, RateLimit-Reset   the same, up to 06
X-RateLimit-…, X-Rate-Limit-…          GitHub's and others': the reset is seconds, or a time

Headers that cannot be read are ignored: a service with its own form of them is asked as if it sent
none, and its 429 still counts.

Calls at the same time are bounded as TCP bounds what is in flight: the bound is halved when the
service says "slower", and grows by one for each round of good answers (D.-M. Chiu and R. Jain,
"Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks",
1989). Calls that were in flight at a cut carry no new information: they do not cut again.
"""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus

from msgspec import Struct
from msgspec.structs import replace

from app.resilience.clock import Clock
from app.resilience.retry import Chance
from app.settings.source import SourceSettings

MAX_WAIT = 1e9
"""Seconds to which longer waits are cut."""

UNIX_TIME_FROM = 1e9
"""A reset of this number or more is a Unix time: as a wait it would be thirty years."""

UNIX_MILLISECONDS_FROM = 1e11
"""A Unix time of this number or more is in milliseconds."""

_HEADER_PAIRS = tuple(
    (f"{prefix}-remaining", f"{prefix}-reset")
    for prefix in ("ratelimit", "x-ratelimit", "x-rate-limit")
)

SIGNALS = frozenset({"retry-after", "backoff", "ratelimit", *(name for name, _ in _HEADER_PAIRS)})
"""A good answer without any of these headers gives no signal. Checking the names is cheap."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
# The possessive `*+` reads a quoted text only once, even when its end is missing.
_ITEM = re.compile(r'(?:"(?:[^"\\]|\\.)*+"?|[^",])+')
_PARAMETER = re.compile(r'(?:"(?:[^"\\]|\\.)*+"?|[^";])+')


class Signal(Struct, frozen=True):
    """What an answer says about how fast its service may be asked.

    Attributes:
        refused: Whether the service refused the call only because of its rate.
        wait: Seconds in which the service wants no calls; ``None`` if it does not say.
        left: How many more calls the service takes for now; ``None`` if it does not say.
    """

    refused: bool = False
    wait: float | None = None
    left: int | None = None


class _Quota(Struct, frozen=True):
    """One quota: the calls left in it, and the seconds until it is renewed."""

    left: float | None
    reset: float | None


def read_signal(status: int, headers: Mapping[str, str], clock: Clock) -> Signal | None:
    """Read what an answer says about how fast its service may be asked.

    Args:
        status: The HTTP status.
        headers: The headers, by names in lower case.
        clock: The time, for waits that are given as dates.

    Returns:
        The signal; ``None`` when the answer has none. ``Retry-After`` and ``Backoff`` take
        precedence over a wait that follows from a quota.
    """
    quotas = [*_quotas_of_ratelimit(headers, clock), *_quotas_of_number_headers(headers, clock)]
    empty = [quota for quota in quotas if quota.left == 0]
    refused = status == HTTPStatus.TOO_MANY_REQUESTS
    # A refusal that names no empty quota may come from any quota whose rest is unknown.
    binding = empty or ([quota for quota in quotas if quota.left is None] if refused else [])
    asked = (
        read_retry_after(headers.get("retry-after"), clock),
        _number(headers.get("backoff", "")),
    )
    waits = [wait for wait in asked if wait is not None] or [
        quota.reset for quota in binding if quota.reset is not None
    ]
    wait = max(waits, default=None)
    if status == HTTPStatus.FORBIDDEN and (wait is not None or empty):
        refused = True
    left = min((quota.left for quota in quotas if quota.left is not None), default=None)
    if not refused and wait is None and left is None:
        return None
    return Signal(refused, wait, None if left is None else int(left))


def read_retry_after(value: str | None, clock: Clock) -> float | None:
    """Read a ``Retry-After`` header (RFC 9110, section 10.2.3).

    Args:
        value: Seconds, or a date; ``None`` when there is no header.
        clock: The time, for dates.

    Returns:
        Seconds from now, 0 or more; ``None`` when there is no header or it is neither.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_WAIT)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(0.0, (aware - clock.now()).total_seconds())


def _quotas_of_ratelimit(headers: Mapping[str, str], clock: Clock) -> Iterator[_Quota]:
    """Read ``RateLimit``: a list of quotas with parameters or, in draft 07, one quota as pairs."""
    text = headers.get("ratelimit")
    if text is None:
        return
    items = _items(text)
    # A quota without a reset is renewed at the end of its window.
    windows = {
        name: pairs.get("w", "") for name, pairs in _items(headers.get("ratelimit-policy", ""))
    }
    whole = dict(name.split("=", 1) for name, _ in items if "=" in name and name[0] != '"')
    if "remaining" in whole:
        yield _Quota(_number(whole["remaining"]), _reset(whole.get("reset", ""), clock))
    for name, pairs in items:
        if "r" in pairs:
            reset = pairs.get("t") or windows.get(name, "")
            yield _Quota(_number(pairs["r"]), _reset(reset, clock))


def _items(text: str) -> list[tuple[str, Mapping[str, str]]]:
    """Split a list into items with their parameters (RFC 9651, section 3.1), leniently."""
    items: list[tuple[str, Mapping[str, str]]] = []
    for item in _ITEM.findall(text):
        name, *parameters = [part.strip() for part in _PARAMETER.findall(item)] or [""]
        pairs = (parameter.partition("=") for parameter in parameters)
        if name:
            items.append((name, {key: value for key, _, value in pairs}))
    return items


def _quotas_of_number_headers(headers: Mapping[str, str], clock: Clock) -> Iterator[_Quota]:
    """Read the headers that hold one number each; of several numbers, the strictest counts."""
    for remaining, reset in _HEADER_PAIRS:
        lefts = [_number(part) for part in headers.get(remaining, "").split(",")]
        resets = [_reset(part, clock) for part in headers.get(reset, "").split(",")]
        quota = _Quota(
            min((left for left in lefts if left is not None), default=None),
            max((seconds for seconds in resets if seconds is not None), default=None),
        )
        if quota != _Quota(None, None):
            yield quota


def _reset(text: str, clock: Clock) -> float | None:
    """Read when a quota is renewed, as seconds from now."""
    number = _number(text, math.inf)
    if number is None or number < UNIX_TIME_FROM:
        return number
    moment = number / 1000 if number >= UNIX_MILLISECONDS_FROM else number
    return min(max(0.0, moment - clock.now().timestamp()), MAX_WAIT)


def _number(text: str, most: float = MAX_WAIT) -> float | None:
    """Read a number, 0 or more, and cut it to ``most``; ``None`` when it is not one."""
    text = text.strip()
    return min(float(text), most) if _NUMBER.fullmatch(text) else None


class PaceState(StrEnum):
    """How a service is asked: at full speed, with fewer calls at a time, or not at all for now."""

    FREE = "free"
    SLOWED = "slowed"
    PAUSED = "paused"


class CallRate(Struct, frozen=True):
    """How fast a service may be asked.

    Attributes:
        limit: The most calls at the same time, at least 1. Good answers add fractions to it; only
            its whole part counts.
        until: No call is made before this moment, by the clock's ``monotonic``.
        cut_at: The moment of the last cut.
        refusals: The refusals since the last successful call.
    """

    limit: float
    until: float = -math.inf
    cut_at: float = -math.inf
    refusals: int = 0

    def state(self, now: float, most: int) -> PaceState:
        """Return the state at a moment.

        Args:
            now: The moment, by the clock's ``monotonic``.
            most: The most calls at the same time without a signal of the service.

        Returns:
            The state.
        """
        if now < self.until:
            return PaceState.PAUSED
        return PaceState.SLOWED if self.limit < most else PaceState.FREE


def slowed(
    pace: CallRate,
    signal: Signal,
    settings: SourceSettings,
    *,
    began: float,
    now: float,
    chance: Chance,
) -> CallRate:
    """Compute the rate after a signal of the service.

    Args:
        pace: The rate before.
        signal: The signal.
        settings: The bounds of the waits.
        began: When the call began whose answer has the signal.
        now: The moment. Both are by the clock's ``monotonic``.
        chance: Random numbers for the jitter.

    Returns:
        The rate from now on. Its limit is never above the calls that the service still takes. Each
        refusal doubles the pause; a longer wait that the service asks for counts instead. So a
        service that asks for no wait and refuses again gets a pause all the same. A wait that a
        successful answer asks for is at most ``max_backoff``, unless no calls are left.
    """
    wait = signal.wait or 0.0
    if signal.left is not None and not wait:  # after a wait the quota is renewed
        pace = replace(pace, limit=max(1.0, min(pace.limit, float(signal.left))))
    if not signal.refused and not wait:
        return pace
    if began > pace.cut_at:
        pace = replace(
            pace,
            limit=max(1.0, pace.limit / 2),
            cut_at=now,
            refusals=pace.refusals + signal.refused,
        )
    if signal.refused:
        doublings = min(pace.refusals - 1, 30)
        longest = min(settings.retry.max_delay, settings.retry.base_delay * 2.0**doublings)
        wait = longest * (0.5 + chance() / 2) if signal.wait is None else max(wait, longest)
    elif signal.left != 0:
        # The service works and has calls left. If each answer asked for ten seconds, and the
        # gateway waited as long, no request would be answered in its time.
        wait = min(wait, settings.pacing.max_backoff)
    wait = min(wait, settings.pacing.max_pause)
    return replace(pace, until=max(pace.until, now + wait))


def sped_up(pace: CallRate, *, began: float, most: int) -> CallRate:
    """Compute the rate after a good answer.

    Args:
        pace: The rate before.
        began: When the call of that answer began, by the clock's ``monotonic``.
        most: The most calls at the same time without a signal of the service.

    Returns:
        The rate from now on. ``limit`` good answers add one to ``limit``, up to ``most``.
    """
    if began <= pace.cut_at:
        return pace
    return replace(pace, limit=min(float(most), pace.limit + 1 / pace.limit), refusals=0)
