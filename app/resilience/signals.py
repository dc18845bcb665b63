"""What an answer says of how fast its service may be asked. Pure.

429                                    refused for its rate; so is 403 with a time or nothing left
Retry-After                            seconds or a date (RFC 9110, section 10.2.3)
Backoff                                seconds, mostly with an answer that is good
RateLimit, RateLimit-Policy            draft-ietf-httpapi-ratelimit-headers, 07 and from 08 on
RateLimit-Remaining, RateLimit-Reset   the same, up to 06
X-RateLimit-…, X-Rate-Limit-…          GitHub's and others': the reset is seconds, or a time

Whatever cannot be read says nothing: a service that counts in words of its own is asked as if it
were silent, and its 429 is understood all the same.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from app.resilience.clock import Clock

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
