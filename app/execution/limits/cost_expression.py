"""A cost as a sum of products, and what one field costs by the schema's directives.

What one field costs, as the schema's ``@cost`` and ``@listSize`` say it.

A cost as a sum of products, of which variables say some factors.

Whether a selection stands, as ``@skip`` and ``@include`` on it say.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from graphql import (
    BooleanValueNode,
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    SelectionNode,
    VariableNode,
    get_named_type,
    is_composite_type,
)

from app.schema.connection import MAX_FIRST
from app.schema.directives import Cost, ListSize

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


Values = Mapping[str, Any]
"""Values of variables by name, as a client sent them, unchecked."""


class CostFactor(Protocol):
    """What a cost is multiplied by, as variables say it."""

    def evaluate(self, values: Values) -> int:
        """Work it out.

        Args:
            values: Values of the variables. One of a wrong type is an error later on, and counts
                as if it were not there.

        Returns:
            The factor, 0 or more.
        """
        ...


@dataclass(frozen=True, slots=True)
class Length:
    """How long the list is that a variable has.

    Attributes:
        variable: Name of the variable.
        most: The longest that is accepted: of a longer one nothing is answered.
    """

    variable: str
    most: int

    def evaluate(self, values: Values) -> int:
        """Take the length; what is no list is one of one item."""
        value = values.get(self.variable)
        return min(len(value), self.most) if isinstance(value, list) else 1  # pyright: ignore[reportUnknownArgumentType] # whatever it has


@dataclass(frozen=True, slots=True)
class Number:
    """The number that a variable has.

    Attributes:
        variable: Name of the variable.
        size: What it says.
    """

    variable: str
    size: Size

    def evaluate(self, values: Values) -> int:
        """Take the number."""
        return self.size.of(values.get(self.variable))


@dataclass(frozen=True, slots=True)
class Switch:
    """Whether a variable lets a selection stand.

    Attributes:
        variable: Name of the variable.
        on: Its value if it does.
    """

    variable: str
    on: bool

    def evaluate(self, values: Values) -> int:
        """Take 1 if it does."""
        return int(bool(values.get(self.variable)) is self.on)


@dataclass(frozen=True, slots=True)
class CostProduct:
    """A part of a cost.

    Attributes:
        number: The factor that is known.
        factors: Those that variables say.
        expression: What is multiplied by all of them.
    """

    number: int
    factors: tuple[CostFactor, ...]
    expression: "CostExpression"


@dataclass(frozen=True, slots=True)
class CostExpression:
    """A cost: a number, and what depends on variables.

    Attributes:
        fixed: The number.
        products: The rest.
    """

    fixed: int
    products: tuple[CostProduct, ...] = ()

    def times(self, number: int, factors: tuple[CostFactor, ...] = ()) -> "CostExpression":
        """Multiply it."""
        if not factors and (number == 1 or not self.products):
            return CostExpression(self.fixed * number, self.products)
        return CostExpression(0, (CostProduct(number, factors, self),))

    def evaluate(self, values: Values, known: dict[int, int]) -> int:
        """Work it out.

        Args:
            values: Values of the variables.
            known: What has been worked out for them, by the identity of the term: a fragment's
                stands in several places.

        Returns:
            The cost.
        """
        if not self.products:
            return self.fixed
        if (ready := known.get(id(self))) is not None:
            return ready
        total = self.fixed
        for product in self.products:
            number = product.number
            for factor in product.factors:
                number *= factor.evaluate(values)
            if number:
                total += number * product.expression.evaluate(values, known)
        known[id(self)] = total
        return total


def switches(node: SelectionNode) -> tuple[CostFactor, ...] | None:
    """Find on which variables it depends whether a selection stands.

    Args:
        node: The selection.

    Returns:
        A switch for each variable; ``None`` when the selection never stands.
    """
    found: list[CostFactor] = []
    for directive in node.directives or ():
        wanted = {"include": True, "skip": False}.get(directive.name.value)
        if wanted is None or not directive.arguments:
            continue
        match directive.arguments[0].value:
            case BooleanValueNode(value=value) if value is not wanted:
                return None
            case VariableNode(name=variable):
                found.append(Switch(variable.value, on=wanted))
            case _:
                pass
    return tuple(found)
