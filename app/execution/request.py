"""GraphQL requests and responses, and what a response reports of its sources. Pure.

The report of the sources is in ``extensions`` and in the header ``Server-Timing``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from graphql import GraphQLFormattedError

from app.resilience.pace import PaceState
from app.sources.base import SourceTrace, Trace

OnError = Literal["NULL", "PROPAGATE", "HALT"]
"""What an error does to the answer (GraphQL specification, proposal #1163, "Error behaviors").

``NULL``: the field is null, even if its type is non-null. ``PROPAGATE``: an error in a non-null
field makes its parent null, too. ``HALT``: the first error ends the operation, without data.
"""


@dataclass(slots=True)
class GraphQLRequest:
    """The parameters of a request ("GraphQL over HTTP", section 5.1).

    Attributes:
        query: The text of the document.
        document_id: The id of a document that the gateway has (the specification's appendix on
            persisted documents).
        operation_name: The name of the operation to execute.
        variables: Values of the operation's variables, by name.
        on_error: What an error does to the answer.
        extensions: Parameters beyond the specification.
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


@dataclass(frozen=True, slots=True)
class OperationReport:
    """What an operation was and did, for the log.

    Attributes:
        name: Its name; ``None`` if it has none, or was refused before it was found.
        document: The hash of its document; ``None`` if there is no document.
        seconds: How long it took.
        cost: Its cost; ``None`` if it was refused before that was known.
        sources: The sources that were asked, in alphabetical order.
        compiled: Whether it ran compiled.
        document_kept: Whether the prepared document was kept from an earlier request.
        reason: Why it was refused, without words of the client; ``None`` if it was executed, or if
            it is not valid GraphQL.
    """

    name: str | None = None
    document: str | None = None
    seconds: float = 0.0
    cost: int | None = None
    sources: Sequence[str] = ()
    compiled: bool = False
    document_kept: bool = False
    reason: str | None = None


@dataclass(slots=True)
class GraphQLResponse:
    """The answer to a request.

    Attributes:
        executed: Whether execution began. If not, the answer has no ``data`` at all.
        data: The values of the selected fields; ``null`` for those that failed.
        errors: The errors, as clients see them.
        status: HTTP status of a request that was not executed.
        extensions: ``extensions`` of the answer; ``None`` for none.
        timings: Seconds that each source took, by name; ``None`` if they are not reported.
        headers: Further HTTP headers of the answer, such as those that the status needs.
        report: What the operation was and did; ``None`` if a bug of ours ended it, or if it was not
            run at all.
    """

    executed: bool
    data: dict[str, Any] | None
    errors: Sequence[GraphQLFormattedError]
    status: int = 200
    extensions: Mapping[str, object] | None = None
    timings: Mapping[str, float] | None = None
    headers: Mapping[str, str] | None = None
    report: OperationReport | None = None


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What ``extensions.sources`` reports of one source. The attribute names are public.

    Attributes:
        status: What became of the request at the source.
        code: The code of its failure.
        calls: How many calls were made.
        keys: How many keys were asked for.
        attempts: How many attempts the calls took, retries included.
        ms: How long it took, in milliseconds.
        circuit: The state of its circuit breaker.
        pace: The state of its rate pacing, unless it is free.
        ageMs: The age of a stale record that was used, in milliseconds.
    """

    status: str
    code: str | None = None
    calls: int | None = None
    keys: int | None = None
    attempts: int | None = None
    ms: float | None = None
    circuit: str | None = None
    pace: str | None = None
    ageMs: int | None = None  # noqa: N815 # the public name

    def known(self) -> Mapping[str, object]:
        """Return the attributes that are not ``None``, by name.

        Returns:
            The report, as JSON values.
        """
        pairs = ((name, getattr(self, name)) for name in self.__slots__)
        return {name: value for name, value in pairs if value is not None}


def extensions_of(trace: Trace, *, report_sources: bool) -> Mapping[str, object] | None:
    """Return the ``extensions`` that report the sources.

    Args:
        trace: What became of the request at each source.
        report_sources: Whether to report everything. Stale records are always reported, since a
            client should know that it shows old values.

    Returns:
        The answer's ``extensions``; ``None`` if there is nothing to report.
    """
    reports = {
        name: _report(source, report_sources=report_sources).known()
        for name, source in trace.sources.items()
        if report_sources or source.stale is not None
    }
    return {"sources": reports} if reports else None


def timings_of(trace: Trace) -> Mapping[str, float]:
    """Return how long each source took.

    Args:
        trace: What became of the request at each source.

    Returns:
        Seconds, by name of the source.
    """
    return {name: source.seconds for name, source in trace.sources.items()}


def _report(source: SourceTrace, *, report_sources: bool) -> SourceReport:
    """Make the report of one source."""
    age = None if source.stale is None else int(source.stale * 1000)
    if not report_sources:
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
