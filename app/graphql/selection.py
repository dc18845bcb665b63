"""Which fields of a type an operation selects. Pure, over graphql-core's syntax tree."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from graphql import (
    BooleanValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    Node,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
)

from app.execution.keys import KEY_READERS


def selected_fields(
    nodes: Iterable[FieldNode],
    *,
    types: frozenset[str],
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, object],
) -> set[str]:
    """Find the fields that are selected below some field, by their names in the schema.

    Fragments are followed, and ``@skip`` and ``@include`` are obeyed (GraphQL specification,
    section 6.3.2, CollectFields). Each fragment is looked at once, so that the work stays in
    proportion to the document, however its fragments spread each other.

    Args:
        nodes: The field, once for each place in which it is selected.
        types: Names of the type whose fields are wanted, and of the abstract types it belongs to.
        fragments: The document's fragments, by name.
        variables: The operation's variables with their defaults, by name.

    Returns:
        Names of fields, ``__typename`` included.
    """
    sets = [node.selection_set for node in nodes]
    return {node.name.value for node in _fields(sets, types, fragments, variables)}


def is_included(node: SelectionNode, variables: Mapping[str, object]) -> bool:
    """Tell whether ``@skip`` and ``@include`` let a selection stand.

    Args:
        node: The selection.
        variables: The operation's variables.

    Returns:
        Whether it is part of the operation.
    """
    for directive in node.directives or ():
        wanted = {"include": True, "skip": False}.get(directive.name.value)
        if wanted is None:
            continue
        condition = directive.arguments[0].value if directive.arguments else None
        match condition:
            case BooleanValueNode(value=value):
                met = value
            case VariableNode():
                met = bool(variables.get(condition.name.value))
            case _:
                met = wanted  # validation has refused anything else
        if met is not wanted:
            return False
    return True


def grouped_fields(
    nodes: Iterable[FieldNode],
    *,
    types: frozenset[str],
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, object],
) -> dict[str, list[FieldNode]]:
    """Collect the fields that are selected below some field, those of one response key together.

    Args:
        nodes: The field, once for each place in which it is selected.
        types: Names of the type whose fields are wanted, and of the abstract types it belongs to.
        fragments: The document's fragments, by name.
        variables: The operation's variables with their defaults, by name.

    Returns:
        The field nodes by response key, in the order of the answer.
    """
    groups: dict[str, list[FieldNode]] = {}
    for node in _fields([node.selection_set for node in nodes], types, fragments, variables):
        groups.setdefault((node.alias or node.name).value, []).append(node)
    return groups


def _fields(
    selection_sets: Iterable[SelectionSetNode | None],
    types: frozenset[str],
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, object],
) -> Iterator[FieldNode]:
    """Walk through the fields of selection sets, their fragments included."""
    seen: set[str] = set()
    # Not a function that calls itself: one within another is in a ring with its own name.
    rest = [iter(one.selections) for one in selection_sets if one is not None]
    rest.reverse()
    while rest:
        node = next(rest[-1], None)
        if node is None:
            rest.pop()
        elif is_included(node, variables):
            match node:
                case FieldNode():
                    yield node
                case InlineFragmentNode(type_condition=condition):
                    if condition is None or condition.name.value in types:
                        rest.append(iter(node.selection_set.selections))
                case FragmentSpreadNode() if node.name.value not in seen:
                    seen.add(node.name.value)
                    fragment = fragments[node.name.value]
                    if fragment.type_condition.name.value in types:
                        rest.append(iter(fragment.selection_set.selections))
                case _:
                    pass  # a fragment that was looked at before


_UNDECIDED = frozenset({"loc", "name", "alias", "kind", "type_condition", "variable_definitions"})
"""What nodes have beside parts in which variables are used."""


def variables_in(nodes: Sequence[Node]) -> tuple[str, ...]:
    """Find the variables that are used in some parts of a document.

    No visitor of graphql-core's: that leaves a ring, and a class within a function another.

    Args:
        nodes: The parts.

    Returns:
        Their names, but for those that are used in arguments that name users.
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
    is_of_users = isinstance(node, FieldNode) and node.name.value in KEY_READERS
    for name in node.keys:
        if name in _UNDECIDED or (is_of_users and name == "arguments"):
            continue
        part: object = getattr(node, name)
        if isinstance(part, Node):
            yield part
        elif isinstance(part, tuple):
            yield from cast("tuple[Node, ...]", part)  # there is nothing else in a tree
