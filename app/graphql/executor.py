"""The executor under which Strawberry's resolvers run, with a choice of what an error does."""

from typing import Any

from graphql import GraphQLOutputType, located_error
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.executor import to_nodes
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from app.errors import ForbiddenError, SourceFailedError
from app.graphql.request import OnError


class Executor(StrawberryGraphQLCoreExecutionContext):
    """Executes one operation.

    graphql-core knows two of the three behaviours of an error; the third, ``HALT``, is to let
    every error go up to the root, as if no position could be null.
    """

    def __init__(self, *args: Any, on_error: OnError = "NULL", **kwargs: Any) -> None:  # noqa: ANN401 # graphql-core's own
        super().__init__(*args, **kwargs)
        self._halt = on_error == "HALT"
        self.error_propagation = on_error == "PROPAGATE"

    def handle_field_error(
        self,
        raw_error: Exception,
        return_type: GraphQLOutputType,  # pyright: ignore[reportUnknownParameterType]
        field_details_list: FieldDetailsList,
        path: Path,
    ) -> None:
        """Take an error at a position, or let it go up."""
        if isinstance(raw_error, SourceFailedError | ForbiddenError):
            # Neither is a bug to be traced, and hundreds of tracebacks, each holding on to
            # its frames, would cost more than all the rest of the answer.
            raw_error.__traceback__ = None
        if self._halt:
            raise located_error(raw_error, to_nodes(field_details_list), path.as_list())
        super().handle_field_error(  # pyright: ignore[reportUnknownMemberType] # generics left open
            raw_error, return_type, field_details_list, path
        )
