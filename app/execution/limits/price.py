"""The cost of an operation, as a function of its variables.

Most of the cost is computed once for each document. Variables decide the rest: how long a list is,
how many items a page has, whether a selection is skipped (``cost_expression.py``). This rest is a
sum of a few products, and takes about a microsecond for each request.

The cost of a field is its weight (``cost_expression.py``) plus the cost of the fields inside it,
times the length of its list. A deferred fragment and a streamed list cost more than others.
A field that is selected twice counts twice, even if both are merged
in the answer. Introspection is counted separately (``introspection.py``).
"""

from collections.abc import Mapping
from math import inf
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    is_composite_type,
    value_from_ast_untyped,
)

from app.execution.limits.cost_expression import (
    CostExpression,
    CostFactor,
    CostProduct,
    Length,
    Number,
    Rates,
    Size,
    Values,
    named_type,
    switches,
)
from app.execution.limits.introspection import COUNTLESS, ROOTS, IntrospectionPricing
from app.execution.selection import is_delayed

Times = tuple[int, tuple[CostFactor, ...]]
"""The length of a list: the known factor, and those that depend on variables."""

Sizes = tuple[tuple[str, Times], ...]
"""The lengths of an object's lists, by field, where arguments of the parent field decide them."""

MOST_SCHEMAS = 100
"""Where counting of introspection stops without a limit, as a multiple of the whole schema."""

DELAY = 3
"""The cost of each ``@defer`` and ``@stream``, for each object that has it: what is announced,
executed and delivered on its own takes about as long as three objects."""

ONCE: Times = (1, ())
NOTHING = CostExpression(0)


class Price:
    """The price of one operation.

    Args:
        operation: The operation.
        expression: The cost of its data.
        introspected: The number of objects of the schema that it asks for.
        schemas: That number, as a multiple of the whole schema.

    Attributes:
        expression: The cost of its data.
        introspected: The number of objects of the schema that it asks for.
        schemas: That number, as a multiple of the whole schema.
    """

    def __init__(
        self,
        operation: OperationDefinitionNode,
        expression: CostExpression,
        *,
        introspected: int = 0,
        schemas: float = 0,
    ) -> None:
        self.expression = expression
        self.introspected = introspected
        self.schemas = schemas
        self._defaults: Mapping[str, Any] = {
            one.variable.name.value: value_from_ast_untyped(one.default_value)
            for one in operation.variable_definitions or ()
            if one.default_value is not None
        }

    def cost_for(self, values: Values) -> int:
        """Compute the cost of its data.

        Args:
            values: Values of its variables, as a client sent them.

        Returns:
            The cost.
        """
        if not self.expression.products:
            return self.expression.fixed
        return self.expression.evaluate(
            {**self._defaults, **values} if self._defaults else values, {}
        )


class Pricing:
    """Computes the prices of operations. Shared by all documents."""

    def __init__(
        self,
        core: GraphQLSchema,
        *,
        max_ids: int,
        max_representations: int,
        max_schemas: int = MOST_SCHEMAS,
    ) -> None:
        """Prepare pricing.

        Args:
            core: The schema.
            max_ids: The most ids in one ``users``.
            max_representations: The most representations in one ``_entities``.
            max_schemas: The limit of introspection, as a multiple of the whole schema; 0 for no
                limit.
        """
        self._core = core
        self._rates = Rates({"ids": max_ids, "representations": max_representations})
        self._introspection = IntrospectionPricing(core, most=max_schemas or MOST_SCHEMAS)

    def prices(self, document: DocumentNode) -> dict[str | None, Price]:
        """Compute the prices of the operations of a document.

        Args:
            document: The document, valid.

        Returns:
            The price of each operation, by its name.
        """
        run = _PricingRun(self._core, self._rates, document)
        operations = [
            one for one in document.definitions if isinstance(one, OperationDefinitionNode)
        ]
        expressions = [run.operation(one) for one in operations]
        introspected = [0] * len(operations)
        if run.introspects:
            introspected = self._introspection.counts(document)
        return {
            one.name.value if one.name is not None else None: Price(
                one, expression, introspected=number, schemas=self._schemas(number)
            )
            for one, expression, number in zip(operations, expressions, introspected, strict=True)
        }

    def _schemas(self, introspected: int) -> float:
        """Return a number of objects as a multiple of the whole schema."""
        if not introspected:
            return 0
        return inf if introspected >= COUNTLESS else introspected / self._introspection.whole


