"""What one field costs, as the schema's ``@cost`` and ``@listSize`` say it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from graphql import (
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    get_named_type,
    is_composite_type,
)

from app.graphql.connection import MAX_FIRST
from app.graphql.limits.directives import Cost, ListSize

PAGES = {"invoices": MAX_FIRST}
"""Fields of ``User`` that refuse to give more than so many items, and ask for none then."""

BY_LIST = {"users": "ids", "_entities": "representations"}
"""Fields of ``Query`` that have an item for each item of an argument. ``@listSize`` knows no such
arguments: there it can only be said how many there are at most."""


@dataclass(frozen=True, slots=True)
class ListArgument:
    """An argument that is a list, with an item for each item of the field.

    Attributes:
        name: Its name.
        most: The most items that it may have; of more nothing is answered.
    """

    name: str
    most: int


@dataclass(frozen=True, slots=True)
class Size:
    """How long a list is.

    Attributes:
        assumed: The number of its items, where no argument says it.
        arguments: Arguments that say it.
        most: The most that they can say; more is refused.
        by_list: An argument that has as many items.
    """

    assumed: int = 1
    arguments: Sequence[str] = ()
    most: int | None = None
    by_list: ListArgument | None = None

    def of(self, value: object) -> int:
        """Read how many items a client asks for.

        Args:
            value: What it says.

        Returns:
            The number of items: the assumed one where that is no number, or one that is refused.
        """
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            return self.assumed
        return value if self.most is None else min(value, self.most)


ONE = Size()


@dataclass(frozen=True, slots=True)
class Rate:
    """What a field costs.

    Attributes:
        weight: The cost of one of its objects, without what is selected in it.
        size: How many of them there are.
        sized: The same for the lists in its object, by field, where its arguments say it.
    """

    weight: int
    size: Size = ONE
    sized: Mapping[str, Size] = field(default_factory=dict[str, Size])


class Rates:
    """Finds what fields cost, and keeps it."""

    def __init__(self, longest: Mapping[str, int]) -> None:
        """Make it.

        Args:
            longest: The most items that the argument of a field in ``BY_LIST`` may have, by field.
        """
        self._longest = longest
        self._known: dict[tuple[str, str], Rate] = {}

    def of(self, parent: GraphQLNamedType, name: str, definition: GraphQLField) -> Rate:
        """Find what a field costs.

        Args:
            parent: The type that it is a field of.
            name: Its name.
            definition: Its definition.

        Returns:
            What it costs.
        """
        key = parent.name, name
        if (rate := self._known.get(key)) is None:
            rate = self._known[key] = self._read(parent, name, definition)
        return rate

    def _read(self, parent: GraphQLNamedType, name: str, definition: GraphQLField) -> Rate:
        """Read what the schema says of a field."""
        weight = 1 if is_composite_type(named_type(definition)) else 0
        size, sized = ONE, dict[str, Size]()
        for directive in _directives(definition):
            match directive:
                case Cost(weight=given):
                    weight = given
                case ListSize(assumed_size=assumed, slicing_arguments=slicing, sized_fields=inner):
                    most = PAGES.get(name) if parent.name == "User" else None
                    told = Size(assumed or 1, tuple(slicing or ()), most)  # unset is false
                    if not inner:
                        size = told
                    else:
                        sized = dict.fromkeys(inner, told)
                case _:
                    pass  # it says nothing of costs
        if parent.name == "Query" and name in BY_LIST and _is_list(definition):
            argument = ListArgument(BY_LIST[name], self._longest[name])
            size = Size(size.assumed, by_list=argument)
        return Rate(weight, size, sized)


def named_type(definition: GraphQLField) -> GraphQLNamedType:
    """Find the type that a field gives, or that the items of its list have."""
    return get_named_type(definition.type)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] # graphql-core leaves its generics open


def _is_list(definition: GraphQLField) -> bool:
    """Tell whether a field is a list."""
    kind: object = definition.type  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] # the same
    return isinstance(kind.of_type if isinstance(kind, GraphQLNonNull) else kind, GraphQLList)  # pyright: ignore[reportUnknownMemberType] # the same


def _directives(definition: GraphQLField) -> Iterable[object]:
    """List the directives of a field, where it is one of ours."""
    strawberrys = definition.extensions.get("strawberry-definition")
    return getattr(strawberrys, "directives", None) or ()
