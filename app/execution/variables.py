"""Coercing the values of an operation's variables (GraphQL specification, section 6.1.2).

graphql-core takes a few microseconds for each id of a list. Nearly all values that clients send
need no coercion: texts for ids, and booleans. Those are only checked here. All others are coerced
by graphql-core, which is the reference.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

from graphql import (
    GraphQLError,
    GraphQLNonNull,
    GraphQLSchema,
    OperationDefinitionNode,
    Undefined,
)
from graphql.execution.get_variable_signature import (
    GraphQLVariableSignature,
    get_variable_signature,
)
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values
from graphql.pyutils import print_path_list
from graphql.utilities import (
    validate_input_value,  # pyright: ignore[reportUnknownVariableType] # its generics are left open
)

from app.execution.response_errors import about_value, drop_tracebacks

MAX_COERCION_ERRORS = 50
"""The most errors of variables that are reported; graphql-core's own default."""

_TOO_MANY = "Too many errors processing variables, error limit reached. Execution aborted."
"""The message of graphql-core."""

ValuePath: TypeAlias = list[str | int]
"""The names and list positions that lead to a part of a value."""

Check = Callable[[object], bool]
"""Returns whether a value is equal to its coerced value."""


def _is_text(value: object) -> bool:
    """Return whether a value is a text."""
    return type(value) is str


def _is_texts(value: object) -> bool:
    """Return whether a value is a list of texts."""
    return type(value) is list and {*map(type, value)} <= {str}  # pyright: ignore[reportUnknownArgumentType] # items of any type


def _is_boolean(value: object) -> bool:
    """Return whether a value is a boolean."""
    return type(value) is bool


_CHECKS: Mapping[str, Check] = {
    "ID!": _is_text,
    "[ID!]!": _is_texts,
    "String!": _is_text,
    "Boolean!": _is_boolean,
}
"""The types, as documents write them, whose values need only a check."""


class Coercion:
    """Coerces the values of one operation's variables."""

    def __init__(
        self,
        core: GraphQLSchema,
        operation: OperationDefinitionNode,
        *,
        without: Collection[str] = (),
    ) -> None:
        """Choose a check for each variable, if all of them have one.

        Args:
            core: The schema.
            operation: The operation, of a valid document.
            without: Names of variables that get no value now.
        """
        self._core = core
        self._definitions = [
            one
            for one in operation.variable_definitions or ()
            if one.variable.name.value not in without
        ]
        self._needs_coercion = False
        self._checks: list[tuple[str, GraphQLVariableSignature, Check]] = []
        for one in self._definitions:
            signature = get_variable_signature(core, one)
            check: Check | None = None
            if not isinstance(signature, GraphQLError):
                check = _CHECKS.get(str(signature.type))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType] # graphql-core leaves its generics open
            if isinstance(signature, GraphQLError) or check is None:
                self._needs_coercion = True
                return
            self._checks.append((signature.name, signature, check))

    def coerce(self, given: Mapping[str, Any]) -> VariableValues | list[GraphQLError]:
        """Coerce the values that a client sent.

        Args:
            given: JSON values by name; names that are no variables are ignored.

        Returns:
            The coerced values, or the errors in them.
        """
        if self._needs_coercion:
            return self._coerce_by_core(given)
        sources: dict[str, VariableValueSource] = {}
        coerced: dict[str, Any] = {}
        for name, signature, check in self._checks:
            value = given.get(name)
            if not check(value):  # it may be missing, and have a default
                return self._coerce_by_core(given)
            coerced[name] = value
            sources[name] = VariableValueSource(signature, value)
        return VariableValues(sources, coerced)

    def _coerce_by_core(self, given: Mapping[str, Any]) -> VariableValues | list[GraphQLError]:
        """Coerce by graphql-core, and rewrite the messages of its errors."""
        values = get_variable_values(
            self._core, self._definitions, dict(given), max_errors=MAX_COERCION_ERRORS
        )
        if not isinstance(values, list):
            return values
        for error in values:
            drop_tracebacks(error)  # its frames refer to the list that holds it
        try:
            return self._errors(given) or values
        except RecursionError:
            return values  # graphql-core reports that they are nested too deeply

    def _errors(self, given: Mapping[str, Any]) -> list[GraphQLError]:
        """List the errors, in words for clients: graphql-core prints values as Python does."""
        errors: list[GraphQLError] = []
        for definition in self._definitions:
            signature = get_variable_signature(self._core, definition)
            name = definition.variable.name.value
            if isinstance(signature, GraphQLError):
                errors.append(signature)
            elif name in given or not (definition.default_value or _may_be_absent(signature)):
                for path, message in _mistakes(given.get(name, Undefined), signature):
                    subject = f"Variable '${name}' has invalid value{print_path_list(path)}"
                    errors.append(GraphQLError(f"{subject}: {message}", definition))
                    if len(errors) > MAX_COERCION_ERRORS:
                        return [*errors[:MAX_COERCION_ERRORS], GraphQLError(_TOO_MANY)]
        return errors


def _may_be_absent(signature: GraphQLVariableSignature) -> bool:
    """Return whether a variable without a default needs no value."""
    kind: object = signature.type  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] # graphql-core leaves its generics open
    return not isinstance(kind, GraphQLNonNull)


def _mistakes(
    value: object, signature: GraphQLVariableSignature
) -> Sequence[tuple[ValuePath, str]]:
    """List the mistakes in a variable's value: the path and the message of each."""
    mistakes: list[tuple[ValuePath, str]] = []

    def on_error(error: GraphQLError, path: ValuePath) -> None:
        drop_tracebacks(error)
        if len(mistakes) <= MAX_COERCION_ERRORS:
            mistakes.append((path, about_value(error, _value_at(value, path))))

    validate_input_value(value, signature.type, on_error, hide_suggestions=True)  # pyright: ignore[reportUnknownMemberType] # the same
    return mistakes


def _value_at(value: Any, path: ValuePath) -> object:  # noqa: ANN401 # any JSON
    """Return the part of a value at a path."""
    for part in path:
        value = value[part]
    return value
