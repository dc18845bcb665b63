"""What introspection costs: how many objects of the schema it asks for, counted exactly.

Introspection is no work for a source, and how much there is to tell depends on the schema alone. So
it is counted apart from the cost of data, and measured by the schema itself: what the standard
query of tools asks for (``get_introspection_query`` of graphql-js, with all its options) is the
whole schema once. Then any schema can be introspected, however large it is. Only a query that goes
from types to their fields, to the types of these and to their fields again asks for more than that,
and for many times as much with each step.

The selections are followed from the schema down, together with how often each of its members is
reached. A member that is reached ten times counts ten times, and is followed once. So the work
grows with the schema and with the document, but not with what the document asks for.
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
"""The fields of ``Query`` that tell the schema."""

COUNTLESS = 10**9
"""How many objects an operation asks for that was not followed to its end."""

Member: TypeAlias = Any
"""The schema, or a type, a field, an argument, a value or a directive in it."""

_WITH_FIELDS = (GraphQLObjectType, GraphQLInterfaceType)

_FOLLOW: Mapping[str, Callable[[Member, GraphQLSchema], Iterable[Member]]] = {
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
"""What each field of introspection that gives objects leads to; no two types differ in one."""

FOLLOWED = frozenset(_FOLLOW)
"""The names of these fields."""


@dataclass(eq=False, slots=True)
class _SelectedMembers:
    """Members of the schema that are reached together.

    Attributes:
        times: How often each is reached, by its identity.
        total: How often all of them are.
    """

    times: Mapping[int, int]
    total: int = field(init=False)

    def __post_init__(self) -> None:
        """Add them up."""
        self.total = sum(self.times.values())


class _Reach:
    """Which members are reached from which. What it has found once, it finds at once.

    Args:
        core: The schema.
        found: What has been found already, by others.
    """

    def __init__(self, core: GraphQLSchema, found: "_Reach | None" = None) -> None:
        self._core = core
        self._found = found
        self._members: dict[int, Member] = {}
        self._reached: dict[tuple[_SelectedMembers, str], _SelectedMembers] = {}
        self.schema: _SelectedMembers = self.members([core]) if found is None else found.schema

    def members(self, members: Iterable[Member]) -> _SelectedMembers:
        """Take members as such that are reached once."""
        self._members |= {id(one): one for one in members}
        return _SelectedMembers({id(one): 1 for one in members})

    def follow(self, members: _SelectedMembers, name: str) -> _SelectedMembers:
        """Find the members that a field leads to."""
        reached = self._known(members, name)
        if reached is None:
            follow, times = _FOLLOW[name], Counter[int]()
            for number, count in members.times.items():
                for one in follow(self.member(number), self._core):
                    if one is not None:
                        self._members[id(one)] = one  # its identity is used for as long
                        times[id(one)] += count
            reached = self._reached[members, name] = _SelectedMembers(times)
        return reached

    def _known(self, members: _SelectedMembers, name: str) -> _SelectedMembers | None:
        """Find what a field leads to, if that was found before."""
        reached = self._reached.get((members, name))
        if reached is None and self._found is not None:
            return self._found._known(members, name)  # noqa: SLF001 # another of the same class
        return reached

    def member(self, number: int) -> Member:
        """Find a member by its identity."""
        if (found := self._members.get(number)) is None and self._found is not None:
            return self._found.member(number)
        return found


class IntrospectionPricing:
    """Counts what operations ask for of one schema. Shared by all documents."""

    def __init__(self, core: GraphQLSchema, *, most: int) -> None:
        """Make it.

        Args:
            core: The schema.
            most: How many times over operations may ask for the whole schema. None is followed
                further than that.
        """
        self._core = core
        self._most = most
        self._reach = _Reach(core)

    @cached_property
    def whole(self) -> int:
        """How many objects the standard query of tools asks for."""
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
        """Count what the operations of a document ask for.

        Args:
            document: The document, valid.

        Returns:
            For each operation the number of objects, or ``COUNTLESS``. Selections that depend on
            variables are counted as if they stood.
        """
        most = self._most * self.whole  # which leaves behind what nearly all documents need
        return self._counts(document, _Reach(self._core, self._reach), most)

    def _counts(self, document: DocumentNode, reach: _Reach, most: int | None) -> list[int]:
        """Count what each operation asks for, as far as it is no more than some number."""
        fragments = {
            one.name.value: one.selection_set
            for one in document.definitions
            if isinstance(one, FragmentDefinitionNode)
        }
        return [
            _IntrospectionCount(self._core, reach, fragments, most).of(one)
            for one in document.definitions
            if isinstance(one, OperationDefinitionNode)
        ]


class _TooMuchError(Exception):
    """An operation asks for more than it is followed for."""


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
        # By the identity of selections, which live as long as their document.
        self._done: dict[tuple[int, _SelectedMembers], int] = {}
        self._queries: dict[int, int] = {}

    def of(self, operation: OperationDefinitionNode) -> int:
        """Count what the operation asks for."""
        try:
            return self._of_query(operation.selection_set)
        except _TooMuchError:
            return COUNTLESS

    def _of_query(self, selection_set: SelectionSetNode) -> int:
        """Count what is selected of ``Query``, once for each fragment."""
        if (total := self._queries.get(id(selection_set))) is not None:
            return total
        total = 0
        for node in selection_set.selections:
            if switches(node) is None:
                continue
            match node:
                case FieldNode() if node.name.value == "__schema":
                    total += self._of_members(node, self._reach.schema)
                case FieldNode() if node.name.value == "__type":
                    total += self._of_type(node)
                case InlineFragmentNode():
                    total += self._of_query(node.selection_set)
                case FragmentSpreadNode():
                    total += self._of_query(self._fragments[node.name.value])
                case _:
                    pass  # data, which has a cost of its own
        self._queries[id(selection_set)] = total
        return total

    def _of_type(self, node: FieldNode) -> int:
        """Count what is selected of the type that a field names; of the largest, if of any."""
        every = self._core.type_map
        match [one.value for one in node.arguments or ()]:
            case [StringValueNode(value=name)]:
                kinds = [every[name]] if name in every else []
            case _:
                kinds = [*every.values()]
        each = (self._of_members(node, self._reach.members([one])) for one in kinds)
        return max(each, default=0)

    def _of_members(self, node: FieldNode, members: _SelectedMembers) -> int:
        """Count members that a field gives, and what is selected of them."""
        self._followed += members.total
        if self._most is not None and self._followed > self._most:
            raise _TooMuchError
        return members.total + self._selected(node.selection_set, members)

    def _selected(self, selection_set: SelectionSetNode | None, members: _SelectedMembers) -> int:
        """Count what is selected of members, once for the same members."""
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
                        if (name := node.name.value) in _FOLLOW:
                            total += self._of_members(node, self._reach.follow(members, name))
                    case InlineFragmentNode():
                        total += self._selected(node.selection_set, members)
                    case FragmentSpreadNode():
                        total += self._selected(self._fragments[node.name.value], members)
                    case _:
                        pass  # there is nothing else
            self._done[key] = total
        return total