class _PricingRun:
    """Prices one document. Each fragment is visited once.

    Attributes:
        introspects: Whether a visited field returns the schema.
    """

    def __init__(self, core: GraphQLSchema, rates: Rates, document: DocumentNode) -> None:
        self.introspects = False
        self._core = core
        self._rates = rates
        self._fragments = {
            one.name.value: one
            for one in document.definitions
            if isinstance(one, FragmentDefinitionNode)
        }
        self._done: dict[tuple[str, Sizes], CostExpression] = {}

    def operation(self, operation: OperationDefinitionNode) -> CostExpression:
        """Compute the cost of an operation; one without a root type costs nothing."""
        root = self._core.get_root_type(operation.operation)
        return NOTHING if root is None else self._sum(operation.selection_set, root, ())

    def _sum(
        self, selection_set: SelectionSetNode | None, parent: GraphQLNamedType, sizes: Sizes
    ) -> CostExpression:
        """Add the costs of the selections of a type."""
        fixed = 0
        products: list[CostProduct] = []
        for node in selection_set.selections if selection_set is not None else ():
            factors = switches(node)
            if factors is None:
                continue
            cost = self._selection(node, parent, sizes)
            if is_delayed(node, {}):
                cost = CostExpression(cost.fixed + DELAY, cost.products)
            cost = cost.times(1, factors)
            fixed += cost.fixed
            products += cost.products
        return CostExpression(fixed, tuple(products))

    def _selection(
        self, node: SelectionNode, parent: GraphQLNamedType, sizes: Sizes
    ) -> CostExpression:
        """Compute the cost of one selection."""
        match node:
            case FieldNode():
                return self._field(node, parent, sizes)
            case InlineFragmentNode(type_condition=None):
                return self._sum(node.selection_set, parent, sizes)
            case InlineFragmentNode(type_condition=condition) if condition is not None:
                return self._sum(node.selection_set, self._type(condition.name.value), sizes)
            case FragmentSpreadNode():
                return self._fragment(node.name.value, sizes)
            case _:
                return NOTHING  # there are no other selections

    def _fragment(self, name: str, sizes: Sizes) -> CostExpression:
        """Compute the cost of a fragment, once for each set of list lengths."""
        if (cost := self._done.get((name, sizes))) is None:
            fragment = self._fragments[name]
            kind = self._type(fragment.type_condition.name.value)
            cost = self._sum(fragment.selection_set, kind, sizes)
            if cost.products:  # one shared expression, evaluated once for all spreads
                cost = CostExpression(0, (CostProduct(1, (), cost),))
            self._done[name, sizes] = cost
        return cost

    def _type(self, name: str) -> GraphQLNamedType:
        """Return a type that a valid document names."""
        kind = self._core.get_type(name)
        assert kind is not None  # noqa: S101 # for the type checkers: the document is valid
        return kind

    def _field(self, node: FieldNode, parent: GraphQLNamedType, sizes: Sizes) -> CostExpression:
        """Compute the cost of a field."""
        name = node.name.value
        if name in ROOTS:
            self.introspects = True
            return NOTHING
        definition = self._core.get_field(parent, name) if is_composite_type(parent) else None
        if definition is None:
            return NOTHING
        rate = self._rates.rate(parent, name, definition)
        inner: Sizes = tuple((one, self._times(node, size)) for one, size in rate.sized.items())
        selected = self._sum(node.selection_set, named_type(definition), inner)
        times = dict(sizes).get(name) or self._times(node, rate.size)
        return CostExpression(rate.weight + selected.fixed, selected.products).times(*times)

    def _times(self, node: FieldNode, size: Size) -> Times:
        """Find the length of a list."""
        given = {one.name.value: one.value for one in node.arguments or ()}
        if (by_list := size.by_list) is not None:
            match given.get(by_list.name):
                case ListValueNode(values=values):
                    return min(len(values), by_list.most), ()
                case VariableNode(name=variable):
                    return 1, (Length(variable.value, by_list.most),)
                case _:
                    return ONCE
        for argument in size.arguments:
            match given.get(argument):
                case None:
                    continue
                case VariableNode(name=variable):
                    return 1, (Number(variable.value, size),)
                case value:
                    return size.length(value_from_ast_untyped(value)), ()
        return size.assumed, ()
