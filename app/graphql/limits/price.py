"""What an operation costs, as a function of its variables.

The cost is worked out once for each document, up to what only its variables say: how long a list
is, how many items a page has, whether a selection is skipped (``term.py``). What is left is a sum
of a few products, and takes about a microsecond for each request.

A field costs its weight (``rates.py``) and what is selected in it, times the length of its list. A
field that is selected twice counts twice, even where both are one in the answer.
"""

from collections.abc import Mapping
from typing import Any

from graphql import (
    BooleanValueNode,
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

from app.graphql.limits.rates import Rates, Size, named_type
from app.graphql.limits.term import (
    Factor,
    Length,
    Number,
    Product,
    Switch,
    Term,
    Values,
)

Times = tuple[int, tuple[Factor, ...]]
"""How long a list is: the factor that is known, and those that variables say."""

Sizes = tuple[tuple[str, Times], ...]
"""How long the lists of an object are, by field, where the field that gave the object says it."""

ONCE: Times = (1, ())
NOTHING = Term(0)


class Price:
    """What one operation costs.

    Attributes:
        term: Its cost.
    """

    def __init__(self, operation: OperationDefinitionNode, term: Term) -> None:
        self.term = term
        self._defaults: Mapping[str, Any] = {
            one.variable.name.value: value_from_ast_untyped(one.default_value)
            for one in operation.variable_definitions or ()
            if one.default_value is not None
        }

    def of(self, values: Values) -> int:
        """Work it out.

        Args:
            values: Values of its variables, as a client sent them.

        Returns:
            The cost.
        """
        if not self.term.products:
            return self.term.fixed
        return self.term.of({**self._defaults, **values} if self._defaults else values, {})


class Pricing:
    """Works out what operations cost. Shared by all documents."""

    def __init__(self, core: GraphQLSchema, *, max_ids: int) -> None:
        self._core = core
        self._rates = Rates(core)
        self._max_ids = max_ids

    def prices(self, document: DocumentNode) -> dict[str | None, Price]:
        """Work out what the operations of a document cost.

        Args:
            document: The document, valid.

        Returns:
            What each costs, by its name.
        """
        work = _Work(self._core, self._rates, self._max_ids, document)
        return {
            one.name.value if one.name is not None else None: Price(one, work.operation(one))
            for one in document.definitions
            if isinstance(one, OperationDefinitionNode)
        }


class _Work:
    """The work on one document. Each fragment is looked at once."""

    def __init__(
        self, core: GraphQLSchema, rates: Rates, max_ids: int, document: DocumentNode
    ) -> None:
        self._core = core
        self._rates = rates
        self._max_ids = max_ids
        self._fragments = {
            one.name.value: one
            for one in document.definitions
            if isinstance(one, FragmentDefinitionNode)
        }
        self._done: dict[tuple[str, Sizes], Term] = {}

    def operation(self, operation: OperationDefinitionNode) -> Term:
        """Work out what an operation costs; one that is not served costs nothing."""
        root = self._core.get_root_type(operation.operation)
        return NOTHING if root is None else self._sum(operation.selection_set, root, ())

    def _sum(
        self, selection_set: SelectionSetNode | None, parent: GraphQLNamedType, sizes: Sizes
    ) -> Term:
        """Add what the selections of a type cost."""
        fixed = 0
        products: list[Product] = []
        for node in selection_set.selections if selection_set is not None else ():
            switches = _switches(node)
            if switches is None:
                continue
            term = self._selection(node, parent, sizes).times(1, switches)
            fixed += term.fixed
            products += term.products
        return Term(fixed, tuple(products))

    def _selection(self, node: SelectionNode, parent: GraphQLNamedType, sizes: Sizes) -> Term:
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

    def _fragment(self, name: str, sizes: Sizes) -> Term:
        """Work out what a fragment costs, once for each way in which lists in it are long."""
        if (term := self._done.get((name, sizes))) is None:
            fragment = self._fragments[name]
            kind = self._core.type_map[fragment.type_condition.name.value]
            term = self._sum(fragment.selection_set, kind, sizes)
            if (
                term.products
            ):  # kept together, so that it is worked out once however often it stands
                term = Term(0, (Product(1, (), term),))
            self._done[name, sizes] = term
        return term

    def _field(self, node: FieldNode, parent: GraphQLNamedType, sizes: Sizes) -> Term:
        """Work out what a field costs."""
        name = node.name.value
        definition = self._core.get_field(parent, name) if is_composite_type(parent) else None
        if definition is None:
            return NOTHING
        rate = self._rates.of(parent, name, definition)
        inner: Sizes = tuple((one, self._times(node, size)) for one, size in rate.sized.items())
        selected = self._sum(node.selection_set, named_type(definition), inner)
        times = dict(sizes).get(name) or self._times(node, rate.size)
        return Term(rate.weight + selected.fixed, selected.products).times(*times)

    def _times(self, node: FieldNode, size: Size) -> Times:
        """Find how long a list is."""
        given = {one.name.value: one.value for one in node.arguments or ()}
        if size.by_list is not None:
            match given.get(size.by_list):
                case ListValueNode(values=values):
                    return min(len(values), self._max_ids), ()
                case VariableNode(name=variable):
                    return 1, (Length(variable.value, self._max_ids),)
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


def _switches(node: SelectionNode) -> tuple[Factor, ...] | None:
    """Find on what it depends whether a selection stands; ``None`` when it never does."""
    switches: list[Factor] = []
    for directive in node.directives or ():
        wanted = {"include": True, "skip": False}.get(directive.name.value)
        if wanted is None or not directive.arguments:
            continue
        match directive.arguments[0].value:
            case BooleanValueNode(value=value) if value is not wanted:
                return None
            case VariableNode(name=variable):
                switches.append(Switch(variable.value, on=wanted))
            case _:
                pass
    return tuple(switches)
