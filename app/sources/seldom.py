"""Rate-limited warnings, for what could be logged for each row or request."""

from collections.abc import Mapping

from msgspec import Struct
from structlog.typing import FilteringBoundLogger

from app.resilience.clock import Clock
from app.sources.base import RequestContext

WARN_EVERY = 60.0
"""Seconds between two warnings of one kind about one source."""

MAX_NAMED = 20
"""How many of the requests that share a call are named in the log."""


def requests_of(call: RequestContext) -> Mapping[str, object]:
    """Return the log fields that name the requests of a call.

    Args:
        call: The context of the call.

    Returns:
        ``request_id``, and ``trace_id`` if the call belongs to a trace. If several requests share
        the call, also ``requests``, the ids of the first twenty, and ``shared_by``, their number.
    """
    requests = call.requests if call.sharers is None else call.sharers()
    ids = {"request_id": call.request_id}
    if call.trace is not None:
        ids["trace_id"] = call.trace.trace_id
    if not call.requests and len(requests) < 2:  # noqa: PLR2004 # one request does not share
        return ids
    return {**ids, "requests": requests[:MAX_NAMED], "shared_by": len(requests)}


class _LastWarning(Struct):
    """When a warning of one kind may be logged again, and how many were left out."""

    again_at: float
    left_out: int = 0


class SeldomLog:
    """Logs the first warning of a kind about a source at once, then at most one a minute."""

    def __init__(self, log: FilteringBoundLogger, clock: Clock) -> None:
        """Create it without warnings.

        Args:
            log: Where warnings are logged.
            clock: The clock.
        """
        self._log = log
        self._clock = clock
        self._last: dict[tuple[str, str], _LastWarning] = {}

    def warn(
        self,
        event: str,
        source: str,
        call: RequestContext,
        *,
        severe: bool = False,
        **facts: object,
    ) -> None:
        """Log a warning, or count it if one of its kind was logged less than a minute ago.

        Args:
            event: The log event, which is the kind of warning. There must be few kinds.
            source: Name of the source, or of its endpoint.
            call: The context of the call.
            severe: Whether to log an error instead of a warning.
            facts: Further log fields. ``left_out`` is added: how many of this kind were left out
                since the last one.
        """
        now = self._clock.monotonic()
        last = self._last.get((source, event))
        if last is not None and now < last.again_at:
            last.left_out += 1
            return
        self._last[source, event] = _LastWarning(now + WARN_EVERY)
        if last is not None and last.left_out:
            facts["left_out"] = last.left_out
        write = self._log.error if severe else self._log.warning
        write(event, **requests_of(call), source=source, **facts)
