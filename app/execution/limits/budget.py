"""The cost limit of one HTTP request, and limits of its variables.

Variables are limited in their bytes, in the number of their values and in their depth.
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
"""The deepest values that orjson can write."""


def check_variables(values: Mapping[str, Any], limits: LimitsSettings) -> None:
    """Check the variables of a request against the limits.

    Usual values are only written once as JSON, which takes a microsecond.

    Args:
        values: JSON values by name.
        limits: The limits.

    Raises:
        LimitError: They have too many bytes, too many values, or are too deep.
    """
    if not values or not (
        limits.variables_bytes or limits.variables_values or limits.variables_depth
    ):
        return
    try:
        text = orjson.dumps(values)
    except (TypeError, ValueError):  # too deep, or an integer beyond 64 bits
        _check_depth(values, limits.variables_depth or _ENCODER_DEPTH)
        text = _python_text(values)
    if 0 < limits.variables_bytes < len(text):
        found = f"the variables have {len(text):,} bytes"
        raise LimitError("variables_bytes", limits.variables_bytes, found)
    brackets = text.count(b"[") + text.count(b"{")
    # Each value follows a comma or an opening bracket. Texts may have both, so count exactly then.
    if text.count(b",") + brackets > limits.variables_values > 0:
        _check_number(values, limits.variables_values)
    if brackets > limits.variables_depth > 0:
        _check_depth(values, limits.variables_depth)


def _check_number(values: Mapping[str, Any], allowed: int) -> None:
    """Check the number of values, and stop counting at the limit.

    graphql-core needs far more time to coerce a list of short values than to read its bytes.
    """
    number = 0
    rest: list[Iterable[object]] = [values.values()]
    while rest:
        for value in rest.pop():
            number += 1
            if number > allowed:
                raise LimitError("variables_values", allowed, "the variables have more values")
            if (items := _items(value)) is not None:
                rest.append(items)


def _check_depth(values: Mapping[str, Any], allowed: int) -> None:
    """Check how deep lists and objects are nested; the object of all variables does not count."""
    depth = 0
    level: Iterable[object] = values.values()
    while inner := [items for value in level if (items := _items(value)) is not None]:
        depth += 1
        if depth > allowed:
            found = "the variables have more levels of lists and objects"
            raise LimitError("variables_depth", allowed, found)
        level = [value for items in inner for value in items]


def _items(value: object) -> Iterable[object] | None:
    """Return the items of a list or an object; ``None`` for other values."""
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else None


def _python_text(values: Mapping[str, Any]) -> bytes:
    """Write values as Python does, if orjson cannot write them."""
    try:
        return str(values).encode("utf-8", "replace")
    except ValueError as error:  # Python limits the digits of an integer, too
        digits = sys.get_int_max_str_digits()
        found = "the variables have a number of more digits"
        raise LimitError("variables_digits", digits, found) from error


CHARACTERS = 4
"""How many characters of a new document cost 1: preparing them takes as long as rendering one
object."""


class RateBucket(Protocol):
    """The rate limit of a caller, as a token bucket."""

    async def consume(self, cost: int) -> None:
        """Take tokens from the bucket.

        Args:
            cost: The number of tokens.

        Raises:
            LimitError: The bucket has too few tokens.
        """
        ...

    def headers(self) -> Mapping[str, str]:
        """Return the state of the bucket, as HTTP headers.

        Returns:
            Values by name of the header.
        """
        ...


class CostBudget:
    """The cost limit of one request, with one operation or a batch.

    Args:
        limits: The limits of a request.
        bucket: The rate limit of the caller; ``None`` for no limit.
        reported: Whether answers report the cost.

    Attributes:
        total: The cost of the request's operations so far.
        reported: Whether answers report the cost.
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
        """Charge the caller for a document that is about to be prepared.

        Args:
            text: The text of the document.

        Raises:
            LimitError: The caller has exceeded its rate limit.
        """
        if self._bucket is not None:
            await self._bucket.consume(len(text) // CHARACTERS)

    def count(self, price: Price, variables: Mapping[str, Any]) -> int:
        """Add the cost of an operation to the total, and check the limits.

        Args:
            price: The price of the operation.
            variables: Values of its variables, as the client sent them.

        Returns:
            The cost of its data. Pass it to ``charge``, if the operation is run.

        Raises:
            LimitError: The cost is above the limit, or the variables are too large.
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
        """Charge the caller for an operation that is about to be run.

        Args:
            cost: The cost of its data.
            price: The price of the operation. An object of the schema costs 1, like one of data.

        Raises:
            LimitError: The caller has exceeded its rate limit.
        """
        if self._bucket is not None:
            await self._bucket.consume(cost + price.introspected)

    def report(self, cost: int) -> Mapping[str, object]:
        """Return the report of the cost, for the extensions of an answer.

        Args:
            cost: The cost of the operation.

        Returns:
            The cost of the operation, the total of the request so far, and the limit.
        """
        return {"operation": cost, "total": self.total, "limit": self._limits.cost or None}

    def headers(self) -> Mapping[str, str] | None:
        """Return the state of the caller's rate limit, as HTTP headers.

        Returns:
            Values by name of the header; ``None`` without a rate limit.
        """
        return None if self._bucket is None else self._bucket.headers()


def check_cost(total: int, limits: LimitsSettings) -> None:
    """Check the cost of a request.

    Args:
        total: The cost of all its operations.
        limits: The limits.

    Raises:
        LimitError: The cost is above the limit.
    """
    if 0 < limits.cost < total:
        raise LimitError("cost", limits.cost, f"the request costs {count_of(total)}")


def check_introspection(schemas: float, limits: LimitsSettings) -> None:
    """Check how much of the schema the operations of a request ask for.

    Args:
        schemas: The number of objects that they ask for, as a multiple of the whole schema.
        limits: The limits.

    Raises:
        LimitError: The number is above the limit.
    """
    if 0 < limits.introspection < schemas:
        times = "countless" if schemas == inf else f"{ceil(schemas):,}"
        found = f"the request asks for the whole schema {times} times over"
        raise LimitError("introspection", limits.introspection, found)
