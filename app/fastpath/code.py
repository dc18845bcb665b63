"""Generates Python functions for selections, as source text.

Reading fifty users field by field through closures took as long as all other work of the gateway
for them. A function of only attributes and literals takes a quarter of that. The only input of
clients in the text is the response keys. They are names by GraphQL's grammar, and are written as
literals.
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

UNCONVERTED_SCALARS = frozenset({"String", "ID", "Int", "Boolean", "SafeInt", "DateTime"})
"""Scalars whose values in records are JSON values already, or are converted by the encoder."""


BOUND_BYTES = 500
"""Estimated bytes of a bound value of a function, such as the reader of a field with arguments."""


class FunctionWriter:
    """Generates the text of functions, and compiles it. All methods return source text."""

    def __init__(self) -> None:
        """Begin without bound names."""
        self._bound: dict[str, object] = {}
        self._names = 0

    def joined(self, parts: Sequence[str]) -> str:
        """Generate the join of partial records.

        Args:
            parts: The texts of the partial records, at least one.

        Returns:
            The text of the whole record.
        """
        return parts[0] if len(parts) == 1 else f"{self.bind(joined)}([{', '.join(parts)}])"

    def value(self, kind: object, fields: Sequence[PlannedField], value: str) -> str:
        """Generate the conversion of a value to JSON. Times stay times, for the encoder.

        Args:
            kind: The type of the value in the schema.
            fields: The fields that are selected inside the value.
            value: The text of the value.

        Returns:
            The text of the converted value. ``None`` stays ``None``.

        Raises:
            NotCoveredError: Only the executor can convert the value.
        """
        wraps = isinstance(kind, GraphQLNonNull | GraphQLList)
        inner: object = cast("GraphQLList[Any]", kind).of_type if wraps else None
        if isinstance(kind, GraphQLNonNull):
            return self.value(inner, fields, value)
        if isinstance(kind, GraphQLScalarType) and kind.name in UNCONVERTED_SCALARS:
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

    def projected(
        self, kind: object, fields: Sequence[PlannedField], projection: Projection, part: str
    ) -> str:
        """Generate the value of a field that shows an attribute.

        Args:
            kind: The type of the field.
            fields: The fields that are selected inside the value.
            projection: How the field reads the attribute.
            part: The text of the record, or of the part of one, that has the attribute.

        Returns:
            The text of the value.

        Raises:
            NotCoveredError: Only the executor can convert the value.
        """
        value = f"{part}.{projection.attribute}"
        if projection.of is not None and not projection.makes_object:
            name, convert = self._name(), self.bind(projection.of)
            value = f"(None if ({name} := {value}) is None else {convert}({name}))"
        return self.value(kind, fields, value)

    def function(self, parameters: Sequence[str], value: str) -> Callable[..., Any]:
        """Compile a function.

        Args:
            parameters: The names of its parameters.
            value: The text of its return value.

        Returns:
            The function.
        """
        text = f"lambda {', '.join(parameters)}: {value}"
        code = compile(text, "<selection>", "eval")
        # A copy, because the function itself may be bound later. If its globals were `_bound`, that
        # would be a reference cycle, and the garbage collector runs rarely.
        function: Callable[..., Any] = eval(code, {**self._bound})  # noqa: S307 # no client input, see above
        return function

    def bind(self, value: object) -> str:
        """Bind a value to a new name in the functions.

        Args:
            value: The value.

        Returns:
            The name, for the text.
        """
        name = self._name()
        self._bound[name] = value
        return name

    def _enum(self, kind: GraphQLEnumType, member: str) -> str:
        """Generate the name of an enum member: Python's own if the schema has the same names."""
        # Looking a member up is slow, because its hash is computed in Python.
        definition: StrawberryEnumDefinition = kind.extensions["strawberry-definition"]
        write = cache(kind.coerce_output_value)
        members = cast(
            "Iterable[Enum]", definition.wrapped_cls
        )  # its declared type is only a class
        if all(write(item) == item.name for item in members):
            return f"{member}._name_"  # faster than `name`, which is a property
        return f"{self.bind(write)}({member})"

    def _object(self, kind: GraphQLObjectType, fields: Sequence[PlannedField], part: str) -> str:
        """Generate an object from the part of a record that it shows."""
        parts: list[str] = []
        for field in fields:
            if field.name == "__typename":
                parts.append(f"{field.key!r}: {kind.name!r}")
                continue
            definition = kind.fields[field.name]
            projection = projection_of(definition)
            if projection is None:
                raise NotCoveredError(f"the field {kind.name}.{field.name}, which has a resolver")
            value = self.projected(definition.type, field.fields, projection, part)
            parts.append(f"{field.key!r}: {value}")
        return "{" + ", ".join(parts) + "}"

    def _name(self) -> str:
        """Return a new name."""
        self._names += 1
        return f"v{self._names}"


def function_bytes(functions: Sequence[Callable[..., Any]]) -> int:
    """Estimate the memory of the functions of one writer, with their bound values.

    Args:
        functions: The functions. They share their bound values.

    Returns:
        The estimate, in bytes.
    """
    compiled = [function for function in functions if isinstance(function, FunctionType)]
    bound = max((len(function.__globals__) for function in compiled), default=0)
    return BOUND_BYTES * bound + sum(map(_function_bytes, compiled))


def _function_bytes(function: FunctionType) -> int:
    """Estimate the bytes of a function, without its bound values."""
    size = sys.getsizeof(function) + sys.getsizeof(function.__globals__)
    return size + sum(map(_code_bytes, _codes(function.__code__)))


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function, and of each function inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _code_bytes(code: CodeType) -> int:
    """Estimate the bytes of code, without the code inside it."""
    parts: tuple[object, ...] = (
        code,
        code.co_linetable,
        code.co_consts,
        code.co_names,
        code.co_varnames,
        code.co_qualname,
    )
    texts = (constant for constant in code.co_consts if isinstance(constant, str))
    return sum(map(sys.getsizeof, (*parts, *texts)))
