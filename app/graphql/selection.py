"""Which fields of a type an operation selects. Pure, over graphql-core's syntax tree."""

from collections.abc import Iterable, Iterator, Mapping

from graphql import (
    BooleanValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
)


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
    seen: set[str] = set()

    def fields(selection_set: SelectionSetNode | None) -> Iterator[str]:
        for node in selection_set.selections if selection_set is not None else ():
            if not _is_included(node, variables):
                continue
            match node:
                case FieldNode():
                    yield node.name.value
                case InlineFragmentNode(type_condition=condition):
                    if condition is None or condition.name.value in types:
                        yield from fields(node.selection_set)
                case FragmentSpreadNode() if node.name.value not in seen:
                    seen.add(node.name.value)
                    fragment = fragments[node.name.value]
                    if fragment.type_condition.name.value in types:
                        yield from fields(fragment.selection_set)
                case _:
                    pass  # a fragment that was looked at before

    return {name for node in nodes for name in fields(node.selection_set)}


def _is_included(node: SelectionNode, variables: Mapping[str, object]) -> bool:
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
