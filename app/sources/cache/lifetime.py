"""How long a response may be kept, by ``Cache-Control`` and related headers. Pure.

    s-maxage, max-age, Expires     how long it is fresh, minus its age when it arrives
    no-store, no-cache, Vary: *    it may not be kept
    private                        it may be kept only under the identity of the caller
    must-revalidate                it may not be used when it is stale
    stale-while-revalidate         how long it may be used after that (RFC 5861, section 3)
    stale-if-error                 the same (RFC 5861, section 4)
    Cache-Tag, Surrogate-Key       by which names it can be invalidated

All this follows RFC 9111; in its terms the gateway is a shared cache. The headers are upper bounds
for the settings: a service can shorten these times, but not extend them. A value that cannot be
read means "not fresh" (section 4.2.1). Of two different values the stricter one counts.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import MappingProxyType

from msgspec import Struct

HEADERS = frozenset({"cache-control", "expires"})
"""A response without these headers, and without ``Vary: *``, has no bounds."""

TAG_HEADERS = ("cache-tag", "surrogate-key")
"""Headers with the tags of a response: of Cloudflare and Akamai with commas between tags, of Fastly
and Varnish with spaces. A tag has neither, so both may stand between tags in either."""

MOST_TAGS = 100
"""The most tags of a response that is kept. With more, it would be kept without some."""

_BETWEEN_TAGS = re.compile(r"[,\s]+")

_DIRECTIVE = re.compile(r'([^\s=,;"]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*+)"?|([^\s,;"]*)))?')
_SECONDS = re.compile(r"\d+", re.ASCII)

LONGEST = 1e9
"""The longest time, in seconds. Longer times count as this one."""


class Lifetime(Struct, frozen=True):
    """How long a response may be kept. The default is without bounds.

    Attributes:
        fresh: Seconds from its arrival while it is fresh; not positive if it arrived stale.
        stale_while_revalidate: Seconds after that while it may be used and is renewed.
        stale_if_error: Seconds after that while it may be used if the source fails.
        private: Whether it may be used only for the same caller.
    """

    fresh: float = math.inf
    stale_while_revalidate: float = math.inf
    stale_if_error: float = math.inf
    private: bool = False

    @property
    def over(self) -> bool:
        """Whether the response may not be kept at all."""
        return self.fresh + max(self.stale_while_revalidate, self.stale_if_error, 0.0) <= 0

    def shorter(self, other: "Lifetime") -> "Lifetime":
        """Return the lifetime of two merged responses.

        Args:
            other: The lifetime of the other response.

        Returns:
            A lifetime with the shorter of both times each; private if either is.
        """
        return Lifetime(
            min(self.fresh, other.fresh),
            min(self.stale_while_revalidate, other.stale_while_revalidate),
            min(self.stale_if_error, other.stale_if_error),
            self.private or other.private,
        )


UNBOUNDED = Lifetime()
"""The lifetime of a response without cache headers."""

OVER = Lifetime(fresh=0.0, stale_while_revalidate=0.0, stale_if_error=0.0)
"""The lifetime of a response that must not be kept."""


class ArrivalTime(Struct, frozen=True):
    """The arrival of a response with cache headers.

    Attributes:
        at: When it arrived, by the time of day.
        lifetime: Its lifetime from then on.
        tags: Its tags, by which it can be invalidated.
    """

    at: datetime
    lifetime: Lifetime
    tags: tuple[str, ...] = ()


class FreshnessBound(Struct, frozen=True):
    """What the cache headers of some responses allow to those who get data of them.

    Attributes:
        until: When the first of them is no longer fresh, by the time of day; ``None`` if none of
            them says it.
        silent: Whether one of them does not say it.
        private: Whether data of one of them may be kept only for the same caller.
    """

    until: datetime | None = None
    silent: bool = True
    private: bool = False

    def joined(self, other: "FreshnessBound") -> "FreshnessBound":
        """Return what further responses and these allow together.

        Args:
            other: What further responses allow.

        Returns:
            The earlier time of both.
        """
        times = [one.until for one in (self, other) if one.until is not None]
        return FreshnessBound(
            min(times, default=None), self.silent or other.silent, self.private or other.private
        )


SILENT = FreshnessBound()
"""What a response without cache headers allows."""


NO_HEADERS: Mapping[str, str] = MappingProxyType({})
"""The headers of a response that had none of interest."""


class SeenResponse(Struct, eq=False, gc=False):
    """When a response was seen, and its cache headers, which are read only if somebody asks.

    Reading them takes longer than the rest of a call's accounting, and few gateways let others
    store their answers.

    Attributes:
        known_at: When this process got to know it, by the time of day.
        took: Seconds from the request to its arrival.
        headers: Its headers, by names in lower case.
        lifetime: Its lifetime, if that is known already.
        known_after: Microseconds from its arrival until then; 0 if it arrived at this process.
    """

    known_at: datetime
    took: float = 0.0
    headers: Mapping[str, str] = NO_HEADERS
    lifetime: Lifetime | None = None
    known_after: int = 0

    @property
    def at(self) -> datetime:
        """When it arrived, by the time of day. Few need it, and it takes long to make."""
        if not self.known_after:
            return self.known_at
        return self.known_at - timedelta(microseconds=self.known_after)

    def bound(self) -> FreshnessBound:
        """Return what the response allows to those who get data of it.

        Returns:
            The bound.
        """
        lifetime = self.lifetime
        if lifetime is None:
            arrival = read_arrival(self.headers, at=self.at, took=self.took)
            lifetime = UNBOUNDED if arrival is None else arrival.lifetime
        if lifetime == UNBOUNDED:
            return SILENT
        if math.isinf(lifetime.fresh):
            return FreshnessBound(private=lifetime.private)
        until = self.at + timedelta(seconds=max(lifetime.fresh, 0.0))
        return FreshnessBound(until, silent=False, private=lifetime.private)


def read_arrival(headers: Mapping[str, str], *, at: datetime, took: float) -> ArrivalTime | None:
    """Read the cache headers of a response.

    Args:
        headers: Its headers, by names in lower case.
        at: When it arrived, by the time of day.
        took: Seconds from the request to its arrival.

    Returns:
        Its arrival, lifetime and tags; ``None`` if it has no cache headers.
    """
    tags = _tags(headers)
    if HEADERS.isdisjoint(headers) and not _varies_by_all(headers):
        if not tags:
            return None
        return ArrivalTime(at, UNBOUNDED if len(tags) <= MOST_TAGS else OVER, tags)
    lifetime = read_lifetime(headers, at=at, took=took)
    return ArrivalTime(at, lifetime if len(tags) <= MOST_TAGS else OVER, tags)


def _tags(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the tags of a response, without duplicates."""
    texts = [headers[name] for name in TAG_HEADERS if name in headers]
    return tuple(dict.fromkeys(tag for text in texts for tag in tags_in(text)))


