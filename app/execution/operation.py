"""Operations of documents: what each costs, what it selects, and what it was compiled to."""

from collections.abc import Mapping
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
)
from graphql.execution.values import VariableValues

from app.auth.policies import Rights
from app.execution.limits.price import Price
from app.execution.planner import Planner, variables_in
from app.execution.render import NotCoveredError, OperationCompiler
from app.execution.variables import Coercion
from app.execution.variants import Variant, Variants

MAX_VALUES = 1_000
"""The longest values, in characters, that a variant is kept for."""


class Operation:
    """One operation of a valid document, with all that is found out about it once.

    There is a variant of it for each set of what decides over its selection. Those are the values
    of all variables but the ones that only name users, and the scopes that callers have: what is
    one's own is told apart when it is run.

    Attributes:
        tree: The document that it is in.
        node: The operation in it.
        name: Its name, if it has one.
        price: What it costs.
    """

    def __init__(
        self,
        tree: DocumentNode,
        node: OperationDefinitionNode,
        price: Price,
        variants: Variants,
    ) -> None:
        self.tree = tree
        self.node = node
        self.name = node.name.value if node.name is not None else None
        self.price = price
        self._coercion: Coercion | None = None
        self._deciding: tuple[str, ...] | None = None
        self._variants: Variants | None = variants
        self._number = variants.number()

    def coerce(
        self, core: GraphQLSchema, given: Mapping[str, Any]
    ) -> VariableValues | list[GraphQLError]:
        """Coerce the values of its variables.

        Args:
            core: The schema.
            given: Values by name, as JSON has them.

        Returns:
            The variables' values, or what is wrong with them.
        """
        if self._coercion is None:
            self._coercion = Coercion(core, self.node)
        return self._coercion.coerce(given)

    def variant(
        self,
        planner: Planner,
        compiler: OperationCompiler | None,
        variables: VariableValues,
        rights: Rights,
    ) -> Variant:
        """Find the variant for some variables, or make it.

        Args:
            planner: Reads what the operation selects.
            compiler: Compiles it; ``None`` where compiling is switched off.
            variables: Values of its variables, coerced.
            rights: What the caller may see.

        Returns:
            The variant.
        """
        if self._deciding is None:
            self._deciding = deciding_variables(self.tree)
        values = [variables.coerced.get(name) for name in self._deciding]
        if None in values:
            reason = "a variable that is null, where that may be an error"
            return self._made(planner, None, variables, rights, reason)
        store = tuple(map(repr, values))
        if sum(map(len, store)) > MAX_VALUES:
            reason = "values too long to be kept"
            return self._made(planner, None, variables, rights, reason)
        key = (self._number, store, rights.scopes)
        kept = None if self._variants is None else self._variants.get(key)
        if kept is None:
            reason = "compiling is switched off"
            kept = self._made(planner, compiler, variables, rights, reason)
            if self._variants is not None:
                self._variants.keep(key, kept)
        return kept

    def forget_variants(self) -> None:
        """Keep no variant of it any more, since its document is not kept either."""
        if self._variants is not None:
            self._variants.forget(self._number)
            self._variants = None

    def _made(
        self,
        planner: Planner,
        compiler: OperationCompiler | None,
        variables: VariableValues,
        rights: Rights,
        reason: str,
    ) -> Variant:
        """Make a variant; it is not compiled for the reason given where there is no compiler."""
        roots = planner.select(self.tree, self.node, variables, rights)
        if any(one.name.value not in {"include", "skip"} for one in self.node.directives or ()):
            compiler, reason = None, "a directive of the operation"
        if compiler is None:
            return Variant(roots, not_compiled=reason)
        try:
            return Variant(roots, compiler.compile(roots, variables))
        except NotCoveredError as error:
            return Variant(roots, not_compiled=str(error))


def deciding_variables(document: DocumentNode) -> tuple[str, ...]:
    """Find the variables that decide over how an operation is compiled.

    Args:
        document: The document.

    Returns:
        Names of those that are used anywhere but in the arguments that name users.
    """
    return variables_in(document.definitions)
