"""Where the text of a document comes from: the request itself, or what it names one by.

Texts                            finds the text
├── PlainTexts                   in the request, and nowhere else
├── AutomaticTexts               among those that clients have sent before (``persisted.py``)
└── TrustedTexts                 among those that the operator has given (``trusted.py``)
"""

from typing import Protocol

from app.errors import Code, RequestError
from app.graphql.request import GraphQLRequest


class Texts(Protocol):
    """Finds the text of a request's document."""

    def of(self, request: GraphQLRequest) -> str:
        """Find the text.

        Args:
            request: What the client asks for.

        Returns:
            The text of its document.

        Raises:
            RequestError: There is none, or it may not be executed.
        """
        ...

    def keep(self, request: GraphQLRequest) -> None:
        """Keep what a request brings for others, once its caller has paid for it.

        Args:
            request: What the client asks for; ``of`` has found its text.
        """
        ...


class PlainTexts:
    """Finds the text in the request."""

    def of(self, request: GraphQLRequest) -> str:
        """Find the text; a request that only names its document is told to send it."""
        if request.query:
            return request.query
        if request.names_document:
            # Apollo's clients look for this message and code, and then send the whole document.
            # They expect it as an answer, not as a failure of the request.
            raise RequestError(
                Code.PERSISTED_QUERY_NOT_SUPPORTED, "PersistedQueryNotSupported", status=200
            )
        raise no_text()

    def keep(self, request: GraphQLRequest) -> None:
        """Keep nothing."""


def no_text() -> RequestError:
    """Say that a request neither has nor names a document."""
    return RequestError(Code.BAD_REQUEST, 'there is no document: expected its text as "query"')
