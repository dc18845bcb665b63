"""Reads selection sets: the fields that they select, and the variables that they use. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import cast

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    Node,
    SelectionNode,
    SelectionSetNode,
    StringValueNode,
    VariableNode,
)

from app.schema.incremental import DEFER, STREAM


def is_included(node: SelectionNode, variables: Mapping[str, object]) -> bool:
    """Return whether a selection is included, by ``@skip`` and ``@include``.

    Args:
        node: The selection.
        variables: Values of the operation's variables, by name.

    Returns:
        Whether the selection is part of the operation.
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
                met = wanted  # validation refuses anything else
        if met is not wanted:
            return False
    return True


def is_delayed(node: SelectionNode, variables: Mapping[str, object]) -> bool:
    """Return whether ``@defer`` or ``@stream`` applies to a selection.

    Args:
        node: The selection.
        variables: Values of the operation's variables, by name.

    Returns:
        Whether the fragment is deferred, or the list of the field is streamed.
    """
    for directive in node.directives or ():
        if directive.name.value in {DEFER, STREAM}:
            given = {one.name.value: one.value for one in directive.arguments or ()}
            match given.get("if"):
                case BooleanValueNode(value=value):
                    return value
                case VariableNode(name=name):
                    return variables.get(name.value, True) is not False
                case _:
                    return True  # the default
    return False


def label_of(fragment: InlineFragmentNode | FragmentSpreadNode) -> str | None:
    """Read the label of a deferred fragment.

    Args:
        fragment: The fragment.

    Returns:
        The label of its ``@defer``, which validation requires to be a plain text; ``None`` if it
        has none.
    """
    for directive in fragment.directives or ():
        for argument in directive.arguments or ():
            if directive.name.value == DEFER and argument.name.value == "label":
                value = argument.value
                return value.value if isinstance(value, StringValueNode) else None
    return None


def delayed_nodes(
    selection_set: SelectionSetNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, object],
) -> Sequence[SelectionNode]:
    """List the selections to which ``@defer`` or ``@stream`` applies.

    Args:
        selection_set: The selections of an operation, or of a part of it.
        fragments: The document's fragments, by name.
        variables: Values of the operation's variables with their defaults, by name.

    Returns:
        The fragments and fields. If there are none, the answer comes in one piece.
    """
    found: list[SelectionNode] = []
    visited: set[str] = set()
    rest = [*selection_set.selections]
    while rest:
        node = rest.pop()
        if not is_included(node, variables):
            continue
        if is_delayed(node, variables):
            found.append(node)
        match node:
            case FragmentSpreadNode(name=name):
                if name.value not in visited:
                    visited.add(name.value)
                    rest += fragments[name.value].selection_set.selections
            case FieldNode(selection_set=inner) | InlineFragmentNode(selection_set=inner):
                rest += inner.selections if inner is not None else ()
            case _:
                pass  # there are no other selections
    return found


def grouped_fields(
    nodes: Iterable[FieldNode],
    *,
    types: frozenset[str],
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, object],
    deferred: bool = True,
) -> dict[str, list[FieldNode]]:
    """Collect the fields that are selected inside a field, grouped by response key.

    This is CollectFields of the GraphQL specification (section 6.3.2). Each fragment is visited
    once, so that the work is linear in the size of the document, however its fragments spread each
    other.

    Args:
        nodes: The nodes of the field.
        types: Names of the type whose fields are needed, and of its abstract types.
        fragments: The document's fragments, by name.
        variables: Values of the operation's variables with their defaults, by name.
        deferred: Whether fields of deferred fragments are collected, too.

    Returns:
        The field nodes by response key, in the order of the answer.
    """
    groups: dict[str, list[FieldNode]] = {}
    inside = [node.selection_set for node in nodes]
    for node in _selected(inside, types, fragments, variables, enter_deferred=deferred):
        if isinstance(node, FieldNode):
            groups.setdefault((node.alias or node.name).value, []).append(node)
    return groups


def deferred_fragments(
    nodes: Iterable[FieldNode],
    *,
    types: frozenset[str],
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, object],
) -> Sequence[InlineFragmentNode | FragmentSpreadNode]:
    """List the deferred fragments inside a field, but not those inside of one another.

    Args:
        nodes: The nodes of the field.
        types: Names of the type whose fields are needed, and of its abstract types.
        fragments: The document's fragments, by name.
        variables: Values of the operation's variables with their defaults, by name.

    Returns:
        The fragments, each once.
    """
    inside = [node.selection_set for node in nodes]
    selected = _selected(inside, types, fragments, variables, enter_deferred=False)
    found = {id(one): one for one in selected if not isinstance(one, FieldNode)}
    return [*found.values()]


def _selected(
    selection_sets: Iterable[SelectionSetNode | None],
    types: frozenset[str],
    fragments: Mapping[str, FragmentDefinitionNode],
    variables: Mapping[str, object],
    *,
    enter_deferred: bool,
) -> Iterator[FieldNode | InlineFragmentNode | FragmentSpreadNode]:
    """Yield the fields of selection sets and of their fragments; and fragments not entered."""
    visited: set[str] = set()
    # Not recursive: a nested function that calls itself would be in a reference cycle.
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
                case InlineFragmentNode() | FragmentSpreadNode() if (
                    not enter_deferred and is_delayed(node, variables)
                ):
                    yield node
                case InlineFragmentNode(type_condition=condition):
                    if condition is None or condition.name.value in types:
                        rest.append(iter(node.selection_set.selections))
                case FragmentSpreadNode() if node.name.value not in visited:
                    visited.add(node.name.value)
                    fragment = fragments[node.name.value]
                    if fragment.type_condition.name.value in types:
                        rest.append(iter(fragment.selection_set.selections))
                case _:
                    pass  # a fragment that was visited before


def switches_in(nodes: Sequence[Node]) -> Collection[str]:
    """List the variables that are used in directives.

    Args:
        nodes: Parts of a document.

    Returns:
        Names of the variables.
    """
    names: set[str] = set()
    rest = [*nodes]
    while rest:
        node = rest.pop()
        if isinstance(node, DirectiveNode):
            names.update(variables_in([node]))
        else:
            rest += _parts(node, ())
    return names


_WITHOUT_VARIABLES = frozenset(
    {"loc", "name", "alias", "kind", "type_condition", "variable_definitions"}
)
"""The attributes of nodes in which no variables are used."""


def variables_in(nodes: Sequence[Node], user_roots: Collection[str] = ()) -> tuple[str, ...]:
    """List the variables that are used in parts of a document.

    This uses no visitor of graphql-core, since visitors leave reference cycles.

    Args:
        nodes: The parts.
        user_roots: The fields whose arguments name users.

    Returns:
        Names of the variables, except those that are used only in arguments that name users.
    """
    names: dict[str, None] = {}
    rest = [*nodes]
    while rest:
        node = rest.pop()
        if isinstance(node, VariableNode):
            names[node.name.value] = None
        else:
            rest += reversed([*_parts(node, user_roots)])
    return tuple(names)


def _parts(node: Node, user_roots: Collection[str]) -> Iterator[Node]:
    """Yield the parts of a node that may use deciding variables."""
    names_users = isinstance(node, FieldNode) and node.name.value in user_roots
    for name in node.keys:
        if name in _WITHOUT_VARIABLES or (names_users and name == "arguments"):
            continue
        part: object = getattr(node, name)
        if isinstance(part, Node):
            yield part
        elif isinstance(part, tuple):
            yield from cast("tuple[Node, ...]", part)  # a tree has nothing else
