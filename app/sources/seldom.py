"""Warnings that could be written for each row or request: the first at once, then few."""

from collections.abc import Mapping
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from app.resilience.clock import Clock
from app.sources.base import RequestContext

TOLD_EVERY = 60.0
"""Seconds between two warnings of one kind about one source."""

MAX_NAMED = 20
"""How many of the requests that share a call the log names."""


def requests_of(call: RequestContext) -> Mapping[str, object]:
    """Say in the log for which requests a call is made.

    Args:
        call: The call.

    Returns:
        Its id, and those of the requests that share it, where several do: the first twenty, and how
        many there are.
    """
    requests = call.requests if call.sharers is None else call.sharers()
    if not call.requests and len(requests) < 2:  # noqa: PLR2004 # one does not share
        return {"request_id": call.request_id}
    return {
        "request_id": call.request_id,
        "requests": requests[:MAX_NAMED],
        "shared_by": len(requests),
    }


@dataclass(slots=True)
class _Told:
    """When one kind of warning may be written again, and how many were left out."""

    again_at: float
    left_out: int = 0


class SeldomLog:
    """Writes a kind of warning about a source at once, and then at most once a minute."""

    def __init__(self, log: FilteringBoundLogger, clock: Clock) -> None:
        """Begin with nothing written.

        Args:
            log: Where warnings are written.
            clock: Tells the time.
        """
        self._log = log
        self._clock = clock
        self._told: dict[tuple[str, str], _Told] = {}

    def warn(
        self,
        event: str,
        source: str,
        call: RequestContext,
        *,
        severe: bool = False,
        **facts: object,
    ) -> None:
        """Write a warning, or count it where one of its kind was written lately.

        Args:
            event: What has happened: the kind. There are few.
            source: At which source, or which endpoint of one.
            call: For which request.
            severe: Whether it is an error.
            facts: What else is to be said. ``left_out`` is added: how many of its kind were left
                out since the last.
        """
        now = self._clock.monotonic()
        told = self._told.get((source, event))
        if told is not None and now < told.again_at:
            told.left_out += 1
            return
        self._told[source, event] = _Told(now + TOLD_EVERY)
        if told is not None and told.left_out:
            facts["left_out"] = told.left_out
        write = self._log.error if severe else self._log.warning
        write(event, **requests_of(call), source=source, **facts)
