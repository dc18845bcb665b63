"""Operations compiled: what a selection needs is found once, and then only done.

A compiled operation asks the sources for all of its users and writes the answer straight from
their records. It covers the everyday query: ``user`` and ``users`` with the fields that are read
from a record alone. Whatever it does not cover is left to the executor, and the resolvers stay the
definition of what is right: both ways have to give the same answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    NameNode,
    OperationDefinitionNode,
    VariableNode,
    get_location,
)
from graphql.execution.values import VariableValues, get_argument_values
from graphql.language.location import FormattedSourceLocation

from app.errors import BadUserInputError, GatewayError
from app.federation.plan import Plan, Planner
from app.graphql.fields import Reading
from app.graphql.query import USER_TYPES
from app.graphql.rights import Rights
from app.graphql.schema import GatewaySchema
from app.graphql.writer import NotCompiledError, Selection, Writer

OWN = {"id": "key", "__typename": "'User'"}
"""The fields of a user that read no source, and the text of their values."""


@dataclass(frozen=True, slots=True)
class UserField:
    """One field of the users of a selection, as far as errors go.

    Attributes:
        key: Its key in the answer.
        sources: Names of the sources that it reads; more than one only where they are endpoints.
        wrong: Why it is always an error, if it is: the caller may not see it, or something is
            wrong with its arguments.
        locations: Where it stands in the document.
    """

    key: str
    sources: tuple[str, ...]
    wrong: GatewayError | None
    locations: Sequence[FormattedSourceLocation]


@dataclass(frozen=True, slots=True)
class View:
    """What is selected of users, as a caller sees it who may see the same of all of them.

    Attributes:
        plan: Which sources they need.
        fields: What is selected of them.
        write_user: Writes a user from its id and what each source of the plan said; ``None`` where
            none of them knows it.
        write_known: The same of one that is known somehow, if only by a source that failed.
        always_wrong: Whether a field of them is always an error.
    """

    plan: Plan
    fields: Sequence[UserField]
    write_user: Callable[..., dict[str, Any] | None]
    write_known: Callable[..., dict[str, Any]]
    always_wrong: bool


@dataclass(frozen=True, slots=True)
class RootField:
    """One field of the operation.

    Attributes:
        key: Its key in the answer.
        name: ``user``, ``users``, ``me`` or ``__typename``.
        nodes: Where it stands in the document; the first has its arguments.
        variable: The variable that gives its users, where it is one.
        others: What the caller sees of other users.
        own: What it sees of itself.
        locations: Where it stands, as errors tell it.
    """

    key: str
    name: str
    nodes: Sequence[FieldNode]
    variable: str | None
    others: View
    own: View
    locations: Sequence[FormattedSourceLocation]


class Compiler:
    """Compiles operations against the schema."""

    def __init__(self, schema: GatewaySchema, planner: Planner) -> None:
        self._core = schema.core
        self._planner = planner
        self._readings: Mapping[str, Reading] = schema.readings
        self._user = schema.user

    def compile(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: VariableValues,
        rights: Rights,
    ) -> Sequence[RootField]:
        """Compile an operation for some variables.

        Args:
            document: The document that it is in, valid.
            operation: The operation.
            variables: Values of its variables, coerced.
            rights: What the caller may see; who it is does not matter.

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
        selection = Selection(fragments, variables)
        return [
            self._root(key, nodes, selection, rights)
            for key, nodes in selection.below([root], frozenset({"Query"})).items()
        ]

    def _root(
        self, key: str, nodes: list[FieldNode], selection: Selection, rights: Rights
    ) -> RootField:
        """Compile one field of the operation."""
        name = nodes[0].name.value
        if name not in {"user", "users", "me", "__typename"}:
            raise NotCompiledError(f"the field {name}")
        groups = selection.below(nodes, USER_TYPES)
        names = {group[0].name.value for group in groups.values()}
        seen, seen_of_own = (rights.seen(names, own=own) for own in (False, True))
        others = self._view(groups, seen, selection, rights)
        given = nodes[0].arguments[0].value if nodes[0].arguments else None
        return RootField(
            key=key,
            name=name,
            nodes=nodes,
            variable=given.name.value if isinstance(given, VariableNode) else None,
            others=others,
            own=others
            if seen == seen_of_own
            else self._view(groups, seen_of_own, selection, rights),
            locations=_locations(nodes),
        )

    def _view(
        self,
        groups: Mapping[str, list[FieldNode]],
        seen: frozenset[str],
        selection: Selection,
        rights: Rights,
    ) -> View:
        """Compile what is selected of users, where only some fields may be seen of them."""
        plan = self._planner.plan(seen)
        records = [f"record{number}" for number in range(len(plan.sources))]
        by_source = dict(zip(plan.sources, records, strict=True))
        writer = Writer(selection)
        fields: list[UserField] = []
        whole: list[str] = []
        partial: list[str] = []
        for key, group in groups.items():
            name = group[0].name.value
            if name in seen:
                field, value = self._field(key, group, selection, writer, by_source)
            else:
                field, value = UserField(key, (), rights.refusal(name), _locations(group)), "None"
            fields.append(field)
            unknown = " or ".join(f"{by_source[source]} is None" for source in field.sources)
            whole.append(f"{key!r}: {value}")
            partial.append(f"{key!r}: None if {unknown} else {value}" if unknown else whole[-1])
        write_known = writer.function(["key", *records], f"{{{', '.join(partial)}}}")
        everywhere = " and ".join(f"{record} is not None" for record in records)
        nowhere = " and ".join(f"{record} is None" for record in records)
        rest = f"None if {nowhere} else {writer.bind(write_known)}(key, {', '.join(records)})"
        text = f"{{{', '.join(whole)}}} if {everywhere} else {rest}"
        return View(
            plan=plan,
            fields=fields,
            write_user=writer.function(["key", *records], text),
            write_known=write_known,
            always_wrong=any(one.wrong is not None for one in fields),
        )

    def _field(
        self,
        key: str,
        nodes: list[FieldNode],
        selection: Selection,
        writer: Writer,
        records: Mapping[str, str],
    ) -> tuple[UserField, str]:
        """Compile one field of a user: how it fails, and the text of its value if it is known."""
        name = nodes[0].name.value
        locations = _locations(nodes)
        if name in OWN:
            return UserField(key, (), None, locations), OWN[name]
        reading = self._readings.get(name)
        if reading is None or reading.bind is None:
            raise NotCompiledError(f"the field {name}, which asks on its own")
        definition, sources = self._user.fields[name], self._planner.reads[name]
        try:
            get = reading.bind(_arguments(definition, nodes[0], selection.variables))
        except BadUserInputError as error:
            return UserField(key, sources, error, locations), "None"
        read = writer.read(get, writer.joined([records[source] for source in sources]))
        return UserField(key, sources, None, locations), writer.value(definition.type, nodes, read)


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
