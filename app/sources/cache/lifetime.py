"""How long an answer may be kept, as its service says: ``Cache-Control`` and its kin. Pure.

    s-maxage, max-age, Expires     how long it is fresh; less what it has spent of that on its way
    no-store, no-cache, Vary: *    not at all
    private                        under the identity of the caller alone
    must-revalidate                not a moment longer than it is fresh
    stale-while-revalidate         no longer than that after it (RFC 5861, section 3)
    stale-if-error                 the same (RFC 5861, section 4)

By RFC 9111; the gateway is a shared cache by its terms. These are upper bounds of what the settings
say: a service can have answers kept more briefly than those do, never longer. What cannot be read
counts as "not fresh" (section 4.2.1), and of two words that differ the stricter one holds.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

HEADERS = frozenset({"cache-control", "expires"})
"""The headers without which nothing is said."""

_DIRECTIVE = re.compile(r'([^\s=,;"]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*+)"?|([^\s,;"]*)))?')
_SECONDS = re.compile(r"\d+", re.ASCII)

LONGEST = 1e9
"""The longest time, in seconds, that is told from any longer one."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long an answer may be kept. Without bounds where nothing is said.

    Attributes:
        fresh: Seconds from its arrival in which it is fresh; it may have been old by then already.
        stale_while_revalidate: Seconds after that in which it may be used while it is renewed.
        stale_if_error: Seconds after that in which it may be used where the source fails.
        private: Whether it is for the caller alone.
    """

    fresh: float = math.inf
    stale_while_revalidate: float = math.inf
    stale_if_error: float = math.inf
    private: bool = False

    @property
    def over(self) -> bool:
        """Whether it can be used for nothing but answering what was asked."""
        return self.fresh + max(self.stale_while_revalidate, self.stale_if_error, 0.0) <= 0

    def beside(self, other: "Lifetime") -> "Lifetime":
        """Tell how long two answers may be kept together: as long as each of them may be."""
        return Lifetime(
            min(self.fresh, other.fresh),
            min(self.stale_while_revalidate, other.stale_while_revalidate),
            min(self.stale_if_error, other.stale_if_error),
            self.private or other.private,
        )


UNBOUNDED = Lifetime()
"""Of an answer that says nothing of it."""

OVER = Lifetime(fresh=0.0, stale_while_revalidate=0.0, stale_if_error=0.0)
"""Of an answer that must not be kept."""


@dataclass(frozen=True, slots=True)
class ArrivalTime:
    """An answer that says how long it may be kept.

    Attributes:
        at: When it came.
        lifetime: What it says.
    """

    at: datetime
    lifetime: Lifetime


@dataclass(slots=True)
class ArrivalTimes:
    """Takes note, while a source is asked, of the answers that say how long they may be kept.

    Attributes:
        by_key: The last of them that was about each user.
    """

    by_key: dict[str, ArrivalTime] = field(default_factory=dict[str, ArrivalTime])

    def note(
        self, keys: Sequence[str], headers: Mapping[str, str], *, at: datetime, took: float
    ) -> None:
        """Take note of an answer.

        Args:
            keys: The users whom it was asked about.
            headers: Its headers, by names in lower case.
            at: When it came, by the time of day.
            took: Seconds between asking and that.
        """
        if HEADERS.isdisjoint(headers) and not _varies_by_all(headers):
            return
        arrival = ArrivalTime(at, read_lifetime(headers, at=at, took=took))
        self.by_key.update(dict.fromkeys(keys, arrival))


def read_lifetime(headers: Mapping[str, str], *, at: datetime, took: float) -> Lifetime:
    """Read how long an answer may be kept.

    Args:
        headers: Its headers, by names in lower case.
        at: When it came, by the time of day.
        took: Seconds between asking and that.

    Returns:
        Its lifetime from then on.
    """
    said = _directives(headers.get("cache-control", ""))
    if not said.keys().isdisjoint({"no-store", "no-cache"}) or _varies_by_all(headers):
        return OVER
    lifetime = _seconds(said.get("s-maxage") or said.get("max-age"))
    if lifetime is None:
        lifetime = _until_expiry(headers, at)
    # ``s-maxage`` alone forbids what is stale as well (RFC 9111, section 5.2.2.10).
    unsaid = 0.0 if "s-maxage" in said else math.inf
    behind = _seconds(said.get("stale-while-revalidate"))
    if_error = _seconds(said.get("stale-if-error"))
    strict = not said.keys().isdisjoint({"must-revalidate", "proxy-revalidate"})
    return Lifetime(
        fresh=math.inf if lifetime is None else lifetime - _age(headers, at, took),
        stale_while_revalidate=0.0 if strict else unsaid if behind is None else behind,
        stale_if_error=0.0 if strict else unsaid if if_error is None else if_error,
        private="private" in said,
    )


def _varies_by_all(headers: Mapping[str, str]) -> bool:
    """Tell whether no other request can be answered alike (RFC 9110, section 12.5.5)."""
    vary = headers.get("vary")
    return vary is not None and any(name.strip() == "*" for name in vary.split(","))


def _directives(text: str) -> Mapping[str, Sequence[str]]:
    """Take ``Cache-Control`` apart: the values of each directive, by its name in lower case."""
    said: dict[str, list[str]] = {}
    for name, quoted, plain in _DIRECTIVE.findall(text):
        said.setdefault(name.lower(), []).append(quoted or plain)
    return said


def _seconds(values: Sequence[str] | None) -> float | None:
    """Read a number of seconds; none at all where it is no number, or where there are two."""
    if not values:
        return None
    if len(set(values)) > 1 or not _SECONDS.fullmatch(values[0]):
        return 0.0
    return min(float(values[0]), LONGEST)


def _until_expiry(headers: Mapping[str, str], at: datetime) -> float | None:
    """Read ``Expires``: seconds from when the answer was made; what is no date has gone by."""
    text = headers.get("expires")
    if text is None:
        return None
    expires = _date(text)
    return (
        0.0 if expires is None else (expires - (_date(headers.get("date")) or at)).total_seconds()
    )


def _age(headers: Mapping[str, str], at: datetime, took: float) -> float:
    """Tell how old an answer was when it came (RFC 9111, section 4.2.3)."""
    made = _date(headers.get("date"))
    apparent = 0.0 if made is None else (at - made).total_seconds()
    value = headers.get("age", "").partition(",")[0].strip()
    said = min(float(value), LONGEST) if _SECONDS.fullmatch(value) else 0.0
    return max(apparent, said + took)


def _date(text: str | None) -> datetime | None:
    """Read a date; of several the first."""
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
