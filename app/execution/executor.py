"""The executor that runs Strawberry's resolvers, and the errors of failed fields.

It differs from Strawberry's in four ways:

- The client chooses what an error does (``onError``).
- ``@defer`` and ``@stream`` apply only if the answer may come in several payloads. Then the fields
  of a user wait for the sources that they read, and for no others.
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
from graphql.execution.collect_fields import DeferUsage, FieldDetailsList, GroupedFieldSet
from graphql.execution.executor import StreamUsage, to_nodes
from graphql.language.location import FormattedSourceLocation
from graphql.pyutils import Path
from graphql.type.definition import GraphQLResolveInfoHelpers
from msgspec import Struct, field
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from app.errors import BadUserInputError, GatewayError
from app.execution.context import Context
from app.execution.outcome import propagates
from app.execution.request import OnError
from app.execution.running_users import RunningResults
from app.schema.types import ResolvedUser


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


class _Turn(Struct):
    """What was executed since the event loop could run others; shared by all payloads.

    Attributes:
        fields: The number of fields.
        one_at_a_time: Held while an object waits for its turn.
    """

    fields: int = 0
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)


class Executor(StrawberryGraphQLCoreExecutionContext):
    """Executes one operation.

    graphql-core implements two of the three error behaviours. The third, ``HALT``, is implemented
    here: every error propagates to the root, as if all types were non-null.

    Args:
        args: Passed on to graphql-core.
        on_error: What an error does to the answer.
        in_parts: Whether the answer may come in several payloads.
        kwargs: Passed on to graphql-core.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 # graphql-core's own
        on_error: OnError = "NULL",
        in_parts: bool = False,
        **kwargs: Any,  # noqa: ANN401 # the same
    ) -> None:
        super().__init__(*args, **kwargs)
        self.async_helpers = _make_helpers(self)
        self._on_error: OnError = on_error
        self.error_propagation = on_error == "PROPAGATE"
        self._in_parts = in_parts
        self._turn = _Turn()
        self._places: dict[int, tuple[FieldDetailsList, list[FormattedSourceLocation]]] = {}

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,  # noqa: ANN401 # graphql-core's own
        path: Path | None,
        grouped_field_set: GroupedFieldSet,
        position_context: Any,  # noqa: ANN401 # the same
    ) -> Awaitable[dict[str, Any]] | dict[str, Any]:
        """Execute the fields of an object, as soon as the sources that they read have answered.

        There is a pause before if ``FIELDS_A_TURN`` fields were executed.

        Args:
            parent_type: The type of the object.
            source_value: The object.
            path: The path of the object in the answer.
            grouped_field_set: Its selected fields.
            position_context: Passed on to graphql-core.

        Returns:
            The values of the fields by response key, or an awaitable of them.
        """
        turn = self._turn
        results = source_value.results if isinstance(source_value, ResolvedUser) else None
        unanswered: Sequence[str] = ()
        if isinstance(results, RunningResults):
            names = [one[0].node.name.value for one in grouped_field_set.values()]
            context: Context = self.context_value
            unanswered = results.unanswered(context.planner.sources_of(names))
        if not unanswered and turn.fields < FIELDS_A_TURN:
            turn.fields += len(grouped_field_set)
            return super().execute_fields(
                parent_type, source_value, path, grouped_field_set, position_context
            )

        async def later() -> dict[str, Any]:
            if isinstance(results, RunningResults):
                await results.wait_for(unanswered)
            # One object after the other, or all waiting objects would run without a pause.
            async with turn.one_at_a_time:
                if turn.fields >= FIELDS_A_TURN:
                    await asyncio.sleep(0)
                    turn.fields = 0
                fields = self.execute_fields(
                    parent_type, source_value, path, grouped_field_set, position_context
                )
            return fields if isinstance(fields, dict) else await fields

        return later()

    def execute_collected_root_fields(
        self,
        root_type: GraphQLObjectType,
        root_value: Any,  # noqa: ANN401 # graphql-core's own
        grouped_field_set: GroupedFieldSet,
        serially: bool,  # noqa: FBT001 # the same
        new_defer_usages: Sequence[DeferUsage],
    ) -> Awaitable[dict[str, Any]] | dict[str, Any]:
        """Execute the root fields; without those of deferred fragments if these come later.

        Args:
            root_type: The type of the operation.
            root_value: Passed on to graphql-core.
            grouped_field_set: The selected fields.
            serially: Whether they are executed one after the other.
            new_defer_usages: The deferred fragments.

        Returns:
            The values of the fields by response key, or an awaitable of them.
        """
        if self._in_parts:
            return super().execute_collected_root_fields(
                root_type, root_value, grouped_field_set, serially, new_defer_usages
            )
        return self.execute_root_grouped_field_set(
            root_type, root_value, grouped_field_set, serially, None
        )

    def execute_collected_subfields(  # noqa: PLR0917 # graphql-core's own
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,  # noqa: ANN401 # graphql-core's own
        path: Path,
        grouped_field_set: GroupedFieldSet,
        new_defer_usages: Sequence[DeferUsage],
        delivery_group_map: Any,  # noqa: ANN401 # the same
    ) -> Awaitable[dict[str, Any]] | dict[str, Any]:
        """Execute the fields of an object; without those of deferred fragments if these come later.

        Args:
            parent_type: The type of the object.
            source_value: The object.
            path: The path of the object in the answer.
            grouped_field_set: Its selected fields.
            new_defer_usages: The deferred fragments.
            delivery_group_map: Passed on to graphql-core.

        Returns:
            The values of the fields by response key, or an awaitable of them.
        """
        if self._in_parts:
            return super().execute_collected_subfields(
                parent_type,
                source_value,
                path,
                grouped_field_set,
                new_defer_usages,
                delivery_group_map,
            )
        return self.execute_fields(parent_type, source_value, path, grouped_field_set, None)

    def get_stream_usage(
        self, field_details_list: FieldDetailsList, path: Path
    ) -> StreamUsage | None:
        """Return how a list is streamed.

        Args:
            field_details_list: The field's nodes in the document.
            path: The path of the list in the answer.

        Returns:
            How it is streamed; ``None`` if all items come with the list.

        Raises:
            BadUserInputError: The number of the first items is negative or null.
        """
        if not self._in_parts:
            return None
        try:
            return super().get_stream_usage(field_details_list, path)
        except ValueError as error:
            raise BadUserInputError(
                "initialCount is negative or null: expected a number, 0 or more"
            ) from error

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

    def _places_of(self, nodes: FieldDetailsList) -> list[FormattedSourceLocation]:
        """Return the locations of a field in the document; found once for all objects."""
        known = self._places.get(id(nodes))
        if known is None:
            locations = GraphQLError("", to_nodes(nodes)).locations or []
            # A fragment that is spread twice, once deferred, has its fields twice.
            places = {one: one.formatted for one in locations}
            # The entry keeps the field alive: otherwise, a new object could get the same id.
            known = self._places[id(nodes)] = nodes, [*places.values()]
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
