"""Writing Python functions for selections, as text.

Reading fifty users field by field through closures took as long as all else that the gateway does
for them. A function that has nothing but attributes and literals in it takes a quarter of that. Of
what a client sends, only the response keys get into the text: they are names by GraphQL's grammar,
and are written as literals.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import cache
from types import CodeType, FunctionType
from typing import Any, cast

from graphql import (
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
)
from strawberry.types.enum import StrawberryEnumDefinition

from app.execution.plan import PlannedField
from app.execution.render import NotCoveredError
from app.schema.fields import Projection, projection_of
from app.sources.records_in_parts import joined

AS_IT_IS = frozenset({"String", "ID", "Int", "Boolean", "SafeInt", "DateTime"})
"""Scalars whose values the records let through only as JSON has them, or as orjson writes them."""


BOUND_BYTES = 500
"""A value that a function has beside its text, such as what reads a field with arguments."""


class FunctionWriter:
    """Writes the text of functions, and makes them."""

    def __init__(self) -> None:
        """Begin with no names."""
        self._bound: dict[str, object] = {}
        self._names = 0

    def joined(self, parts: Sequence[str]) -> str:
        """Write how one record is made of partial ones.

        Args:
            parts: Their texts, at least one.

        Returns:
            The text of the record.
        """
        return parts[0] if len(parts) == 1 else f"{self.bind(joined)}([{', '.join(parts)}])"

    def value(self, kind: object, fields: Sequence[PlannedField], value: str) -> str:
        """Write a value as JSON has it, but for times, which are left to orjson.

        Args:
            kind: Its type in the schema.
            fields: What is selected inside it.
            value: The text of the value.

        Returns:
            The text of what it is written as; ``None`` stays ``None``.

        Raises:
            NotCoveredError: Only the executor can do it.
        """
        wraps = isinstance(kind, GraphQLNonNull | GraphQLList)
        inner: object = cast("GraphQLList[Any]", kind).of_type if wraps else None
        if isinstance(kind, GraphQLNonNull):
            return self.value(inner, fields, value)
        if isinstance(kind, GraphQLScalarType) and kind.name in AS_IT_IS:
            return value
        name = self._name()
        if isinstance(kind, GraphQLList):
            item = self._name()
            text = f"[{self.value(inner, fields, item)} for {item} in {name}]"
        elif isinstance(kind, GraphQLEnumType):
            text = self._enum(kind, name)
        elif isinstance(kind, GraphQLObjectType):
            text = self._object(kind, fields, name)
        else:
            raise NotCoveredError(f"the type {kind}")
        return f"None if ({name} := {value}) is None else {text}"

    def shown(
        self, kind: object, fields: Sequence[PlannedField], showing: Projection, part: str
    ) -> str:
        """Write the value of a field that shows an attribute.

        Args:
            kind: The field's type.
            fields: What is selected inside it.
            showing: What it shows.
            part: The text of the record, or of the part of one, that has the attribute.

        Returns:
            The text of the value.

        Raises:
            NotCoveredError: Only the executor can do it.
        """
        value = f"{part}.{showing.attribute}"
        if showing.of is not None and not showing.makes_object:
            name = self._name()
            value = f"(None if ({name} := {value}) is None else {self.bind(showing.of)}({name}))"
        return self.value(kind, fields, value)

    def function(self, parameters: Sequence[str], value: str) -> Callable[..., Any]:
        """Make a function.

        Args:
            parameters: Names of its parameters.
            value: The text of what it returns.

        Returns:
            The function.
        """
        text = f"lambda {', '.join(parameters)}: {value}"
        code = compile(text, "<selection>", "eval")
        # A copy, since the function may be bound in turn: with what it is bound in as its globals
        # it would be in a ring, which nothing but the garbage collector frees, and that is rare.
        function: Callable[..., Any] = eval(code, {**self._bound})  # noqa: S307 # see above: all ours
        return function

    def bind(self, value: object) -> str:
        """Give a value a name in the functions.

        Args:
            value: The value.

        Returns:
            The name, as the text has it.
        """
        name = self._name()
        self._bound[name] = value
        return name

    def _enum(self, kind: GraphQLEnumType, member: str) -> str:
        """Write a member of an enum, straight by its name in Python where the schema has the same.

        To look a member up is slow: their hashes are computed in Python.
        """
        definition: StrawberryEnumDefinition = kind.extensions["strawberry-definition"]
        write = cache(kind.coerce_output_value)
        members = cast("Iterable[Enum]", definition.wrapped_cls)  # a class whose type says less
        if all(write(one) == one.name for one in members):
            return f"{member}._name_"  # `name` is a property in Python
        return f"{self.bind(write)}({member})"

    def _object(self, kind: GraphQLObjectType, fields: Sequence[PlannedField], part: str) -> str:
        """Write an object straight from the part of a record that it shows."""
        parts: list[str] = []
        for one in fields:
            if one.name == "__typename":
                parts.append(f"{one.key!r}: {kind.name!r}")
                continue
            definition = kind.fields[one.name]
            found = projection_of(definition)
            if found is None:
                raise NotCoveredError(f"the field {kind.name}.{one.name}, which has a resolver")
            parts.append(f"{one.key!r}: {self.shown(definition.type, one.fields, found, part)}")
        return "{" + ", ".join(parts) + "}"

    def _name(self) -> str:
        """Find a name that is not taken."""
        self._names += 1
        return f"v{self._names}"


def function_bytes(functions: Sequence[Callable[..., Any]]) -> int:
    """Estimate how many bytes functions of one writer have, with what is bound in them.

    Args:
        functions: The functions, which share what is bound in them.

    Returns:
        The estimate.
    """
    made = [one for one in functions if isinstance(one, FunctionType)]
    bound = max((len(one.__globals__) for one in made), default=0)
    return BOUND_BYTES * bound + sum(map(_function_bytes, made))


def _function_bytes(function: FunctionType) -> int:
    """Estimate how many bytes a function of the writer has, without what is bound in it."""
    size = sys.getsizeof(function) + sys.getsizeof(function.__globals__)
    return size + sum(map(_code_bytes, _codes(function.__code__)))


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Give the code of a function, and that of each function in it."""
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)


def _code_bytes(code: CodeType) -> int:
    """Count the bytes of code, without those of the code in it."""
    parts: tuple[object, ...] = (
        code,
        code.co_linetable,
        code.co_consts,
        code.co_names,
        code.co_varnames,
        code.co_qualname,
    )
    texts = (one for one in code.co_consts if isinstance(one, str))
    return sum(map(sys.getsizeof, (*parts, *texts)))
