"""Coercing the values of an operation's variables (GraphQL specification, section 6.1.2).

graphql-core's way takes a few microseconds for each id of a list. What clients send nearly always
needs no coercion at all: texts for ids, and switches. Where that is so it is only looked at; all
else goes graphql-core's way, which is the definition of what is right.
"""

from collections.abc import Callable, Mapping
from typing import Any

from graphql import GraphQLError, GraphQLSchema, OperationDefinitionNode, print_ast
from graphql.execution.get_variable_signature import (
    GraphQLVariableSignature,
    get_variable_signature,
)
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values

MAX_COERCION_ERRORS = 50
"""How many errors of variables are told at most; graphql-core's own default."""

Check = Callable[[object], bool]
"""Tells whether a value is itself what it would be coerced to."""


def _is_text(value: object) -> bool:
    """Tell whether a value is a text."""
    return type(value) is str


def _is_texts(value: object) -> bool:
    """Tell whether a value is a list of texts."""
    return type(value) is list and {*map(type, value)} <= {str}  # pyright: ignore[reportUnknownArgumentType] # whatever it has


def _is_switch(value: object) -> bool:
    """Tell whether a value is true or false."""
    return type(value) is bool


_CHECKS: Mapping[str, Check] = {
    "ID!": _is_text,
    "[ID!]!": _is_texts,
    "String!": _is_text,
    "Boolean!": _is_switch,
}
"""The types, as documents write them, that need no more than a look."""


class Coercion:
    """How the values of one operation's variables are coerced."""

    def __init__(self, core: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        """Find out what its variables need.

        Args:
            core: The schema.
            operation: The operation, of a valid document.
        """
        self._core = core
        self._definitions = operation.variable_definitions or ()
        self._needs_work = False
        self._checks: list[tuple[str, GraphQLVariableSignature, Check]] = []
        for one in self._definitions:
            signature = get_variable_signature(core, one)
            check = _CHECKS.get(print_ast(one.type))
            if isinstance(signature, GraphQLError) or check is None:
                self._needs_work = True
                return
            self._checks.append((signature.name, signature, check))

    def coerce(self, given: Mapping[str, Any]) -> VariableValues | list[GraphQLError]:
        """Coerce what a client has given.

        Args:
            given: Values by name, as JSON has them; those of no variable are passed over.

        Returns:
            The variables' values, or what is wrong with them.
        """
        if self._needs_work:
            return self._by_core(given)
        sources: dict[str, VariableValueSource] = {}
        coerced: dict[str, Any] = {}
        for name, signature, check in self._checks:
            value = given.get(name)
            if not check(value):  # perhaps it is missing, and has a default
                return self._by_core(given)
            coerced[name] = value
            sources[name] = VariableValueSource(signature, value)
        return VariableValues(sources, coerced)

    def _by_core(self, given: Mapping[str, Any]) -> VariableValues | list[GraphQLError]:
        """Coerce graphql-core's way."""
        return get_variable_values(
            self._core, self._definitions, dict(given), max_errors=MAX_COERCION_ERRORS
        )
