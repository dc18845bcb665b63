"""The cost of introspection: how many objects of the schema it asks for, counted exactly.

Introspection is no work for a source, and the size of its answer depends on the schema. So it is
counted separately from data, in units of the schema: the standard query of tools
(``get_introspection_query`` of graphql-js, with all its options) asks for the whole schema once.
With this unit, a schema of any size can be introspected. Only a query that goes from types to their
fields, to the types of these and to their fields again asks for more, and for many times as much
with each step.

The count follows the selections from the schema down, and keeps how often each member of the schema
is reached. A member that is reached ten times counts ten times, and is followed once. So the work
grows with the schema and with the document, but not with the number of objects asked for.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    get_introspection_query,
    is_abstract_type,
    parse,
)

from app.execution.limits.cost_expression import switches

ROOTS = frozenset({"__schema", "__type"})
"""The fields of ``Query`` that return the schema."""

COUNTLESS = 10**9
"""The count of an operation that asks for so many objects that counting was stopped."""

Member: TypeAlias = Any
"""The schema, or a type, a field, an argument, a value or a directive in it."""

_WITH_FIELDS = (GraphQLObjectType, GraphQLInterfaceType)

FOLLOW: Mapping[str, Callable[[Member, GraphQLSchema], Iterable[Member]]] = {
    "types": lambda schema, _: schema.type_map.values(),
    "queryType": lambda schema, _: (schema.query_type,),
    "mutationType": lambda schema, _: (schema.mutation_type,),
    "subscriptionType": lambda schema, _: (schema.subscription_type,),
    "directives": lambda schema, _: schema.directives,
    "fields": lambda kind, _: kind.fields.values() if isinstance(kind, _WITH_FIELDS) else (),
    "interfaces": lambda kind, _: kind.interfaces if isinstance(kind, _WITH_FIELDS) else (),
    "possibleTypes": lambda kind, schema: (
        schema.get_possible_types(kind) if is_abstract_type(kind) else ()
    ),
    "inputFields": lambda kind, _: (
        kind.fields.values() if isinstance(kind, GraphQLInputObjectType) else ()
    ),
    "enumValues": lambda kind, _: kind.values.values() if isinstance(kind, GraphQLEnumType) else (),
    "ofType": lambda kind, _: (getattr(kind, "of_type", None),),
    "args": lambda member, _: member.args.values(),
    "type": lambda member, _: (member.type,),
}
"""The members that each object field of introspection returns. A name is the same in all types."""


@dataclass(eq=False, slots=True)
class _SelectedMembers:
    """Members of the schema that are reached together.

    Attributes:
        times: How often each member is reached, by its ``id()``.
        total: The sum over all members.
    """

    times: Mapping[int, int]
    total: int = field(init=False)

    def __post_init__(self) -> None:
        """Compute the sum."""
        self.total = sum(self.times.values())


class _Reach:
    """Finds the members that are reached from others, and caches them.

    Args:
        core: The schema.
        shared: A cache to read first, which stays unchanged.
    """

    def __init__(self, core: GraphQLSchema, shared: "_Reach | None" = None) -> None:
        self._core = core
        self._shared = shared
        self._members: dict[int, Member] = {}
        self._reached: dict[tuple[_SelectedMembers, str], _SelectedMembers] = {}
        self.schema: _SelectedMembers = self.members([core]) if shared is None else shared.schema

    def members(self, members: Iterable[Member]) -> _SelectedMembers:
        """Return members that are each reached once."""
        self._members |= {id(one): one for one in members}
        return _SelectedMembers({id(one): 1 for one in members})

    def follow(self, members: _SelectedMembers, name: str) -> _SelectedMembers:
        """Return the members that a field leads to."""
        reached = self._known(members, name)
        if reached is None:
            follow, times = FOLLOW[name], Counter[int]()
            for number, count in members.times.items():
                for one in follow(self.member(number), self._core):
                    if one is not None:
                        self._members[id(one)] = one  # keeps it alive, so that its id stays valid
                        times[id(one)] += count
            reached = self._reached[members, name] = _SelectedMembers(times)
        return reached

    def _known(self, members: _SelectedMembers, name: str) -> _SelectedMembers | None:
        """Return the cached members that a field leads to; ``None`` if there are none."""
        reached = self._reached.get((members, name))
        if reached is None and self._shared is not None:
            return self._shared._known(members, name)  # noqa: SLF001 # another of the same class
        return reached

    def member(self, number: int) -> Member:
        """Return a member by its ``id()``."""
        if (member := self._members.get(number)) is None and self._shared is not None:
            return self._shared.member(number)
        return member


class IntrospectionPricing:
    """Counts the objects of one schema that operations ask for. Shared by all documents."""

    def __init__(self, core: GraphQLSchema, *, most: int) -> None:
        """Prepare counting.

        Args:
            core: The schema.
            most: Where counting stops, as a multiple of the whole schema.
        """
        self._core = core
        self._most = most
        self._reach = _Reach(core)

    @cached_property
    def whole(self) -> int:
        """The number of objects that the standard query of tools asks for."""
        query = get_introspection_query(
            specified_by_url=True,
            directive_is_repeatable=True,
            schema_description=True,
            input_value_deprecation=True,
            experimental_directive_deprecation=True,
            one_of=True,
        )
        [count] = self._counts(parse(query), self._reach, None)
        return count

    def counts(self, document: DocumentNode) -> list[int]:
        """Count the objects of the schema that each operation asks for.

        Args:
            document: The document, valid.

        Returns:
            For each operation the number of objects, or ``COUNTLESS``. Selections that depend on
            variables are counted as included.
        """
        most = self._most * self.whole  # computing whole fills the cache for nearly all documents
        return self._counts(document, _Reach(self._core, self._reach), most)

    def _counts(self, document: DocumentNode, reach: _Reach, most: int | None) -> list[int]:
        """Count the objects that each operation asks for; stop at ``most``."""
        fragments = {
            one.name.value: one.selection_set
            for one in document.definitions
            if isinstance(one, FragmentDefinitionNode)
        }
        return [
            _IntrospectionCount(self._core, reach, fragments, most).count(one)
            for one in document.definitions
            if isinstance(one, OperationDefinitionNode)
        ]


class _TooMuchError(Exception):
    """An operation asks for more objects than are counted."""


class _IntrospectionCount:
    """The count of one operation."""

    def __init__(
        self,
        core: GraphQLSchema,
        reach: _Reach,
        fragments: Mapping[str, SelectionSetNode],
        most: int | None,
    ) -> None:
        self._core = core
        self._reach = reach
        self._fragments = fragments
        self._most = most
        self._followed = 0
        # By the id() of selections, which live as long as their document.
        self._done: dict[tuple[int, _SelectedMembers], int] = {}
        self._queries: dict[int, int] = {}

    def count(self, operation: OperationDefinitionNode) -> int:
        """Count the objects that the operation asks for."""
        try:
            return self._count_query(operation.selection_set)
        except _TooMuchError:
            return COUNTLESS

    def _count_query(self, selection_set: SelectionSetNode) -> int:
        """Count a selection of ``Query``, once for each fragment."""
        if (total := self._queries.get(id(selection_set))) is not None:
            return total
        total = 0
        for node in selection_set.selections:
            if switches(node) is None:
                continue
            match node:
                case FieldNode() if node.name.value == "__schema":
                    total += self._count_members(node, self._reach.schema)
                case FieldNode() if node.name.value == "__type":
                    total += self._count_type(node)
                case InlineFragmentNode():
                    total += self._count_query(node.selection_set)
                case FragmentSpreadNode():
                    total += self._count_query(self._fragments[node.name.value])
                case _:
                    pass  # data, which is counted elsewhere
        self._queries[id(selection_set)] = total
        return total

    def _count_type(self, node: FieldNode) -> int:
        """Count a selection of ``__type``; if a variable names the type, of the largest type."""
        every = self._core.type_map
        match [one.value for one in node.arguments or ()]:
            case [StringValueNode(value=name)]:
                kinds = [every[name]] if name in every else []
            case _:
                kinds = [*every.values()]
        each = (self._count_members(node, self._reach.members([one])) for one in kinds)
        return max(each, default=0)

    def _count_members(self, node: FieldNode, members: _SelectedMembers) -> int:
        """Count the members that a field returns, and what is selected inside them."""
        self._followed += members.total
        if self._most is not None and self._followed > self._most:
            raise _TooMuchError
        return members.total + self._count_selection(node.selection_set, members)

    def _count_selection(
        self, selection_set: SelectionSetNode | None, members: _SelectedMembers
    ) -> int:
        """Count what is selected inside members, once for the same members."""
        if selection_set is None or not members.total:
            return 0
        key = id(selection_set), members
        if (total := self._done.get(key)) is None:
            total = 0
            for node in selection_set.selections:
                if switches(node) is None:
                    continue
                match node:
                    case FieldNode():
                        if (name := node.name.value) in FOLLOW:
                            total += self._count_members(node, self._reach.follow(members, name))
                    case InlineFragmentNode():
                        total += self._count_selection(node.selection_set, members)
                    case FragmentSpreadNode():
                        total += self._count_selection(self._fragments[node.name.value], members)
                    case _:
                        pass  # there are no other selections
            self._done[key] = total
        return total
