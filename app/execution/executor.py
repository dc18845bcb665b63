"""The executor under which Strawberry's resolvers run, and failures of fields.

Failures of fields, as the executor collects them: cheap ones, since there can be thousands.

A source that fails, fails each field that reads it: fifty fields of a hundred users are five
thousand errors. graphql-core makes every one from nothing, with its cause, its traceback and a
search for its place in the document, which took most of the time of such an answer.

The executor under which Strawberry's resolvers run, with a choice of what an error does.

It gives the event loop a turn now and then. graphql-core completes a whole list without one once
its users are there, and twenty lists of a hundred users are tens of thousands of fields.
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
from app.execution.outcome import goes_up
from app.execution.request import OnError


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


FIELDS_A_TURN = 1_000
"""How many fields are executed before the event loop gets a turn: 10 to 25 ms of work."""


class Executor(StrawberryGraphQLCoreExecutionContext):
    """Executes one operation.

    graphql-core knows two of the three behaviours of an error; the third, ``HALT``, is to let
    every error go up to the root, as if no position could be null.
    """

    def __init__(self, *args: Any, on_error: OnError = "NULL", **kwargs: Any) -> None:  # noqa: ANN401 # graphql-core's own
        super().__init__(*args, **kwargs)
        self.async_helpers = _helpers_of(self)
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
        """Execute the fields of an object: at once, or later if there were many without a turn."""
        if self._fields < FIELDS_A_TURN:
            self._fields += len(grouped_field_set)
            return super().execute_fields(
                parent_type, source_value, path, grouped_field_set, position_context
            )

        async def later() -> dict[str, Any]:
            # One object after the other, or all that wait would have the same turn.
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
        """Take an error at a position, or let it go up."""
        if isinstance(raw_error, GatewayError):
            # It is no bug to be traced, and hundreds of tracebacks, each holding on to its frames,
            # would cost more than all the rest of the answer.
            raw_error.__traceback__ = None
            places = self._places_of(field_details_list)
            error: GraphQLError = FieldFailedError(raw_error, places, path.as_list())
        else:
            error = located_error(raw_error, to_nodes(field_details_list), path.as_list())
        if goes_up(self._on_error, nullable=not isinstance(return_type, GraphQLNonNull)):
            raise error
        self.collected_errors.add(error, path)

    def _places_of(self, field: FieldDetailsList) -> list[FormattedSourceLocation]:
        """Find where a field is in the document; looked up once for all objects that have it."""
        known = self._places.get(id(field))
        if known is None:
            found = GraphQLError("", to_nodes(field)).locations or []
            known = field, [one.formatted for one in found]
            self._places[id(field)] = known  # with the field itself: another could get its number
        return known[1]


def _helpers_of(executor: Executor) -> GraphQLResolveInfoHelpers:
    """Make an executor's helpers of resolvers, which do not hold on to it.

    graphql-core's own do, and the executor holds on to them: a ring, by which each operation with
    all of its records would be left to the garbage collector.
    """
    itself = weakref.proxy(executor)

    def gather(values: Sequence[Awaitable[Any]]) -> Awaitable[list[Any]]:
        gathered: Awaitable[list[Any]] = itself.gather_async_work(values)
        return gathered

    def track(values: Sequence[Any]) -> None:
        itself.track_async_work(values)

    return GraphQLResolveInfoHelpers(gather=gather, track=track)
