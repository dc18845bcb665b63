"""Operations compiled: what a selection needs is found once, and then only done.

A compiled operation asks the sources for all of its users and writes the answer straight from
their records. It covers the everyday query: ``user`` and ``users`` with the fields that are read
from a record alone. Whatever it does not cover is left to the executor, and the resolvers stay the
definition of what is right: both ways have to give the same answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, cast

from graphql import (
    SKIP,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    NameNode,
    OperationDefinitionNode,
    VariableNode,
    Visitor,
    get_location,
    visit,
)
from graphql.execution.values import VariableValues, get_argument_values
from graphql.language.location import FormattedSourceLocation

from app.errors import BadUserInputError
from app.federation.plan import Plan
from app.graphql.fields import Reading
from app.graphql.query import USER_TYPES
from app.graphql.scalars import write_time
from app.graphql.schema import GatewaySchema
from app.graphql.selection import grouped_fields

Write = Callable[[Any], Any]
"""Writes a value, which is never ``None``, as JSON has it."""

AS_IT_IS = frozenset({"String", "ID", "Int", "Boolean", "SafeInt"})
"""Scalars whose values the records let through only as JSON has them."""


class NotCompiledError(Exception):
    """The operation has something that only the executor can do; the message says what."""


@dataclass(frozen=True, slots=True)
class UserField:
    """One field of the users of a selection.

    Attributes:
        key: Its key in the answer.
        source: Name of the source that it reads; ``None`` for one that reads none.
        read: Gives its value, as JSON has it, from the source's record, or from the user's id.
        wrong: What is wrong with its arguments, if something is: then it is always an error.
        locations: Where it stands in the document.
    """

    key: str
    source: str | None
    read: Write
    wrong: BadUserInputError | None
    locations: Sequence[FormattedSourceLocation]


@dataclass(frozen=True, slots=True)
class RootField:
    """One field of the operation.

    Attributes:
        key: Its key in the answer.
        name: ``user``, ``users`` or ``__typename``.
        node: Where its arguments are.
        plan: Which sources its users need.
        fields: What is selected of them.
        locations: Where it stands in the document.
    """

    key: str
    name: str
    node: FieldNode
    plan: Plan
    fields: Sequence[UserField]
    locations: Sequence[FormattedSourceLocation]


MAX_VARIANTS = 64
"""How many variants of one operation are kept: more than its clients' switches have."""


MAX_VALUES = 1_000
"""The longest values, in characters, that a variant is kept for."""


class Variants:
    """What an operation was compiled to, for each set of the values that decide over it.

    Those are the values of all variables but the ones that only name users.
    """

    def __init__(self) -> None:
        self._deciding: dict[str | None, tuple[str, ...]] = {}
        self._kept: dict[object, Sequence[RootField] | NotCompiledError] = {}

    def get(
        self,
        compiler: "Compiler",
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: VariableValues,
    ) -> Sequence[RootField]:
        """Find what an operation was compiled to, or compile it.

        Args:
            compiler: Compiles it.
            document: The document that it is in, valid.
            operation: The operation.
            variables: Values of its variables, coerced.

        Returns:
            Its fields.

        Raises:
            NotCompiledError: Only the executor can do it.
        """
        name = operation.name.value if operation.name is not None else None
        if (deciding := self._deciding.get(name)) is None:
            deciding = self._deciding[name] = deciding_variables(document)
        given = [variables.coerced.get(variable) for variable in deciding]
        if None in given:
            raise NotCompiledError("a variable that is null, where that may be an error")
        values = tuple(map(repr, given))
        if sum(map(len, values)) > MAX_VALUES:
            raise NotCompiledError("values too long to be kept")
        ready = self._kept.get((name, values))
        if ready is None:
            if len(self._kept) >= MAX_VARIANTS:
                self._kept.clear()
            try:
                ready = compiler.compile(document, operation, variables)
            except NotCompiledError as error:
                ready = error.with_traceback(None)
            self._kept[name, values] = ready
        if isinstance(ready, NotCompiledError):
            raise ready.with_traceback(None)
        return ready


def deciding_variables(document: DocumentNode) -> tuple[str, ...]:
    """Find the variables that decide over how an operation is compiled.

    Args:
        document: The document.

    Returns:
        Names of those that are used anywhere but in the arguments of ``user`` and ``users``.
    """
    names: dict[str, None] = {}

    class Finder(Visitor):
        """Takes note of variables."""

        def enter_field(self, node: FieldNode, *_: object) -> object:
            """Pass over the arguments that name users."""
            if node.name.value not in {"user", "users"}:
                return None
            for part in (*(node.directives or ()), node.selection_set):
                if part is not None:
                    visit(part, Finder())
            return SKIP

        def enter_variable_definition(self, *_: object) -> object:
            """Pass over where variables are declared."""
            return SKIP

        def enter_variable(self, node: VariableNode, *_: object) -> None:
            """Take note of one."""
            names[node.name.value] = None

    visit(document, Finder())
    return tuple(names)


