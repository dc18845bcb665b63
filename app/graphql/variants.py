"""Variants of an operation: what it was compiled to, for each set of what decides over it."""

from collections.abc import Mapping, Sequence
from typing import Any

from graphql import (
    SKIP,
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    VariableNode,
    Visitor,
    visit,
)
from graphql.execution.values import VariableValues

from app.graphql.compiler import Compiler, RootField
from app.graphql.rights import Rights
from app.graphql.variables import Coercion
from app.graphql.writer import NotCompiledError

MAX_VARIANTS = 64
"""How many variants of one operation are kept: more than its clients' switches have."""


MAX_VALUES = 1_000
"""The longest values, in characters, that a variant is kept for."""


class Variants:
    """What an operation was compiled to, for each set of what decides over it.

    Those are the values of all variables but the ones that only name users, and the scopes that
    callers have: what is one's own is told apart when it is run.
    """

    def __init__(self) -> None:
        self._deciding: dict[str | None, tuple[str, ...]] = {}
        self._kept: dict[object, Sequence[RootField] | NotCompiledError] = {}
        self._coercions: dict[str | None, Coercion] = {}

    def coerce(
        self, core: GraphQLSchema, operation: OperationDefinitionNode, given: Mapping[str, Any]
    ) -> VariableValues | list[GraphQLError]:
        """Coerce the values of an operation's variables.

        Args:
            core: The schema.
            operation: The operation, of a valid document.
            given: Values by name, as JSON has them.

        Returns:
            The variables' values, or what is wrong with them.
        """
        name = operation.name.value if operation.name is not None else None
        if (coercion := self._coercions.get(name)) is None:
            coercion = self._coercions[name] = Coercion(core, operation)
        return coercion.coerce(given)

    def get(
        self,
        compiler: Compiler,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: VariableValues,
        rights: Rights,
    ) -> Sequence[RootField]:
        """Find what an operation was compiled to, or compile it.

        Args:
            compiler: Compiles it.
            document: The document that it is in, valid.
            operation: The operation.
            variables: Values of its variables, coerced.
            rights: What the caller may see.

        Returns:
            Its fields.

        Raises:
            NotCompiledError: Only the executor can do it.
        """
        name = operation.name.value if operation.name is not None else None
        if (deciding := self._deciding.get(name)) is None:
            deciding = self._deciding[name] = deciding_variables(document)
        given = [variables.coerced.get(variable) for variable in deciding]
        if None in given:
            raise NotCompiledError("a variable that is null, where that may be an error")
        values = tuple(map(repr, given))
        if sum(map(len, values)) > MAX_VALUES:
            raise NotCompiledError("values too long to be kept")
        key = (name, values, rights.scopes)
        ready = self._kept.get(key)
        if ready is None:
            if len(self._kept) >= MAX_VARIANTS:
                self._kept.clear()
            try:
                ready = compiler.compile(document, operation, variables, rights)
            except NotCompiledError as error:
                ready = error.with_traceback(None)
            self._kept[key] = ready
        if isinstance(ready, NotCompiledError):
            raise ready.with_traceback(None)
        return ready


def deciding_variables(document: DocumentNode) -> tuple[str, ...]:
    """Find the variables that decide over how an operation is compiled.

    Args:
        document: The document.

    Returns:
        Names of those that are used anywhere but in the arguments of ``user`` and ``users``.
    """
    names: dict[str, None] = {}

    class Finder(Visitor):
        """Takes note of variables."""

        def enter_field(self, node: FieldNode, *_: object) -> object:
            """Pass over the arguments that name users."""
            if node.name.value not in {"user", "users"}:
                return None
            for part in (*(node.directives or ()), node.selection_set):
                if part is not None:
                    visit(part, Finder())
            return SKIP

        def enter_variable_definition(self, *_: object) -> object:
            """Pass over where variables are declared."""
            return SKIP

        def enter_variable(self, node: VariableNode, *_: object) -> None:
            """Take note of one."""
            names[node.name.value] = None

    visit(document, Finder())
    return tuple(names)
