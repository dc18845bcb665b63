"""Costs as sums of products, whose factors may depend on variables; and the cost of one field.

The schema's ``@cost`` and ``@listSize`` decide the cost of a field. ``@skip`` and ``@include`` on a
selection are factors, too.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from graphql import (
    BooleanValueNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    SelectionNode,
    VariableNode,
    get_named_type,
    is_composite_type,
)
from msgspec import Struct

from app.schema.connection import MAX_FIRST
from app.schema.directives import Cost, ListSize, directives_of


class ListArgument(Struct, frozen=True):
    """A list argument with one item for each item of the field.

    Attributes:
        name: The name of the argument.
        most: The most items; a longer list is refused.
    """

    name: str
    most: int


class Size(Struct, frozen=True):
    """The length of a list.

    Attributes:
        assumed: The number of items, if no argument decides it.
        arguments: Arguments that decide it.
        most: The highest value of these arguments; more is refused.
        by_list: An argument that has as many items.
    """

    assumed: int = 1
    arguments: Sequence[str] = ()
    most: int | None = None
    by_list: ListArgument | None = None

    def length(self, value: object) -> int:
        """Return the number of items for the value of an argument.

        Args:
            value: The value that the client sent.

        Returns:
            The number of items; ``assumed`` if the value is not an integer, or negative.
        """
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            return self.assumed
        return value if self.most is None else min(value, self.most)


ONE = Size()


class Rate(Struct, frozen=True):
    """The cost of a field.

    Attributes:
        weight: The cost of one of its objects, without the fields inside it.
        size: The number of its objects.
        sized: The lengths of lists inside its object, by field, if its arguments decide them.
    """

    weight: int
    size: Size = ONE
    sized: Mapping[str, Size] = {}


class Rates:
    """Reads the costs of fields, and caches them."""

    def __init__(self, longest: Mapping[str, int]) -> None:
        """Make an empty cache.

        Args:
            longest: The most items of list arguments of ``Query``, by the name of the argument;
                other arguments than these have the limit of ``ids``. Their fields have as many
                items. ``@listSize`` has no such arguments: it can only declare the most items.
        """
        self._longest = longest
        self._known: dict[tuple[str, str], Rate] = {}

    def rate(self, parent: GraphQLNamedType, name: str, definition: GraphQLField) -> Rate:
        """Return the cost of a field.

        Args:
            parent: The type that has the field.
            name: The name of the field.
            definition: The definition of the field.

        Returns:
            The cost.
        """
        key = parent.name, name
        if (rate := self._known.get(key)) is None:
            rate = self._known[key] = self._read(parent, definition)
        return rate

    def _read(self, parent: GraphQLNamedType, definition: GraphQLField) -> Rate:
        """Read the cost of a field from its directives."""
        weight = 1 if is_composite_type(named_type(definition)) else 0
        size, sized = ONE, dict[str, Size]()
        for directive in directives_of(definition):
            match directive:
                case Cost(weight=given):
                    weight = given
                case ListSize(assumed_size=assumed, slicing_arguments=slicing, sized_fields=inner):
                    # A connection refuses a longer page; then no source is asked.
                    most = MAX_FIRST if inner else None
                    arguments = tuple(slicing or ())  # unset is false
                    usual = assumed or _default_of(definition, arguments) or 1
                    declared = Size(usual, arguments, most)
                    if not inner:
                        size = declared
                    else:
                        sized = dict.fromkeys(inner, declared)
                case _:
                    pass  # not about costs
        if parent.name == "Query" and _is_list(definition):
            for argument, one in definition.args.items():
                if _is_list(one):
                    most = self._longest.get(argument, self._longest["ids"])
                    size = Size(size.assumed, by_list=ListArgument(argument, most))
        return Rate(weight, size, sized)


def named_type(definition: GraphQLField) -> GraphQLNamedType:
    """Return the type of a field without list and non-null.

    Args:
        definition: The definition of the field.

    Returns:
        The named type.
    """
    return get_named_type(definition.type)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] # graphql-core leaves its generics open


def _default_of(definition: GraphQLField, arguments: Sequence[str]) -> int | None:
    """Return the default of the first argument that has a number as its default."""
    defaults = (definition.args[name].default_value for name in arguments)
    return next((one for one in defaults if isinstance(one, int)), None)


def _is_list(definition: GraphQLField | GraphQLArgument) -> bool:
    """Return whether a field or an argument is a list."""
    kind: object = definition.type  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] # the same
    return isinstance(kind.of_type if isinstance(kind, GraphQLNonNull) else kind, GraphQLList)  # pyright: ignore[reportUnknownMemberType] # the same


Values = Mapping[str, Any]
"""Values of variables by name, as a client sent them, unchecked."""


class CostFactor(Protocol):
    """A factor that depends on a variable."""

    def evaluate(self, values: Values) -> int:
        """Compute the factor.

        Args:
            values: Values of the variables. A value of a wrong type is reported later, and is
                ignored here.

        Returns:
            The factor, 0 or more.
        """
        ...


class Length(Struct, frozen=True):
    """The length of a variable's list.

    Attributes:
        variable: Name of the variable.
        most: The most items; a longer list is refused.
    """

    variable: str
    most: int

    def evaluate(self, values: Values) -> int:
        """Return the length; a value that is not a list counts as one item.

        Args:
            values: Values of the variables.

        Returns:
            The length, ``most`` at most.
        """
        value = values.get(self.variable)
        return min(len(value), self.most) if isinstance(value, list) else 1  # pyright: ignore[reportUnknownArgumentType] # items of any type


class Number(Struct, frozen=True):
    """The number of items that a variable asks for.

    Attributes:
        variable: Name of the variable.
        size: The length that the number decides.
    """

    variable: str
    size: Size

    def evaluate(self, values: Values) -> int:
        """Return the number of items.

        Args:
            values: Values of the variables.

        Returns:
            The number, by the rules of ``size``.
        """
        return self.size.length(values.get(self.variable))


class Switch(Struct, frozen=True):
    """Whether a variable includes a selection.

    Attributes:
        variable: Name of the variable.
        on: The value that includes the selection.
    """

    variable: str
    on: bool

    def evaluate(self, values: Values) -> int:
        """Return 1 if the selection is included, and 0 otherwise.

        Args:
            values: Values of the variables.

        Returns:
            1 or 0.
        """
        return int(bool(values.get(self.variable)) is self.on)


class CostProduct(Struct, frozen=True):
    """A product in a cost.

    Attributes:
        number: The known factor.
        factors: The factors that depend on variables.
        expression: The cost that is multiplied by all of them.
    """

    number: int
    factors: tuple[CostFactor, ...]
    expression: "CostExpression"


class CostExpression(Struct, frozen=True):
    """A cost: a number, plus products that depend on variables.

    Attributes:
        fixed: The number.
        products: The products.
    """

    fixed: int
    products: tuple[CostProduct, ...] = ()

    def times(self, number: int, factors: tuple[CostFactor, ...] = ()) -> "CostExpression":
        """Multiply the cost.

        Args:
            number: A known factor.
            factors: Factors that depend on variables.

        Returns:
            The product.
        """
        if not factors and (number == 1 or not self.products):
            return CostExpression(self.fixed * number, self.products)
        return CostExpression(0, (CostProduct(number, factors, self),))

    def evaluate(self, values: Values, known: dict[int, int]) -> int:
        """Compute the cost.

        Args:
            values: Values of the variables.
            known: A cache of costs for these values, by ``id()`` of the expression: the expression
                of a fragment is used in several places.

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
    """List the variables that decide whether a selection is included.

    Args:
        node: The selection.

    Returns:
        A switch for each variable; ``None`` if the selection is never included.
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
