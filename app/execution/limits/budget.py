"""What the operations of one HTTP request may cost together, their variables included.

The size, the number and the depth of variables' values.

What the operations of one HTTP request may cost together, and have cost so far.
"""

import sys
from collections.abc import Iterable, Mapping
from math import ceil, inf
from typing import Any, Protocol, cast

import orjson

from app.errors import LimitError
from app.execution.limits.checks import count_of
from app.execution.limits.price import Price
from app.settings.limits import LimitsSettings

_ENCODER_DEPTH = 250
"""How deep values may be for orjson to write them."""


def check_variables(values: Mapping[str, Any], limits: LimitsSettings) -> None:
    """Check what a client has given as variables.

    Everyday values are written once as JSON, which takes a microsecond, and no more is done.

    Args:
        values: Values by name, as JSON had them.
        limits: How long, how many and how deep they may be.

    Raises:
        LimitError: They are too long, too many or too deep.
    """
    if not values or not (
        limits.variables_bytes or limits.variables_values or limits.variables_depth
    ):
        return
    try:
        text = orjson.dumps(values)
    except (TypeError, ValueError):  # too deep for it, or a number that only Python can hold
        _check_depth(values, limits.variables_depth or _ENCODER_DEPTH)
        text = _written(values)
    if 0 < limits.variables_bytes < len(text):
        found = f"the variables have {len(text):,} bytes"
        raise LimitError("variables_bytes", limits.variables_bytes, found)
    within = text.count(b"[") + text.count(b"{")
    # Before each value stands a comma or the bracket that it is the first in.
    if text.count(b",") + within > limits.variables_values > 0:
        _check_number(values, limits.variables_values)
    if within > limits.variables_depth > 0:
        _check_depth(values, limits.variables_depth)


def _check_number(values: Mapping[str, Any], allowed: int) -> None:
    """Check how many values there are, and count no more than are allowed.

    A list of short values takes graphql-core far longer to coerce than its bytes take to read.
    """
    number = 0
    rest: list[Iterable[object]] = [values.values()]
    while rest:
        for one in rest.pop():
            number += 1
            if number > allowed:
                raise LimitError("variables_values", allowed, "the variables have more values")
            if (items := _items(one)) is not None:
                rest.append(items)


def _check_depth(values: Mapping[str, Any], allowed: int) -> None:
    """Check how deep the lists and objects in values are; the object of all of them is not one."""
    depth = 0
    level: Iterable[object] = values.values()
    while within := [items for one in level if (items := _items(one)) is not None]:
        depth += 1
        if depth > allowed:
            found = "the variables have more lists and objects in each other"
            raise LimitError("variables_depth", allowed, found)
        level = [one for items in within for one in items]


def _items(value: object) -> Iterable[object] | None:
    """List what is in a list or an object; ``None`` where it is neither."""
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else None


def _written(values: Mapping[str, Any]) -> bytes:
    """Write values that are too much for JSON."""
    try:
        return str(values).encode("utf-8", "replace")
    except ValueError as error:  # Python itself writes no numbers that long
        digits = sys.get_int_max_str_digits()
        found = "the variables have a number of more digits"
        raise LimitError("variables_digits", digits, found) from error


CHARACTERS = 4
"""How many characters of a new document cost 1: it takes as long to prepare as an object to
answer."""


class RateBucket(Protocol):
    """What a caller pays from."""

    async def consume(self, cost: int) -> None:
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


class CostBudget:
    """What the operations of one request may cost, alone or in a batch.

    Attributes:
        total: What they have cost so far.
        reported: Whether answers tell it.
    """

    def __init__(
        self, limits: LimitsSettings, *, bucket: RateBucket | None = None, reported: bool = False
    ) -> None:
        self.total = 0
        self.reported = reported
        self._limits = limits
        self._bucket = bucket
        self._schemas = 0.0

    async def charge_document(self, text: str) -> None:
        """Count a document that is about to be prepared.

        Args:
            text: Its text.

        Raises:
            LimitError: The caller has asked for too much lately.
        """
        if self._bucket is not None:
            await self._bucket.consume(len(text) // CHARACTERS)

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
        cost = price.cost_for(variables)
        self.total += cost
        check_cost(self.total, self._limits)
        if price.schemas:
            self._schemas += price.schemas
            check_introspection(self._schemas, self._limits)
        return cost

    async def charge(self, cost: int, price: Price) -> None:
        """Pay for an operation that is about to be run.

        Args:
            cost: What its data costs.
            price: What it costs beside that: objects of the schema cost as much as others.

        Raises:
            LimitError: The caller has asked for too much lately.
        """
        if self._bucket is not None:
            await self._bucket.consume(cost + price.introspected)

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
        return None if self._bucket is None else self._bucket.headers()


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
