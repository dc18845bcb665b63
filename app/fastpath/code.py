"""Generates Python functions for selections, as source text.

Reading fifty users field by field through closures took as long as all other work of the gateway
for them. A function of only attributes and literals takes a quarter of that. The only input of
clients in the text is the response keys. They are names by GraphQL's grammar, and are written as
literals.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any

from graphql import ListTypeNode, NonNullTypeNode, TypeNode

from app.errors import BadUserInputError
from app.execution.plan import PlannedField
from app.execution.render import ExecutorReason, NotCompiled, NotCoveredError
from app.schema.definitions import SCALARS, ObjectDefinition, SchemaDefinition, type_name
from app.sources.records_in_parts import joined

BOUND_BYTES = 500
"""Estimated bytes of a bound value of a function, such as the reader of a field with arguments."""


class FunctionWriter:
    """Generates the text of functions, and compiles it. All methods return source text.

    Args:
        schema: The definition of the schema.
        objects: The objects inside users, and those of pages, by name.
        arguments: Coerces the arguments of a field of an object; gets the name of the object.
    """

    def __init__(
        self,
        schema: SchemaDefinition,
        objects: Mapping[str, ObjectDefinition],
        arguments: Callable[[str, PlannedField], Mapping[str, Any]],
    ) -> None:
        self._arguments = arguments
        self._enums = {one.name: one for one in schema.enums}
        self._objects = objects
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

    def value(self, kind: TypeNode, fields: Sequence[PlannedField], value: str) -> str:
        """Generate the conversion of a value to JSON. Times stay times, for the encoder.

        Args:
            kind: The type of the value.
            fields: The fields that are selected inside the value.
            value: The text of the value.

        Returns:
            The text of the converted value. ``None`` stays ``None``.
        """
        if isinstance(kind, NonNullTypeNode):
            return self.value(kind.type, fields, value)
        type_of_value = type_name(kind)
        if type_of_value in SCALARS and not isinstance(kind, ListTypeNode):
            return value
        name = self._name()
        if isinstance(kind, ListTypeNode):
            item = self._name()
            text = f"[{self.value(kind.type, fields, item)} for {item} in {name}]"
        elif type_of_value in self._enums:
            text = f"{self.bind(self._enums[type_of_value].name_for)}({name})"
        else:
            text = self._object(self._objects[type_of_value], fields, name)
        return f"None if ({name} := {value}) is None else {text}"

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

    def _object(self, kind: ObjectDefinition, fields: Sequence[PlannedField], part: str) -> str:
        """Generate an object from the part of a record that it shows."""
        parts: list[str] = []
        for field in fields:
            if field.name == "__typename":
                parts.append(f"{field.key!r}: {kind.name!r}")
                continue
            definition = kind.by_name[field.name]
            value = f"{part}.{definition.attribute}"
            if definition.assumed_size is not None:
                try:
                    read = definition.reader(self._arguments(kind.name, field))
                except BadUserInputError as error:
                    detail = f"{field.name} with a wrong argument"
                    raise NotCoveredError(NotCompiled(ExecutorReason.ARGUMENT, detail)) from error
                value = f"{self.bind(read)}({part})"
            value = self.value(definition.kind, field.fields, value)
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
