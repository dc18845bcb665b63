"""Failures of fields, as the executor collects them: cheap ones, since there can be thousands.

A source that fails, fails each field that reads it: fifty fields of a hundred users are five
thousand errors. graphql-core makes every one from nothing, with its cause, its traceback and a
search for its place in the document, which took most of the time of such an answer.
"""

from graphql import GraphQLError, GraphQLFormattedError
from graphql.language.location import FormattedSourceLocation

from app.errors import GatewayError


class FieldFailedError(GraphQLError):
    """An error at a field that keeps what clients are told, and no more.

    Args:
        cause: What is wrong.
        places: Where the field is in the document: the same for all users.
        path: Where it is in the answer.
    """

    def __init__(
        self, cause: GatewayError, places: list[FormattedSourceLocation], path: list[str | int]
    ) -> None:
        # Not graphql-core's own: what that finds out is what this class is there to save.
        Exception.__init__(self, cause.message)
        self.message = cause.message
        self.path = path
        self.original_error = cause
        self._places = places

    @property
    def formatted(self) -> GraphQLFormattedError:
        """What clients are told, but for the extensions."""
        return {"message": self.message, "locations": self._places, "path": self.path or []}
