"""Which members of a row an expression reads, found in its tree without any row. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

_OF_THE_FIRST = frozenset(
    {
        "subexpression",
        "pipe",
        "projection",
        "value_projection",
        "filter_projection",
        "flatten",
        "index_expression",
    }
)
"""Nodes whose first child is of the row, and all others of what that gives."""

_OF_ALL = frozenset(
    {
        "function_expression",
        "multi_select_list",
        "multi_select_dict",
        "key_val_pair",
        "comparator",
        "or_expression",
        "and_expression",
        "not_expression",
    }
)
"""Nodes whose children are all of the row."""

_THE_SAME = frozenset({"current", "identity"})
"""Nodes that give the row itself."""

_OF_NONE = frozenset({"literal", "expref"})
"""Nodes that read nothing of the row; an ``&expression`` is of the items of a list."""


def members_read(node: Mapping[str, Any]) -> frozenset[str] | None:
    """Find the members of a row that an expression begins with.

    Args:
        node: The expression's tree, as JMESPath's own parser gives it.

    Returns:
        Their names; ``None`` where it may be any: where it reads the row as a whole.
    """
    kind = node["type"]
    children = cast("Sequence[Mapping[str, Any]]", node["children"])
    if kind == "field":
        return frozenset({str(node["value"])})
    if kind in _OF_NONE:
        return frozenset()
    if kind in _OF_ALL:
        every = [members_read(child) for child in children]
        known = [members for members in every if members is not None]
        return frozenset[str]().union(*known) if len(known) == len(every) else None
    if kind in _OF_THE_FIRST:
        if kind in {"subexpression", "pipe"} and children[0]["type"] in _THE_SAME:
            return members_read(children[1])
        return members_read(children[0])
    return None
