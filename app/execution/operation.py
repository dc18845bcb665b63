"""Operations of documents: their cost, and their variants."""

from collections.abc import Collection, Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
)
from graphql.execution.values import VariableValues

from app.auth.policies import Rights
from app.execution.deferral import CompiledPart, CompiledParts, DividedSelection, divided
from app.execution.limits.price import Price
from app.execution.planner import Planner
from app.execution.render import (
    ExecutorReason,
    NotCompiled,
    NotCoveredError,
    OperationCompiler,
)
from app.execution.selection import delayed_nodes, switches_in, variables_in
from app.execution.variables import Coercion
from app.execution.variants import Variant, Variants

MAX_VALUES = 1_000
"""The most characters of variable values that a kept variant may have in its key."""


_SWITCHED_OFF = NotCompiled(ExecutorReason.SWITCHED_OFF, "compiling is switched off")

_TOO_LONG = NotCompiled(ExecutorReason.LONG_VALUES, "values too long to be kept")

_OWN_DIRECTIVE = NotCompiled(ExecutorReason.DIRECTIVE, "a directive of the operation")

_NULL_SWITCH = NotCompiled(ExecutorReason.DIRECTIVE, "a directive whose variable is null")


class Operation:
    """One operation of a valid document, with everything that is computed once for it.

    An operation has one variant for each set of inputs that decide its selection: the values of all
    variables except those that only name users, and the caller's scopes. Which users are the
    caller itself is decided later, for each request.

    Args:
        tree: The document of the operation.
        node: The operation's node in that document.
        price: The operation's cost.
        variants: Keeps the variants of all operations.

    Attributes:
        tree: The document of the operation.
        node: The operation's node in that document.
        name: The operation's name, if it has one.
        price: The operation's cost.
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
        self._number = variants.next_number()

    def coerce(
        self, core: GraphQLSchema, given: Mapping[str, Any]
    ) -> VariableValues | list[GraphQLError]:
        """Coerce the values of the operation's variables.

        Args:
            core: The schema.
            given: JSON values by name, as the client sent them.

        Returns:
            The coerced values, or the errors in them.
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
        """Find the variant for the variables and the caller's scopes, or make it.

        Args:
            planner: Reads what the operation selects.
            compiler: Compiles the operation; ``None`` if compiling is switched off.
            variables: The coerced values of the operation's variables.
            rights: What the caller may see.

        Returns:
            The variant.
        """
        if self._deciding is None:
            found = compiler.deciding_variables if compiler is not None else deciding_variables
            self._deciding = found(self.tree, planner.user_roots)
        texts: tuple[str, ...] = ()
        if self._deciding:
            texts = tuple([repr(variables.coerced.get(name)) for name in self._deciding])
            if sum(map(len, texts)) > MAX_VALUES:
                return self._make_variant(planner, None, variables, rights, _TOO_LONG)
        key = (self._number, texts, rights.scopes)
        kept = None if self._variants is None else self._variants.get(key)
        if kept is None:
            kept = self._make_variant(planner, compiler, variables, rights, _SWITCHED_OFF)
            if self._variants is not None:
                self._variants.keep(key, kept)
        return kept

    def forget_variants(self) -> None:
        """Remove the operation's variants, and keep none from now on: its document is not kept."""
        if self._variants is not None:
            self._variants.forget(self._number)
            self._variants = None

    def _make_variant(
        self,
        planner: Planner,
        compiler: OperationCompiler | None,
        variables: VariableValues,
        rights: Rights,
        reason: NotCompiled,
    ) -> Variant:
        """Make a variant; without a compiler, ``reason`` says why it is not compiled."""
        roots = planner.select(self.tree, self.node, variables, rights)
        fragments = {
            one.name.value: one
            for one in self.tree.definitions
            if isinstance(one, FragmentDefinitionNode)
        }
        delayed = delayed_nodes(self.node.selection_set, fragments, variables.coerced)
        delays = bool(delayed)
        if any(one.name.value not in {"include", "skip"} for one in self.node.directives or ()):
            compiler, reason = None, _OWN_DIRECTIVE
        elif any(variables.coerced.get(one) is None for one in switches_in([self.tree])):
            compiler, reason = None, _NULL_SWITCH
        if compiler is None:
            return Variant(roots, not_compiled=reason, delays=delays)
        try:
            compiled = compiler.compile(roots, variables)
            # A function that raises costs its own field. Only the executor can find that field.
            is_divisible = delays and not compiled.is_computed
            parts = divided(roots, delayed) if is_divisible else None
            return Variant(
                roots,
                compiled,
                delays=delays,
                parts=None if parts is None else _compiled_parts(compiler, parts, variables),
            )
        except NotCoveredError as error:
            return Variant(roots, not_compiled=error.why, delays=delays)


def _compiled_parts(
    compiler: OperationCompiler, parts: DividedSelection, variables: VariableValues
) -> CompiledParts:
    """Compile the parts of an operation whose answer comes in several payloads."""
    return CompiledParts(
        parts.first,
        compiler.compile(parts.first, variables, in_parts=True),
        [
            CompiledPart(one, compiler.compile([one.root], variables, in_parts=True))
            for one in parts.deferred
        ],
    )


def deciding_variables(document: DocumentNode, user_roots: Collection[str]) -> tuple[str, ...]:
    """List the variables that decide what an operation selects and how it is compiled.

    Args:
        document: The document.
        user_roots: The root fields whose arguments name users.

    Returns:
        Names of the variables that are used anywhere except in arguments that name users.
    """
    return variables_in(document.definitions, user_roots)
