"""What a client asks and is answered, and what an answer says of its sources.

What a client asks for, and what it is answered: the shapes on either side of an operation.

What an answer tells of its sources, in ``extensions`` and ``Server-Timing``. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from graphql import GraphQLFormattedError

from app.readonly import readonly
from app.resilience.pace import PaceState
from app.sources.base import SourceTrace, Trace

OnError = Literal["NULL", "PROPAGATE", "HALT"]
"""What an error does to the answer (GraphQL specification, proposal #1163, "Error behaviors").

``NULL``: the field is null, even where its type says never. ``PROPAGATE``: what could not be null
takes its parent with it. ``HALT``: the first error ends the operation, and there is no data.
"""


@readonly(frozen=True, slots=True)
class GraphQLRequest:
    """The parameters of a request ("GraphQL over HTTP", section 5.1).

    Attributes:
        query: The document.
        document_id: Names a document that the gateway has (the specification's appendix on
            persisted documents).
        operation_name: Which of the document's operations to execute.
        variables: Values of the operation's variables.
        on_error: What an error does to the answer.
        extensions: What a client has to say beyond the specification.
    """

    query: str | None = None
    document_id: str | None = None
    operation_name: str | None = None
    variables: dict[str, Any] | None = None
    on_error: OnError | None = None
    extensions: dict[str, Any] | None = None

    @property
    def names_document(self) -> bool:
        """Whether it names a document, by its id or, as Apollo's clients do, by its hash."""
        return self.document_id is not None or (
            self.extensions is not None and "persistedQuery" in self.extensions
        )


@readonly(frozen=True, slots=True)
class GraphQLResponse:
    """The answer to a request.

    Attributes:
        executed: Whether execution began. If not, the answer has no ``data`` at all.
        data: What the operation selected, as far as it could be had.
        errors: What went wrong, as clients see it.
        status: HTTP status of a request that was not executed.
        extensions: What there is to say beyond that.
        timings: Seconds that each source took, by name, where they may be told.
        headers: Further headers that the status calls for.
    """

    executed: bool
    data: dict[str, Any] | None
    errors: Sequence[GraphQLFormattedError]
    status: int = 200
    extensions: Mapping[str, object] | None = None
    timings: Mapping[str, float] | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What ``extensions.sources`` tells of one source. Its names are public."""

    status: str
    code: str | None = None
    calls: int | None = None
    keys: int | None = None
    attempts: int | None = None
    ms: float | None = None
    circuit: str | None = None
    pace: str | None = None
    ageMs: int | None = None  # noqa: N815 # the public name

    def told(self) -> Mapping[str, object]:
        """Give what there is to tell."""
        pairs = ((name, getattr(self, name)) for name in self.__slots__)
        return {name: value for name, value in pairs if value is not None}


def extensions_of(trace: Trace, *, tell_all: bool) -> Mapping[str, object] | None:
    """Say what there is to say of the sources.

    Args:
        trace: What became of the request at each.
        tell_all: Whether to tell everything; stale answers are told in any case, since a client
            should know when what it shows is old.

    Returns:
        The answer's ``extensions``, or ``None`` when there is nothing to say.
    """
    told = {
        name: _report(source, tell_all=tell_all).told()
        for name, source in trace.sources.items()
        if tell_all or source.stale is not None
    }
    return {"sources": told} if told else None


def timings_of(trace: Trace) -> Mapping[str, float]:
    """Say how long each source took.

    Args:
        trace: What became of the request at each.

    Returns:
        Seconds, by name of the source.
    """
    return {name: source.seconds for name, source in trace.sources.items()}


def _report(source: SourceTrace, *, tell_all: bool) -> SourceReport:
    """Make the report of one source."""
    age = None if source.stale is None else int(source.stale * 1000)
    if not tell_all:
        return SourceReport(status=source.status, ageMs=age)
    return SourceReport(
        status=source.status,
        code=None if source.code is None else source.code.value,
        calls=source.calls,
        keys=source.keys,
        attempts=source.attempts,
        ms=round(source.seconds * 1000, 2),
        circuit=source.circuit,
        pace=None if source.pace == PaceState.FREE else source.pace,
        ageMs=age,
    )
