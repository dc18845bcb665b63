"""The executor that runs Strawberry's resolvers, and the errors of failed fields.

It differs from Strawberry's in three ways:

- The client chooses what an error does (``onError``).
- Errors of fields are cheap. A failed source fails every field that reads it: fifty fields of a
  hundred users are five thousand errors. graphql-core makes each one anew, with its cause, its
  traceback and a search for its location in the document. This took most of the time of such an
  answer.
- It yields to the event loop now and then. graphql-core completes a whole list without a pause as
  soon as its users are loaded, and twenty lists of a hundred users are tens of thousands of fields.
"""

import asyncio
import weakref
from collections.abc import Awaitable, Sequence
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLFormattedError,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    located_error,
)
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet
from graphql.execution.executor import to_nodes
from graphql.language.location import FormattedSourceLocation
from graphql.pyutils import Path
from graphql.type.definition import GraphQLResolveInfoHelpers
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from app.errors import GatewayError
from app.execution.outcome import propagates
from app.execution.request import OnError


class FieldFailedError(GraphQLError):
    """An error at a field that keeps only what clients see.

    Args:
        cause: The error that the resolver raised.
        places: The locations of the field in the document: the same for all users.
        path: The path of the field in the answer.
    """

    def __init__(
        self, cause: GatewayError, places: list[FormattedSourceLocation], path: list[str | int]
    ) -> None:
        # Does not call graphql-core's constructor: its work is what this class avoids.
        Exception.__init__(self, cause.message)
        self.message = cause.message
        self.path = path
        self.original_error = cause
        self._places = places

    @property
    def formatted(self) -> GraphQLFormattedError:
        """The error as clients see it, without the extensions."""
        return {"message": self.message, "locations": self._places, "path": self.path or []}


FIELDS_A_TURN = 1_000
"""How many fields are executed before the event loop may run others: 10 to 25 ms of work."""


class Executor(StrawberryGraphQLCoreExecutionContext):
    """Executes one operation.

    graphql-core implements two of the three error behaviours. The third, ``HALT``, is implemented
    here: every error propagates to the root, as if all types were non-null.

    Args:
        args: Passed on to graphql-core.
        on_error: What an error does to the answer.
        kwargs: Passed on to graphql-core.
    """

    def __init__(self, *args: Any, on_error: OnError = "NULL", **kwargs: Any) -> None:  # noqa: ANN401 # graphql-core's own
        super().__init__(*args, **kwargs)
        self.async_helpers = _make_helpers(self)
        self._on_error: OnError = on_error
        self.error_propagation = on_error == "PROPAGATE"
        self._fields = 0
        self._one_at_a_time = asyncio.Lock()
        self._places: dict[int, tuple[FieldDetailsList, list[FormattedSourceLocation]]] = {}

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,  # noqa: ANN401 # graphql-core's own
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: Any,  # noqa: ANN401 # the same
    ) -> Awaitable[dict[str, Any]] | dict[str, Any]:
        """Execute the fields of an object; after a pause if ``FIELDS_A_TURN`` were executed.

        Args:
            parent_type: The type of the object.
            source_value: The object.
            path: The path of the object in the answer.
            grouped_field_set: Its selected fields.
            position_context: Passed on to graphql-core.

        Returns:
            The values of the fields by response key, or an awaitable of them.
        """
        if self._fields < FIELDS_A_TURN:
            self._fields += len(grouped_field_set)
            return super().execute_fields(
                parent_type, source_value, path, grouped_field_set, position_context
            )

        async def later() -> dict[str, Any]:
            # One object after the other, or all waiting objects would run without a pause.
            async with self._one_at_a_time:
                if self._fields >= FIELDS_A_TURN:
                    await asyncio.sleep(0)
                    self._fields = 0
                fields = self.execute_fields(
                    parent_type, source_value, path, grouped_field_set, position_context
                )
            return fields if isinstance(fields, dict) else await fields

        return later()

    def handle_field_error(
        self,
        raw_error: Exception,
        return_type: GraphQLOutputType,  # pyright: ignore[reportUnknownParameterType]
        field_details_list: FieldDetailsList,
        path: Path,
    ) -> None:
        """Collect an error at a field, or propagate it to the parent.

        Args:
            raw_error: The error that the resolver or the completion raised.
            return_type: The type of the field.
            field_details_list: The field's nodes in the document.
            path: The path of the field in the answer.

        Raises:
            GraphQLError: The error propagates to the parent.
        """
        if isinstance(raw_error, GatewayError):
            # It is not a bug, so nobody needs the traceback. Hundreds of tracebacks with their
            # frames would cost more than the rest of the answer.
            raw_error.__traceback__ = None
            places = self._places_of(field_details_list)
            error: GraphQLError = FieldFailedError(raw_error, places, path.as_list())
        else:
            error = located_error(raw_error, to_nodes(field_details_list), path.as_list())
        if propagates(self._on_error, nullable=not isinstance(return_type, GraphQLNonNull)):
            raise error
        self.collected_errors.add(error, path)

    def _places_of(self, field: FieldDetailsList) -> list[FormattedSourceLocation]:
        """Return the locations of a field in the document; found once for all objects."""
        known = self._places.get(id(field))
        if known is None:
            locations = GraphQLError("", to_nodes(field)).locations or []
            known = field, [location.formatted for location in locations]
            # The entry keeps the field alive: otherwise, a new object could get the same id.
            self._places[id(field)] = known
        return known[1]


def _make_helpers(executor: Executor) -> GraphQLResolveInfoHelpers:
    """Make the executor's helpers for resolvers, with only a weak reference to the executor.

    graphql-core's own helpers refer to the executor, which refers to them. By this reference cycle,
    only the garbage collector would free an operation with all of its records.
    """
    weak = weakref.proxy(executor)

    def gather(values: Sequence[Awaitable[Any]]) -> Awaitable[list[Any]]:
        gathered: Awaitable[list[Any]] = weak.gather_async_work(values)
        return gathered

    def track(values: Sequence[Any]) -> None:
        weak.track_async_work(values)

    return GraphQLResolveInfoHelpers(gather=gather, track=track)
