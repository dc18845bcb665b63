"""The place of a request in a distributed trace (W3C Trace Context). Pure."""

import re
from random import getrandbits

from msgspec import Struct

VALID_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x20-\x7e]{0,128})?"
)
"""W3C Trace Context, section 3.2: later versions may have more after the flags."""

MAX_TRACESTATE = 512
"""The most characters of ``tracestate`` that are sent on (W3C Trace Context, section 3.3.1.5)."""

MAX_MEMBERS = 32
"""The most members of ``tracestate`` (section 3.3.1.1)."""

_MEMBER = re.compile(
    r"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
"""A member of ``tracestate``, with its key (sections 3.3.1.3.1 and 3.3.1.3.2)."""

VALID_BAGGAGE = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,8191}")
"""W3C Baggage, section 3.3.2: at least 8192 bytes have to be sent on."""

_SAMPLED = 1


class TraceContext(Struct, frozen=True):
    """A span, as its children need it.

    Attributes:
        traceparent: Version, trace id, span id and flags (W3C Trace Context, section 3.2).
        tracestate: What tracing systems add (section 3.3); ``None`` for nothing.
        exported: Whether the gateway exports the span, so that it may have children here.
    """

    traceparent: str
    tracestate: str | None = None
    exported: bool = False

    @property
    def trace_id(self) -> str:
        """The id of the trace, 32 characters."""
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        """The id of the span, 16 characters."""
        return self.traceparent[36:52]

    @property
    def is_sampled(self) -> bool:
        """Whether the caller records the trace (section 3.2.2.5.1)."""
        return bool(int(self.traceparent[53:55], 16) & _SAMPLED)

    def child(self) -> "TraceContext":
        """Return a new span of the same trace, with the same version and flags.

        Each exchange with a source is its own span, so that a tracing system does not mix up what
        the source does for two exchanges (section 3.2.2.4).

        Returns:
            The context of the child. Its span id is random, and never zero, which is invalid.
        """
        before, after = self.traceparent[:36], self.traceparent[52:]
        return TraceContext(f"{before}{new_span_id()}{after}", self.tracestate, self.exported)


def new_span_id() -> str:
    """Create the id of a span.

    Returns:
        64 random bits in hex, never zero.
    """
    return f"{getrandbits(64) or 1:016x}"


def new_trace_id() -> str:
    """Create the id of a trace.

    Returns:
        128 random bits in hex, never zero.
    """
    return f"{getrandbits(128) or 1:032x}"


def read_trace_context(traceparent: str | None, tracestate: str | None) -> TraceContext | None:
    """Read the trace that a request belongs to.

    Args:
        traceparent: The header ``traceparent``, if the request has it.
        tracestate: The header ``tracestate``, if the request has it.

    Returns:
        The span of the caller; ``None`` if there is no valid ``traceparent``. A ``tracestate`` that
        is not valid is left out (section 4.3).
    """
    if not traceparent or not VALID_TRACEPARENT.fullmatch(traceparent):
        return None
    valid = tracestate if tracestate and _is_tracestate(tracestate) else None
    return TraceContext(traceparent, valid)


def _is_tracestate(text: str) -> bool:
    """Return whether a text is a list of members with different keys.

    The SDK reads the text again for each span. It would log each text that is not such a list.
    """
    if len(text) > MAX_TRACESTATE:
        return False
    members = [member for one in text.split(",") if (member := one.strip(" \t"))]
    keys = [found[1] for member in members if (found := _MEMBER.fullmatch(member))]
    return 0 < len(members) == len(set(keys)) <= MAX_MEMBERS and len(keys) == len(members)
