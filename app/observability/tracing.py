"""Spans: what a request did, step by step, for a tracing system.

A span is plain data, and is made when its step is over, only if its trace is sampled. So a request
whose trace is not sampled costs next to nothing. ``opentelemetry.py`` exports spans. Names and
attributes follow the semantic conventions of OpenTelemetry for HTTP, and the draft of the GraphQL
working group (graphql/otel-wg, ``spec/spans.yaml``; open-telemetry/semantic-conventions 3515).
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol, TypeAlias

from msgspec import Struct

from app.observability.trace_context import TraceContext

SpanAttributes: TypeAlias = Mapping[str, str | int | float | bool]
"""Values by the name of the attribute. They never contain words of clients or data of users."""


class SpanKind(StrEnum):
    """What a span is to its parent and its children."""

    SERVER = "server"
    """It serves a request of another program."""
    CLIENT = "client"
    """It is a request to another program."""
    INTERNAL = "internal"
    """It is a step within this program."""


class SpanEvent(Struct, frozen=True):
    """Something that happened during a span.

    Attributes:
        name: What happened.
        at: When, by ``clock.monotonic()``.
        attributes: More about it.
    """

    name: str
    at: float
    attributes: SpanAttributes = {}


class Span(Struct, frozen=True):
    """A step that is over. All times are ``clock.monotonic()``.

    Attributes:
        name: What it is; one of few names.
        kind: What it is to its parent and its children.
        context: Its place in the trace.
        parent: The span that it is part of; ``None`` for the first of a trace.
        started: When it began.
        ended: When it ended.
        attributes: More about it.
        events: What happened meanwhile.
        links: Spans of other traces that it also belongs to.
        error: Why it failed, in one of few words; ``None`` if it did not.
    """

    name: str
    kind: SpanKind
    context: TraceContext
    parent: TraceContext | None
    started: float
    ended: float
    attributes: SpanAttributes = {}
    events: Sequence[SpanEvent] = ()
    links: Sequence[TraceContext] = ()
    error: str | None = None


class Tracer(Protocol):
    """Decides which traces are recorded, and exports their spans."""

    def begin(
        self, parent: TraceContext | None, name: str, attributes: SpanAttributes
    ) -> TraceContext:
        """Begin the first span of a request, and decide whether its trace is recorded.

        Args:
            parent: The span of the caller; ``None`` if the caller has none.
            name: The name of the span.
            attributes: What the decision may depend on.

        Returns:
            The context of the new span. If it is not ``exported``, no span of the request is
            needed.
        """
        ...

    def export(self, span: Span) -> None:
        """Export a span. It must not wait.

        Args:
            span: The span, whose context is ``exported``.
        """
        ...
