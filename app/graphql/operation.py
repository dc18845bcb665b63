"""Operations of documents: what each costs, and what it was compiled to."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    Node,
    OperationDefinitionNode,
    VariableNode,
)
from graphql.execution.values import VariableValues

from app.graphql.compiler import Compiler, RootField
from app.graphql.limits.price import Price
from app.graphql.rights import Rights
from app.graphql.variables import Coercion
from app.graphql.variants import NotCompiled, Variant, Variants
from app.graphql.writer import NotCompiledError

MAX_VALUES = 1_000
"""The longest values, in characters, that a variant is kept for."""


_UNDECIDED = frozenset({"loc", "name", "alias", "kind", "type_condition", "variable_definitions"})
"""What nodes have beside parts in which variables are used."""


class Operation:
    """One operation of a valid document, with all that is found out about it once.

    It is compiled for each set of what decides over it. Those are the values of all variables but
    the ones that only name users, and the scopes that callers have: what is one's own is told apart
    when it is run.

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

    def compiled(
        self, compiler: Compiler, variables: VariableValues, rights: Rights
    ) -> Sequence[RootField]:
        """Find what it was compiled to, or compile it.

        Args:
            compiler: Compiles it.
            variables: Values of its variables, coerced.
            rights: What the caller may see.

        Returns:
            Its fields.

        Raises:
            NotCompiledError: Only the executor can do it.
        """
        if self._deciding is None:
            self._deciding = deciding_variables(self.tree)
        values = _key(self._deciding, variables) if self._deciding else ()
        variant: Variant | None = None
        key = (self._number, values, rights.scopes)
        if self._variants is not None:
            variant = self._variants.get(key)
        if variant is None:
            try:
                variant = compiler.compile(self.tree, self.node, variables, rights)
            except NotCompiledError as error:
                variant = NotCompiled(str(error))
            if self._variants is not None:
                self._variants.keep(key, variant)
        if isinstance(variant, NotCompiled):
            # A new one each time: an exception keeps the frames alive through which it was raised.
            raise NotCompiledError(variant.reason)
        return variant

    def forget_variants(self) -> None:
        """Keep nothing more of what it is compiled to, since its document is not kept either."""
        if self._variants is not None:
            self._variants.forget(self._number)
            self._variants = None


def _key(deciding: Sequence[str], variables: VariableValues) -> tuple[str, ...]:
    """Write the values that decide over how an operation is compiled."""
    given = [variables.coerced.get(name) for name in deciding]
    if None in given:
        raise NotCompiledError("a variable that is null, where that may be an error")
    values = tuple(map(repr, given))
    if sum(map(len, values)) > MAX_VALUES:
        raise NotCompiledError("values too long to be kept")
    return values


def deciding_variables(document: DocumentNode) -> tuple[str, ...]:
    """Find the variables that decide over how an operation is compiled.

    Args:
        document: The document.

    Returns:
        Names of those that are used anywhere but in the arguments of ``user`` and ``users``.
    """
    return variables_in(document.definitions)


def variables_in(nodes: Sequence[Node]) -> tuple[str, ...]:
    """Find the variables that are used in some parts of a document.

    No visitor of graphql-core's: that leaves a ring, and a class within a function another.

    Args:
        nodes: The parts.

    Returns:
        Their names, but for those that are used in arguments of ``user`` and ``users`` in them.
    """
    names: dict[str, None] = {}
    rest = [*nodes]
    while rest:
        node = rest.pop()
        if isinstance(node, VariableNode):
            names[node.name.value] = None
        else:
            rest += reversed([*_parts(node)])
    return tuple(names)


def _parts(node: Node) -> Iterator[Node]:
    """Give the parts of a node in which there may be variables that decide."""
    is_of_users = isinstance(node, FieldNode) and node.name.value in {"user", "users"}
    for name in node.keys:
        if name in _UNDECIDED or (is_of_users and name == "arguments"):
            continue
        part: object = getattr(node, name)
        if isinstance(part, Node):
            yield part
        elif isinstance(part, tuple):
            yield from cast("tuple[Node, ...]", part)  # there is nothing else in a tree
