"""What a client asks for, and what it is answered: the shapes on either side of an operation."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from graphql import GraphQLFormattedError

from app.readonly import readonly

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
class Answer:
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
