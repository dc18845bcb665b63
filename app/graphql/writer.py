"""Writing users: a Python function for each selection, made of its text.

Reading fifty users field by field through closures took as long as all else that the gateway does
for them. A function that has nothing but attributes and literals in it takes a quarter of that. Of
what a client sends, only the keys of the answer get into the text, which are names by GraphQL's
grammar, and as literals.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, cast

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
)
from graphql.execution.values import VariableValues
from strawberry.types.enum import StrawberryEnumDefinition

from app.graphql.fields import showing
from app.graphql.selection import grouped_fields
from app.sources.partial import joined

AS_IT_IS = frozenset({"String", "ID", "Int", "Boolean", "SafeInt", "DateTime"})
"""Scalars whose values the records let through only as JSON has them, or as orjson writes them."""


class NotCompiledError(Exception):
    """The operation has something that only the executor can do; the message says what."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What selections are read with.

    Attributes:
        fragments: The document's fragments, by name.
        variables: Values of the operation's variables.
    """

    fragments: Mapping[str, FragmentDefinitionNode]
    variables: VariableValues

    def below(self, nodes: list[FieldNode], types: frozenset[str]) -> dict[str, list[FieldNode]]:
        """Collect what is selected below a field."""
        return grouped_fields(
            nodes, types=types, fragments=self.fragments, variables=self.variables.coerced
        )


class Writer:
    """Writes the text of one function, and makes it."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._bound: dict[str, object] = {}
        self._names = 0

    def read(self, get: Callable[[Any], object], part: str) -> str:
        """Write how a value is read.

        Args:
            get: Reads it.
            part: The text of what it is read from.

        Returns:
            The text of the value.
        """
        attribute = attribute_of(get)
        return f"{self.bind(get)}({part})" if attribute is None else f"{part}.{attribute}"

    def joined(self, parts: Sequence[str]) -> str:
        """Write how one record is made of partial ones.

        Args:
            parts: Their texts, at least one.

        Returns:
            The text of the record.
        """
        return parts[0] if len(parts) == 1 else f"{self.bind(joined)}([{', '.join(parts)}])"

    def value(self, kind: object, nodes: list[FieldNode], value: str) -> str:
        """Write a value as JSON has it, but for times, which are left to orjson.

        Args:
            kind: Its type in the schema.
            nodes: The fields that it is the value of.
            value: The text of the value.

        Returns:
            The text of what it is written as; ``None`` stays ``None``.

        Raises:
            NotCompiledError: Only the executor can do it.
        """
        wraps = isinstance(kind, GraphQLNonNull | GraphQLList)
        inner: object = cast("GraphQLList[Any]", kind).of_type if wraps else None
        if isinstance(kind, GraphQLNonNull):
            return self.value(inner, nodes, value)
        if isinstance(kind, GraphQLScalarType) and kind.name in AS_IT_IS:
            return value
        name = self._name()
        if isinstance(kind, GraphQLList):
            item = self._name()
            written = self.value(inner, nodes, item)
            text = f"[{written} for {item} in {name}]"
        elif isinstance(kind, GraphQLEnumType):
            text = self._enum(kind, name)
        elif isinstance(kind, GraphQLObjectType):
            text = self._object(kind, nodes, name)
        else:
            raise NotCompiledError(f"the type {kind}")
        return f"None if ({name} := {value}) is None else {text}"

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

    def _object(self, kind: GraphQLObjectType, nodes: list[FieldNode], part: str) -> str:
        """Write an object straight from what it shows."""
        parts: list[str] = []
        for key, group in self._selection.below(nodes, frozenset({kind.name})).items():
            name = group[0].name.value
            if name == "__typename":
                parts.append(f"{key!r}: {kind.name!r}")
                continue
            definition = kind.fields[name]
            shown = showing(definition)
            if shown is None:
                raise NotCompiledError(f"the field {kind.name}.{name}, which has a resolver")
            value = self.value(definition.type, group, self.read(shown.get, part))
            parts.append(f"{key!r}: {value}")
        return "{" + ", ".join(parts) + "}"

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

    def _name(self) -> str:
        """Find a name that is not taken."""
        self._names += 1
        return f"v{self._names}"


class _Whatever:
    """A value that nothing can be done with but to hand it on."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise TypeError("it is handed on, not looked at")

    def __eq__(self, _: object) -> bool:
        raise TypeError("it is handed on, not looked at")

    __hash__ = None  # type: ignore[assignment] # so that it is no key either


class _Watched:
    """A record that has one value in all of its attributes, and takes note of what is read."""

    def __init__(self, value: object) -> None:
        self._value = value
        self._read: list[str] = []

    def __getattr__(self, name: str) -> object:
        self._read.append(name)
        return self._value


def attribute_of(get: Callable[[Any], object]) -> str | None:
    """Find out whether a function does no more than read one attribute.

    It is shown two records, one of values that nothing can be done with, and one of ``None``. Where
    it reads one attribute once of each and returns what it got, there is no room for more.

    Args:
        get: Reads a value from a record, and does nothing else.

    Returns:
        Name of the attribute, or ``None`` where there is more to it.
    """
    names: set[str] = set()
    for value in (_Whatever(), None):
        record = _Watched(value)
        try:
            got = get(record)
        except Exception:  # noqa: BLE001 # whatever it wanted to do, it is more than to read
            return None
        read = vars(record)["_read"]
        if got is not value or len(read) != 1:
            return None
        names.update(read)
    return names.pop() if len(names) == 1 else None
