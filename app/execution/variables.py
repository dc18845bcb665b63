"""Coercing the values of an operation's variables (GraphQL specification, section 6.1.2).

graphql-core's way takes a few microseconds for each id of a list. What clients send nearly always
needs no coercion at all: texts for ids, and switches. Where that is so it is only looked at; all
else goes graphql-core's way, which is the definition of what is right.
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

from app.execution.response_errors import about_value, untrace

MAX_COERCION_ERRORS = 50
"""How many errors of variables are told at most; graphql-core's own default."""

_TOO_MANY = "Too many errors processing variables, error limit reached. Execution aborted."
"""As graphql-core says it."""

Place: TypeAlias = list[str | int]
"""What leads to a part of a value."""

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

    def __init__(
        self,
        core: GraphQLSchema,
        operation: OperationDefinitionNode,
        *,
        without: Collection[str] = (),
    ) -> None:
        """Find out what its variables need.

        Args:
            core: The schema.
            operation: The operation, of a valid document.
            without: Variables that get no value now.
        """
        self._core = core
        self._definitions = [
            one
            for one in operation.variable_definitions or ()
            if one.variable.name.value not in without
        ]
        self._needs_work = False
        self._checks: list[tuple[str, GraphQLVariableSignature, Check]] = []
        for one in self._definitions:
            signature = get_variable_signature(core, one)
            check: Check | None = None
            if not isinstance(signature, GraphQLError):
                check = _CHECKS.get(str(signature.type))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType] # graphql-core leaves its generics open
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
        values = get_variable_values(
            self._core, self._definitions, dict(given), max_errors=MAX_COERCION_ERRORS
        )
        if not isinstance(values, list):
            return values
        for error in values:
            untrace(error)  # its frames hold on to the list that it is in
        try:
            return self._wrong(given) or values
        except RecursionError:
            return values  # graphql-core has said that they are nested too deeply

    def _wrong(self, given: Mapping[str, Any]) -> list[GraphQLError]:
        """Say what is wrong, in words for clients: graphql-core's own are made of Python's."""
        errors: list[GraphQLError] = []
        for definition in self._definitions:
            signature = get_variable_signature(self._core, definition)
            name = definition.variable.name.value
            if isinstance(signature, GraphQLError):
                errors.append(signature)
            elif name in given or not (definition.default_value or _may_be_absent(signature)):
                for place, message in _mistakes(given.get(name, Undefined), signature):
                    what = f"Variable '${name}' has invalid value{print_path_list(place)}"
                    errors.append(GraphQLError(f"{what}: {message}", definition))
                    if len(errors) > MAX_COERCION_ERRORS:
                        return [*errors[:MAX_COERCION_ERRORS], GraphQLError(_TOO_MANY)]
        return errors


def _may_be_absent(signature: GraphQLVariableSignature) -> bool:
    """Tell whether a variable without a default needs no value."""
    kind: object = signature.type  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] # graphql-core leaves its generics open
    return not isinstance(kind, GraphQLNonNull)


def _mistakes(value: object, signature: GraphQLVariableSignature) -> Sequence[tuple[Place, str]]:
    """List what is wrong with the value of a variable, and where in it."""
    mistakes: list[tuple[Place, str]] = []

    def note(error: GraphQLError, place: Place) -> None:
        untrace(error)
        if len(mistakes) <= MAX_COERCION_ERRORS:
            mistakes.append((place, about_value(error, _value_at(value, place))))

    validate_input_value(value, signature.type, note, hide_suggestions=True)  # pyright: ignore[reportUnknownMemberType] # the same
    return mistakes


def _value_at(value: Any, place: Place) -> object:  # noqa: ANN401 # any JSON
    """Find what is at a place of a value."""
    for part in place:
        value = value[part]
    return value
