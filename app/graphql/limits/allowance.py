"""What the operations of one HTTP request may cost together, and have cost so far."""

from collections.abc import Mapping
from math import ceil, inf
from typing import Any, Protocol

from app.errors import LimitError
from app.graphql.limits.checks import count_of
from app.graphql.limits.price import Price
from app.graphql.limits.variables import check_variables
from app.shapes.limits import LimitsSettings

CHARACTERS = 4
"""How many characters of a new document cost 1: it takes as long to prepare as an object to
answer."""


class Purse(Protocol):
    """What a caller pays from."""

    async def pay(self, cost: int) -> None:
        """Pay for what is about to be done.

        Args:
            cost: What it costs.

        Raises:
            LimitError: There is not enough left.
        """
        ...

    def headers(self) -> Mapping[str, str]:
        """Write what is left, as HTTP headers."""
        ...


class Allowance:
    """What the operations of one request may cost, alone or in a batch.

    Attributes:
        total: What they have cost so far.
        tells: Whether answers tell it.
    """

    def __init__(
        self, limits: LimitsSettings, *, purse: Purse | None = None, tells: bool = False
    ) -> None:
        self.total = 0
        self.tells = tells
        self._limits = limits
        self._purse = purse
        self._schemas = 0.0

    async def spend_on_document(self, text: str) -> None:
        """Count a document that is about to be prepared.

        Args:
            text: Its text.

        Raises:
            LimitError: The caller has asked for too much lately.
        """
        if self._purse is not None:
            await self._purse.pay(len(text) // CHARACTERS)

    def count(self, price: Price, variables: Mapping[str, Any]) -> int:
        """Count an operation that is to be run, and refuse it where it asks for too much.

        Args:
            price: What it costs.
            variables: Values of its variables, as the client sent them.

        Returns:
            What its data costs with them. It has to be paid, unless the operation is refused after
            all.

        Raises:
            LimitError: It costs too much, or the variables are too large.
        """
        check_variables(variables, self._limits)
        cost = price.of(variables)
        self.total += cost
        check_cost(self.total, self._limits)
        if price.schemas:
            self._schemas += price.schemas
            check_introspection(self._schemas, self._limits)
        return cost

    async def pay(self, cost: int, price: Price) -> None:
        """Pay for an operation that is about to be run.

        Args:
            cost: What its data costs.
            price: What it costs beside that: objects of the schema cost as much as others.

        Raises:
            LimitError: The caller has asked for too much lately.
        """
        if self._purse is not None:
            await self._purse.pay(cost + price.introspected)

    def report(self, cost: int) -> Mapping[str, object]:
        """Tell what an operation costs, for the extensions of its answer.

        Args:
            cost: What it costs.

        Returns:
            That, what the request's operations have cost so far, and what they may.
        """
        return {"operation": cost, "total": self.total, "limit": self._limits.cost or None}

    def headers(self) -> Mapping[str, str] | None:
        """Tell what the caller has left, as HTTP headers, where that is counted."""
        return None if self._purse is None else self._purse.headers()


def check_cost(total: int, limits: LimitsSettings) -> None:
    """Check what the operations of a request cost.

    Args:
        total: What they cost together.
        limits: What they may cost.

    Raises:
        LimitError: It is more.
    """
    if 0 < limits.cost < total:
        raise LimitError("cost", limits.cost, f"the request costs {count_of(total)}")


def check_introspection(schemas: float, limits: LimitsSettings) -> None:
    """Check how much of the schema the operations of a request ask for.

    Args:
        schemas: How many times over they ask for the whole schema, together.
        limits: How often they may.

    Raises:
        LimitError: It is more.
    """
    if 0 < limits.introspection < schemas:
        times = "countless" if schemas == inf else f"{ceil(schemas):,}"
        found = f"the request asks for the whole schema {times} times over"
        raise LimitError("introspection", limits.introspection, found)
