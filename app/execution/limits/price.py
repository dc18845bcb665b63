"""What an operation costs, as a function of its variables.

The cost is worked out once for each document, up to what only its variables say: how long a list
is, how many items a page has, whether a selection is skipped (``cost_expression.py``). What is left
is a sum of a few products, and takes about a microsecond for each request.

A field costs its weight (``cost_expression.py``) and what is selected in it, times the length of
its list. A field that is selected twice counts twice, even where both are one in the answer.
Introspection is counted apart from that (``introspection.py``).
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

Times = tuple[int, tuple[CostFactor, ...]]
"""How long a list is: the factor that is known, and those that variables say."""

Sizes = tuple[tuple[str, Times], ...]
"""How long the lists of an object are, by field, where the field that gave the object says it."""

MOST_SCHEMAS = 100
"""How many times over a document may ask for the whole schema where no limit says it. It is
followed no further."""

ONCE: Times = (1, ())
NOTHING = CostExpression(0)


class Price:
    """What one operation costs.

    Attributes:
        expression: The cost of its data.
        introspected: How many objects of the schema it asks for, which are no data.
        schemas: How many times over that is the whole schema.
    """

    def __init__(
        self,
        operation: OperationDefinitionNode,
        term: CostExpression,
        *,
        introspected: int = 0,
        schemas: float = 0,
    ) -> None:
        self.expression = term
        self.introspected = introspected
        self.schemas = schemas
        self._defaults: Mapping[str, Any] = {
            one.variable.name.value: value_from_ast_untyped(one.default_value)
            for one in operation.variable_definitions or ()
            if one.default_value is not None
        }

    def cost_for(self, values: Values) -> int:
        """Work out what its data costs.

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
    """Works out what operations cost. Shared by all documents."""

    def __init__(
        self,
        core: GraphQLSchema,
        *,
        max_ids: int,
        max_representations: int,
        max_schemas: int = MOST_SCHEMAS,
    ) -> None:
        """Make it.

        Args:
            core: The schema.
            max_ids: The most ids in one ``users``.
            max_representations: The most representations in one ``_entities``.
            max_schemas: How many times over an operation may ask for the whole schema; 0 for no
                limit.
        """
        self._core = core
        self._rates = Rates({"users": max_ids, "_entities": max_representations})
        self._introspection = IntrospectionPricing(core, most=max_schemas or MOST_SCHEMAS)

    def prices(self, document: DocumentNode) -> dict[str | None, Price]:
        """Work out what the operations of a document cost.

        Args:
            document: The document, valid.

        Returns:
            What each costs, by its name.
        """
        work = _PricingRun(self._core, self._rates, document)
        operations = [
            one for one in document.definitions if isinstance(one, OperationDefinitionNode)
        ]
        terms = [work.operation(one) for one in operations]
        introspected = [0] * len(operations)
        if work.introspects:
            introspected = self._introspection.counts(document)
        return {
            one.name.value if one.name is not None else None: Price(
                one, term, introspected=number, schemas=self._schemas(number)
            )
            for one, term, number in zip(operations, terms, introspected, strict=True)
        }

    def _schemas(self, introspected: int) -> float:
        """Tell how many times over objects are the whole schema."""
        if not introspected:
            return 0
        return inf if introspected >= COUNTLESS else introspected / self._introspection.whole


class _PricingRun:
    """The work on one document. Each fragment is looked at once.

    Attributes:
        introspects: Whether there was a field in it that tells the schema.
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
        """Work out what an operation costs; one that is not served costs nothing."""
        root = self._core.get_root_type(operation.operation)
        return NOTHING if root is None else self._sum(operation.selection_set, root, ())

    def _sum(
        self, selection_set: SelectionSetNode | None, parent: GraphQLNamedType, sizes: Sizes
    ) -> CostExpression:
        """Add what the selections of a type cost."""
        fixed = 0
        products: list[CostProduct] = []
        for node in selection_set.selections if selection_set is not None else ():
            factors = switches(node)
            if factors is None:
                continue
            term = self._selection(node, parent, sizes).times(1, factors)
            fixed += term.fixed
            products += term.products
        return CostExpression(fixed, tuple(products))

    def _selection(
        self, node: SelectionNode, parent: GraphQLNamedType, sizes: Sizes
    ) -> CostExpression:
        """Work out what one selection costs."""
        match node:
            case FieldNode():
                return self._field(node, parent, sizes)
            case InlineFragmentNode(type_condition=None):
                return self._sum(node.selection_set, parent, sizes)
            case InlineFragmentNode(type_condition=condition) if condition is not None:
                kind = self._core.type_map[condition.name.value]
                return self._sum(node.selection_set, kind, sizes)
            case FragmentSpreadNode():
                return self._fragment(node.name.value, sizes)
            case _:
                return NOTHING  # there is nothing else

    def _fragment(self, name: str, sizes: Sizes) -> CostExpression:
        """Work out what a fragment costs, once for each way in which lists in it are long."""
        if (term := self._done.get((name, sizes))) is None:
            fragment = self._fragments[name]
            kind = self._core.type_map[fragment.type_condition.name.value]
            term = self._sum(fragment.selection_set, kind, sizes)
            if (
                term.products
            ):  # kept together, so that it is worked out once however often it stands
                term = CostExpression(0, (CostProduct(1, (), term),))
            self._done[name, sizes] = term
        return term

    def _field(self, node: FieldNode, parent: GraphQLNamedType, sizes: Sizes) -> CostExpression:
        """Work out what a field costs."""
        name = node.name.value
        if name in ROOTS:
            self.introspects = True
            return NOTHING
        definition = self._core.get_field(parent, name) if is_composite_type(parent) else None
        if definition is None:
            return NOTHING
        rate = self._rates.of(parent, name, definition)
        inner: Sizes = tuple((one, self._times(node, size)) for one, size in rate.sized.items())
        selected = self._sum(node.selection_set, named_type(definition), inner)
        times = dict(sizes).get(name) or self._times(node, rate.size)
        return CostExpression(rate.weight + selected.fixed, selected.products).times(*times)

    def _times(self, node: FieldNode, size: Size) -> Times:
        """Find how long a list is."""
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
                    return size.of(value_from_ast_untyped(value)), ()
        return size.assumed, ()
