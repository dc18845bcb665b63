"""GraphQL requests and responses. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, Literal

from graphql import GraphQLFormattedError
from msgspec import Struct, field

from app.errors import RequestError, without_quotes
from app.execution.incremental import LaterPayloads
from app.execution.repeated_errors import RepeatedErrors

OnError = Literal["NULL", "PROPAGATE", "HALT"]
"""What an error does to the answer (GraphQL specification, proposal #1163, "Error behaviors").

``NULL``: the field is null, even if its type is non-null. ``PROPAGATE``: an error in a non-null
field makes its parent null, too. ``HALT``: the first error ends the operation, without data.
"""

ErrorForm = Literal["each", "grouped"]
"""How errors are reported: ``each`` at its path, or ``grouped`` by root field and source."""


class Delivery(Enum):
    """What becomes of an operation whose answer could come in several payloads."""

    WHOLE = auto()  # the client understands one answer only
    IN_PARTS = auto()
    REFUSED = auto()  # it is in a batch, whose answer is one piece


class GraphQLRequest(Struct, frozen=True):
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

    @property
    def errors(self) -> object:
        """How the client wants errors: an ``ErrorForm``, or ``None`` where it does not say it."""
        return None if self.extensions is None else self.extensions.get("errors")


class OperationReport(Struct):
    """What an operation was and did, for the log.

    Attributes:
        name: Its name; ``None`` if it has none, or was refused before it was found.
        document: The hash of its document; ``None`` if there is no document.
        seconds: How long it took, until the last payload.
        cost: Its cost; ``None`` if it was refused before that was known.
        sources: The sources that were asked, in alphabetical order.
        compiled: Whether it ran compiled.
        executor: Why the executor rendered the answer; ``None`` if it did not.
        document_kept: Whether the prepared document was kept from an earlier request.
        reason: Why it was refused, without words of the client; ``None`` if it was executed, or if
            it is not valid GraphQL.
        limit: The setting of the limit that it exceeded; ``None`` if it exceeded none.
        caller: Kind of caller for which that limit counts; ``None`` if it counts for none.
        trusted: Whether the operator has provided its document.
        payloads: In how many payloads its answer came.
        first_seconds: How long the first payload took, if there are several.
        errors: How many errors it has, of all payloads, by code and source. The first one is the
            first error; the source is empty if the error is about none.
    """

    name: str | None = None
    document: str | None = None
    seconds: float = 0.0
    cost: int | None = None
    sources: Sequence[str] = ()
    compiled: bool = False
    executor: str | None = None
    document_kept: bool = False
    reason: str | None = None
    limit: str | None = None
    caller: str | None = None
    trusted: bool = False
    payloads: int = 1
    first_seconds: float | None = None
    errors: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])

    def refuse(self, error: RequestError) -> None:
        """Note why the operation was refused.

        Args:
            error: The reason.
        """
        self.reason, self.limit = without_quotes(error.message), error.limit
        self.caller = error.caller

    def count(self, errors: Sequence[GraphQLFormattedError]) -> None:
        """Count errors, once: a source that is down may be hundreds of them.

        Args:
            errors: The errors of the answer, or of a payload.
        """
        each, times = errors, 1
        if isinstance(errors, RepeatedErrors):
            each, times = errors.of_one, len(errors.places)
        for error in each:
            extensions = error.get("extensions", {})
            key = str(extensions.get("code")), str(extensions.get("source", ""))
            self.errors[key] += times


class AnswerFreshness(Struct, frozen=True):
    """How long caches outside the gateway may store an answer.

    Attributes:
        seconds: For how many seconds, at least 1.
        public: Whether shared caches may store it, too.
    """

    seconds: int
    public: bool


class GraphQLResponse(Struct):
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
            run at all. It is complete after the last payload.
        later: What comes after this first payload; ``None`` if this is the whole answer.
        grouped: Whether the client gets the errors of an executed operation grouped. ``errors`` has
            each of them, for the log.
        freshness: How long caches may store the answer; ``None`` for not at all.
    """

    executed: bool
    data: dict[str, Any] | None
    errors: Sequence[GraphQLFormattedError]
    status: int = 200
    extensions: Mapping[str, object] | None = None
    timings: Mapping[str, float] | None = None
    headers: Mapping[str, str] | None = None
    report: OperationReport | None = None
    later: LaterPayloads | None = None
    grouped: bool = False
    freshness: AnswerFreshness | None = None
