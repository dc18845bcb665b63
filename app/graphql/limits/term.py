"""A cost as a sum of products, of which variables say some factors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from app.graphql.limits.rates import Size

Values = Mapping[str, Any]
"""Values of variables by name, as a client sent them, unchecked."""


class Factor(Protocol):
    """What a cost is multiplied by, as variables say it."""

    def of(self, values: Values) -> int:
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

    def of(self, values: Values) -> int:
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

    def of(self, values: Values) -> int:
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

    def of(self, values: Values) -> int:
        """Take 1 if it does."""
        return int(bool(values.get(self.variable)) is self.on)


@dataclass(frozen=True, slots=True)
class Product:
    """A part of a cost.

    Attributes:
        number: The factor that is known.
        factors: Those that variables say.
        term: What is multiplied by all of them.
    """

    number: int
    factors: tuple[Factor, ...]
    term: "Term"


@dataclass(frozen=True, slots=True)
class Term:
    """A cost: a number, and what depends on variables.

    Attributes:
        fixed: The number.
        products: The rest.
    """

    fixed: int
    products: tuple[Product, ...] = ()

    def times(self, number: int, factors: tuple[Factor, ...] = ()) -> "Term":
        """Multiply it."""
        if not factors and (number == 1 or not self.products):
            return Term(self.fixed * number, self.products)
        return Term(0, (Product(number, factors, self),))

    def of(self, values: Values, known: dict[int, int]) -> int:
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
                number *= factor.of(values)
            if number:
                total += number * product.term.of(values, known)
        known[id(self)] = total
        return total
