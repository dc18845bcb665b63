"""Which events the log leaves out: repeated refusals, and successful events of most requests."""

import time
import zlib
from collections.abc import Callable

import structlog
from msgspec import Struct
from structlog.typing import EventDict

MAX_REPEATS = 100
"""How many refusals with one status are logged within a minute."""


class RepeatLimit:
    """Drops events that one client could cause by the thousand. A structlog processor.

    Of one kind of event, so many are logged within a minute. The first of the next minute says how
    many were left out before it.
    """

    LIMITED = frozenset({"http.refused", "auth.refused"})
    """The kinds of events. Events with different ``status`` are different kinds."""

    def __init__(
        self,
        most: int = MAX_REPEATS,
        seconds: float = 60.0,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create it.

        Args:
            most: How many events of one kind are logged within the period.
            seconds: The length of the period.
            now: Returns the time, in seconds from any moment.
        """
        self._most = most
        self._seconds = seconds
        self._now = now
        self._counts: dict[tuple[object, object], _Repeats] = {}

    def __call__(self, _: object, __: str, event: EventDict) -> EventDict:
        """Return an event, or drop it.

        Args:
            event: The event, which is changed if others were left out before it.

        Returns:
            The event.

        Raises:
            structlog.DropEvent: The event is dropped.
        """
        if event["event"] not in self.LIMITED:
            return event
        kind, now = (event["event"], event.get("status")), self._now()
        repeats = self._counts.get(kind)
        if repeats is None or now >= repeats.until:
            if repeats is not None and repeats.count > self._most:
                event["left_out"] = repeats.count - self._most
            repeats = self._counts[kind] = _Repeats(now + self._seconds)
        repeats.count += 1
        if repeats.count > self._most:
            raise structlog.DropEvent
        return event


class _Repeats(Struct):
    """How often an event came within a period, and when that ends."""

    until: float
    count: int = 0


class Sampler:
    """Drops successful events of most requests. A structlog processor.

    The request id decides, so that all processes keep or drop the same requests. A call that
    several requests share has its own id.
    """

    SAMPLED = frozenset({"graphql.operation", "source.fetch"})
    """The events that each request has at least once."""

    def __init__(self, share: float) -> None:
        """Create it.

        Args:
            share: The share of requests whose events are kept, from 0 to 1.
        """
        self._threshold = share * 2**32

    def __call__(self, _: object, level: str, event: EventDict) -> EventDict:
        """Return an event, or drop it.

        Args:
            level: Its level.
            event: The event.

        Returns:
            The same event.

        Raises:
            structlog.DropEvent: The event is dropped.
        """
        good = level == "info" and not event.get("errors")
        if good and event["event"] in self.SAMPLED:
            number = zlib.crc32(str(event.get("request_id")).encode("utf-8", "replace"))
            if number >= self._threshold:
                raise structlog.DropEvent
        return event
