"""How fast a service may be asked: what its answers say, and what follows. Pure.

What an answer says of how fast its service may be asked. Pure.

429                                    refused for its rate; so is 403 with a time or nothing left
Retry-After                            seconds or a date (RFC 9110, section 10.2.3)
Backoff                                seconds, mostly with an answer that is good
RateLimit, RateLimit-Policy            draft-ietf-httpapi-ratelimit-headers, 07 and from 08 on
RateLimit-Remaining, RateLimit-Reset   the same, up to 06
X-RateLimit-…, X-Rate-Limit-…          GitHub's and others': the reset is seconds, or a time

Whatever cannot be read says nothing: a service that counts in words of its own is asked as if it
were silent, and its 429 is understood all the same.

How fast a service may be asked, as it says itself. Pure.

Calls at the same time are bounded as TCP bounds what is under way: halved when the service says
"slower", one more for each round of good answers (D.-M. Chiu and R. Jain, "Analysis of the Increase
and Decrease Algorithms for Congestion Avoidance in Computer Networks", 1989). Calls that were under
way at a cut say nothing new: they do not cut again.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus

from app.resilience.clock import Clock
from app.resilience.retry import Chance
from app.settings.source import SourceSettings

LONGEST = 1e9
"""The longest wait, in seconds, that is told from any longer one."""

A_MOMENT = 1e9
"""Seconds from which on a reset is a time of day (Unix), since it would be in thirty years."""

MILLISECONDS = 1e11
"""From which number on such a time is in milliseconds."""

_PLAIN = tuple(
    (f"{prefix}-remaining", f"{prefix}-reset")
    for prefix in ("ratelimit", "x-ratelimit", "x-rate-limit")
)

SIGNALS = frozenset({"retry-after", "backoff", "ratelimit", *(name for name, _ in _PLAIN)})
"""The headers without which a good answer says nothing; a look at the names is cheap."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
# What is quoted is never gone over twice, even where its end is missing.
_ITEM = re.compile(r'(?:"(?:[^"\\]|\\.)*+"?|[^",])+')
_PARAMETER = re.compile(r'(?:"(?:[^"\\]|\\.)*+"?|[^";])+')


@dataclass(frozen=True, slots=True)
class Signal:
    """What an answer says of how fast its service may be asked.

    Attributes:
        refused: Whether the call was refused for nothing but its rate.
        wait: Seconds for which the service is to be left alone, if it says so.
        left: How many more calls it takes for now, if it says so.
    """

    refused: bool = False
    wait: float | None = None
    left: int | None = None


@dataclass(frozen=True, slots=True)
class _Quota:
    """One quota: how much is left of it, and the seconds until there is more."""

    left: float | None
    reset: float | None


def read_signal(status: int, headers: Mapping[str, str], clock: Clock) -> Signal | None:
    """Read what an answer says of how fast its service may be asked.

    Args:
        status: Its HTTP status.
        headers: Its headers, by names in lower case.
        clock: Tells the date.

    Returns:
        What it says; ``None`` when it says nothing. A wait that is asked for in words counts before
        one that follows from a quota.
    """
    quotas = [*_listed(headers, clock), *_plain(headers, clock)]
    empty = [quota for quota in quotas if quota.left == 0]
    refused = status == HTTPStatus.TOO_MANY_REQUESTS
    # Who is refused without being told which quota it was can only believe any reset.
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
        value: Seconds, or the date from which on to ask again.
        clock: Tells the date.

    Returns:
        Seconds from now, 0 or more; ``None`` when there is no header or it is neither.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(0.0, (aware - clock.now()).total_seconds())


def _listed(headers: Mapping[str, str], clock: Clock) -> Iterator[_Quota]:
    """Read ``RateLimit``: a list of quotas with parameters or, in draft 07, one as pairs."""
    text = headers.get("ratelimit")
    if text is None:
        return
    items = _items(text)
    # A quota that does not say when it is renewed is so once its window is over.
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
    """Take a list apart, with the parameters of each item (RFC 9651, section 3.1), leniently."""
    items: list[tuple[str, Mapping[str, str]]] = []
    for item in _ITEM.findall(text):
        name, *parameters = [part.strip() for part in _PARAMETER.findall(item)] or [""]
        pairs = (parameter.partition("=") for parameter in parameters)
        if name:
            items.append((name, {key: value for key, _, value in pairs}))
    return items


def _plain(headers: Mapping[str, str], clock: Clock) -> Iterator[_Quota]:
    """Read the headers that have a number each; of several numbers the strictest counts."""
    for remaining, reset in _PLAIN:
        lefts = [_number(part) for part in headers.get(remaining, "").split(",")]
        resets = [_reset(part, clock) for part in headers.get(reset, "").split(",")]
        quota = _Quota(
            min((one for one in lefts if one is not None), default=None),
            max((one for one in resets if one is not None), default=None),
        )
        if quota != _Quota(None, None):
            yield quota


def _reset(text: str, clock: Clock) -> float | None:
    """Read when a quota is renewed, as seconds from now."""
    number = _number(text, math.inf)
    if number is None or number < A_MOMENT:
        return number
    moment = number / 1000 if number >= MILLISECONDS else number
    return min(max(0.0, moment - clock.now().timestamp()), LONGEST)


def _number(text: str, most: float = LONGEST) -> float | None:
    """Read a number, 0 or more; no more than ``most``."""
    text = text.strip()
    return min(float(text), most) if _NUMBER.fullmatch(text) else None


class PaceState(StrEnum):
    """How a service is asked, in a word."""

    FREE = "free"
    SLOWED = "slowed"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class CallRate:
    """How fast a service may be asked.

    Attributes:
        limit: Calls at the same time, at least 1; a fraction is on its way to one more.
        until: The moment before which there is none, by the clock's ``monotonic``.
        cut_at: The moment of the last cut.
        refusals: Times that it refused since it last took a call.
    """

    limit: float
    until: float = -math.inf
    cut_at: float = -math.inf
    refusals: int = 0

    def state(self, now: float, most: int) -> PaceState:
        """Say it in a word.

        Args:
            now: The moment.
            most: Calls at the same time where the service says nothing.

        Returns:
            The word.
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
    """Heed what a service says.

    Args:
        pace: The pace before.
        signal: What the service says.
        settings: The bounds of the waits.
        began: When the call was begun that it says so to.
        now: The moment.
        chance: Gives the jitter.

    Returns:
        The pace from now on. Never more calls at the same time than it still takes. Where it
        refuses, it is left alone for longer each time, or as long as it asks for if that is longer:
        who says "at once" and refuses again is not believed twice.
    """
    wait = signal.wait or 0.0
    if signal.left is not None and not wait:  # after a wait there is more than was left
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
        told = signal.wait is not None
        wait = max(wait, longest) if told else longest * (0.5 + chance() / 2)
    wait = min(wait, settings.pacing.max_pause)
    return replace(pace, until=max(pace.until, now + wait))


def sped_up(pace: CallRate, *, began: float, most: int) -> CallRate:
    """Take note of a good answer.

    Args:
        pace: The pace before.
        began: When its call was begun.
        most: Calls at the same time where the service says nothing.

    Returns:
        The pace from now on: one more call after as many good answers as there may be calls.
    """
    if began <= pace.cut_at:
        return pace
    return replace(pace, limit=min(float(most), pace.limit + 1 / pace.limit), refusals=0)
