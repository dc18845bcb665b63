"""Whether a selection stands, as ``@skip`` and ``@include`` on it say."""

from graphql import BooleanValueNode, SelectionNode, VariableNode

from app.graphql.limits.term import Factor, Switch


def switches(node: SelectionNode) -> tuple[Factor, ...] | None:
    """Find on which variables it depends whether a selection stands.

    Args:
        node: The selection.

    Returns:
        A switch for each variable; ``None`` when the selection never stands.
    """
    found: list[Factor] = []
    for directive in node.directives or ():
        wanted = {"include": True, "skip": False}.get(directive.name.value)
        if wanted is None or not directive.arguments:
            continue
        match directive.arguments[0].value:
            case BooleanValueNode(value=value) if value is not wanted:
                return None
            case VariableNode(name=variable):
                found.append(Switch(variable.value, on=wanted))
            case _:
                pass
    return tuple(found)