class Compiler:
    """Compiles operations against the schema."""

    def __init__(self, schema: GatewaySchema) -> None:
        self._core = schema.core
        self._planner = schema.planner
        self._readings: Mapping[str, Reading] = schema.readings
        self._user = self._object("User")
        self._query = self._object("Query")

    def compile(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: VariableValues,
    ) -> Sequence[RootField]:
        """Compile an operation for some variables.

        Args:
            document: The document that it is in, valid.
            operation: The operation.
            variables: Values of its variables, coerced.

        Returns:
            Its fields, in the order of the answer.

        Raises:
            NotCompiledError: Only the executor can do it.
        """
        if any(one.name.value not in {"include", "skip"} for one in operation.directives or ()):
            raise NotCompiledError("a directive of the operation")
        fragments = {
            one.name.value: one
            for one in document.definitions
            if isinstance(one, FragmentDefinitionNode)
        }
        root = FieldNode(name=NameNode(value=""), selection_set=operation.selection_set)
        selection = _Selection(fragments, variables)
        return [
            self._root(key, nodes, selection)
            for key, nodes in selection.below([root], frozenset({"Query"})).items()
        ]

    def _root(self, key: str, nodes: list[FieldNode], selection: "_Selection") -> RootField:
        """Compile one field of the operation."""
        name = nodes[0].name.value
        if name not in {"user", "users", "__typename"}:
            raise NotCompiledError(f"the field {name}")
        groups = selection.below(nodes, USER_TYPES)
        return RootField(
            key=key,
            name=name,
            node=nodes[0],
            plan=self._planner.plan(group[0].name.value for group in groups.values()),
            fields=[self._field(key, group, selection) for key, group in groups.items()],
            locations=_locations(nodes),
        )

    def _field(self, key: str, nodes: list[FieldNode], selection: "_Selection") -> UserField:
        """Compile one field of a user."""
        name = nodes[0].name.value
        locations = _locations(nodes)
        if name == "__typename":
            return UserField(key, None, lambda _: "User", None, locations)
        if name == "id":
            return UserField(key, None, _as_it_is, None, locations)
        reading = self._readings.get(name)
        if reading is None or reading.bind is None:
            raise NotCompiledError(f"the field {name}, which asks on its own")
        definition = self._user.fields[name]
        write = self._write(definition.type, nodes, selection)
        try:
            get = reading.bind(_arguments(definition, nodes[0], selection.variables))
        except BadUserInputError as error:
            return UserField(key, reading.spec.name, _as_it_is, error, locations)
        return UserField(key, reading.spec.name, _read_and_write(get, write), None, locations)

    def _write(self, kind: object, nodes: list[FieldNode], selection: "_Selection") -> Write:
        """Compile what writes the values of a type."""
        if isinstance(kind, GraphQLNonNull | GraphQLList):
            wrapper = cast("GraphQLList[Any]", kind)
            write = self._write(wrapper.of_type, nodes, selection)
            if isinstance(kind, GraphQLNonNull):
                return write
            return lambda values: [write(value) for value in values]
        if isinstance(kind, GraphQLObjectType):
            return self._write_object(kind, nodes, selection)
        if isinstance(kind, GraphQLEnumType):
            return kind.coerce_output_value
        if isinstance(kind, GraphQLScalarType) and kind.name == "DateTime":
            return _write_time
        if isinstance(kind, GraphQLScalarType) and kind.name in AS_IT_IS:
            return _as_it_is
        raise NotCompiledError(f"the type {kind}")

    def _write_object(
        self, kind: GraphQLObjectType, nodes: list[FieldNode], selection: "_Selection"
    ) -> Write:
        """Compile what writes the objects of a type, whose fields are attributes."""
        parts: list[tuple[str, Write]] = []
        for key, group in selection.below(nodes, frozenset({kind.name})).items():
            name = group[0].name.value
            if name == "__typename":
                parts.append((key, _constant(kind.name)))
                continue
            definition = kind.fields[name]
            field = definition.extensions["strawberry-definition"]
            if field.base_resolver is not None or definition.args:
                raise NotCompiledError(f"the field {kind.name}.{name}, which has a resolver")
            write = self._write(definition.type, group, selection)
            parts.append((key, _read_and_write(attrgetter(field.python_name), write)))
        return lambda value: {key: write(value) for key, write in parts}

    def _object(self, name: str) -> GraphQLObjectType:
        """Find an object type of the schema."""
        kind = self._core.type_map[name]
        if not isinstance(kind, GraphQLObjectType):
            raise TypeError(f"{name} is no object type")
        return kind


@dataclass(frozen=True, slots=True)
class _Selection:
    """What selections are read with.

    Attributes:
        fragments: The document's fragments, by name.
        variables: Values of the operation's variables.
    """

    fragments: Mapping[str, FragmentDefinitionNode]
    variables: VariableValues

    def below(self, nodes: list[FieldNode], types: frozenset[str]) -> dict[str, list[FieldNode]]:
        """Collect what is selected below a field."""
        return grouped_fields(
            nodes, types=types, fragments=self.fragments, variables=self.variables.coerced
        )


def _arguments(
    definition: GraphQLField, node: FieldNode, variables: VariableValues
) -> Mapping[str, Any]:
    """Coerce the arguments of a field."""
    if not definition.args:
        return {}
    return get_argument_values(definition, node, variables)


def _locations(nodes: Sequence[FieldNode]) -> Sequence[FormattedSourceLocation]:
    """Find where a field stands in the document."""
    return [get_location(node.loc.source, node.loc.start).formatted for node in nodes if node.loc]


def _as_it_is(value: Any) -> Any:  # noqa: ANN401 # whatever JSON has
    """Write a value that JSON has as it is."""
    return value


def _write_time(value: datetime) -> str:
    """Write a time."""
    return write_time(value)


def _constant(value: str) -> Write:
    """Write the same whatever the value is."""
    return lambda _: value


def _read_and_write(get: Callable[[Any], object], write: Write) -> Write:
    """Put reading and writing together; what is absent is ``None`` and is not written."""
    if write is _as_it_is:
        return get

    def both(record: Any) -> Any:  # noqa: ANN401 # whatever JSON has
        value = get(record)
        return None if value is None else write(value)

    return both