def tags_in(text: str) -> tuple[str, ...]:
    """Return the tags in a text. Pure.

    Args:
        text: The value of a header with tags.

    Returns:
        The tags, in their order.
    """
    return tuple(tag for tag in _BETWEEN_TAGS.split(text) if tag)


def read_lifetime(headers: Mapping[str, str], *, at: datetime, took: float) -> Lifetime:
    """Read how long a response may be kept.

    Args:
        headers: Its headers, by names in lower case.
        at: When it arrived, by the time of day.
        took: Seconds from the request to its arrival.

    Returns:
        Its lifetime from ``at`` on.
    """
    directives = _directives(headers.get("cache-control", ""))
    if not directives.keys().isdisjoint({"no-store", "no-cache"}) or _varies_by_all(headers):
        return OVER
    lifetime = _seconds(directives.get("s-maxage") or directives.get("max-age"))
    if lifetime is None:
        lifetime = _until_expiry(headers, at)
    # ``s-maxage`` also forbids to use a stale response (RFC 9111, section 5.2.2.10).
    default = 0.0 if "s-maxage" in directives else math.inf
    revalidate = _seconds(directives.get("stale-while-revalidate"))
    if_error = _seconds(directives.get("stale-if-error"))
    strict = not directives.keys().isdisjoint({"must-revalidate", "proxy-revalidate"})
    return Lifetime(
        fresh=math.inf if lifetime is None else lifetime - _age(headers, at, took),
        stale_while_revalidate=0.0 if strict else default if revalidate is None else revalidate,
        stale_if_error=0.0 if strict else default if if_error is None else if_error,
        private="private" in directives,
    )


def _varies_by_all(headers: Mapping[str, str]) -> bool:
    """Return whether the response has ``Vary: *`` (RFC 9110, section 12.5.5)."""
    vary = headers.get("vary")
    return vary is not None and any(name.strip() == "*" for name in vary.split(","))


def _directives(text: str) -> Mapping[str, Sequence[str]]:
    """Return the values of each directive of ``Cache-Control``, by its name in lower case."""
    directives: dict[str, list[str]] = {}
    for name, quoted, plain in _DIRECTIVE.findall(text):
        directives.setdefault(name.lower(), []).append(quoted or plain)
    return directives


def _seconds(values: Sequence[str] | None) -> float | None:
    """Read a number of seconds: 0 if it is invalid or repeated differently, ``None`` if absent."""
    if not values:
        return None
    if len(set(values)) > 1 or not _SECONDS.fullmatch(values[0]):
        return 0.0
    return min(float(values[0]), LONGEST)


def _until_expiry(headers: Mapping[str, str], at: datetime) -> float | None:
    """Return the seconds from ``Date`` to ``Expires``; 0 if ``Expires`` is not a date."""
    text = headers.get("expires")
    if text is None:
        return None
    expires = _date(text)
    return (
        0.0 if expires is None else (expires - (_date(headers.get("date")) or at)).total_seconds()
    )


def _age(headers: Mapping[str, str], at: datetime, took: float) -> float:
    """Return the age in seconds of a response when it arrived (RFC 9111, section 4.2.3)."""
    date = _date(headers.get("date"))
    apparent = 0.0 if date is None else (at - date).total_seconds()
    value = headers.get("age", "").partition(",")[0].strip()
    age = min(float(value), LONGEST) if _SECONDS.fullmatch(value) else 0.0
    return max(apparent, age + took)


def _date(text: str | None) -> datetime | None:
    """Read a date; the first if there are several."""
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
