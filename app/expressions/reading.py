"""Which members of a row an expression reads, by its syntax tree. Pure.

An expression reads one row, or several rows of one user. The analysis follows the rows through the
tree: an item of a list of rows is a row, and a member of a row is a value. Once a member is read,
everything in it is. An expression that does anything else with a row, such as ``to_string(@)`` or
``keys([0])``, may read any member.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, cast

SyntaxNode = Mapping[str, Any]
"""A node of JMESPath's syntax tree."""


class RowShape(Enum):
    """What a value has of the rows of a user."""

    ROW = auto()
    """It is a row."""

    ROWS = auto()
    """It is a list of rows."""

    NAMED_ROWS = auto()
    """It is an object whose members are rows."""

    VALUE = auto()
    """It is a value that was read of a row, or that does not depend on rows."""


_ITEMS: Mapping[RowShape, RowShape] = {
    RowShape.ROWS: RowShape.ROW,
    RowShape.NAMED_ROWS: RowShape.VALUE,  # null: it is no list
    RowShape.VALUE: RowShape.VALUE,
}
"""The items of a list. A row may itself be a list, which would be read as a whole."""

_MEMBERS: Mapping[RowShape, RowShape] = {
    RowShape.ROWS: RowShape.VALUE,  # null: it is no object
    RowShape.NAMED_ROWS: RowShape.ROW,
    RowShape.VALUE: RowShape.VALUE,
}
"""All members of an object."""

_OF_ROWS: Mapping[str, RowShape] = {
    "length": RowShape.VALUE,
    "reverse": RowShape.ROWS,
    "sort_by": RowShape.ROWS,
    "max_by": RowShape.ROW,
    "min_by": RowShape.ROW,
}
"""The results of functions that read nothing of the rows in a list, except by ``&expression``."""


class _AnyMemberError(Exception):
    """An expression may read any member of a row."""


def members_read(node: SyntaxNode, shape: RowShape) -> frozenset[str] | None:
    """Return the members of a row that an expression reads.

    Args:
        node: The syntax tree of the expression.
        shape: What the expression is evaluated on.

    Returns:
        Their names; ``None`` if it may read any member.
    """
    names: set[str] = set()
    try:
        _only_value(_follow(node, shape, names))
    except _AnyMemberError:
        return None
    return frozenset(names)


def _follow(node: SyntaxNode, shape: RowShape, names: set[str]) -> RowShape:
    """Add the names that a node reads, and return the shape of its result."""
    follow = _RULES.get(node["type"])
    if follow is None:
        raise _AnyMemberError
    return follow(node, shape, names)


def _children(node: SyntaxNode) -> Sequence[SyntaxNode]:
    """List the children of a node."""
    return cast("Sequence[SyntaxNode]", node["children"])


def _follow_field(node: SyntaxNode, shape: RowShape, names: set[str]) -> RowShape:
    """Follow a member of an object by its name."""
    if shape is RowShape.ROW:
        names.add(str(node["value"]))
        return RowShape.VALUE
    return _MEMBERS[shape]


def _follow_chain(node: SyntaxNode, shape: RowShape, names: set[str]) -> RowShape:
    """Follow a node in which each child reads the result of the one before."""
    for child in _children(node):
        shape = _follow(child, shape, names)
    return shape


def _follow_current(_: SyntaxNode, shape: RowShape, __: set[str]) -> RowShape:
    """Follow ``@``."""
    return shape


def _follow_constant(*_: object) -> RowShape:
    """Follow a value that does not depend on rows."""
    return RowShape.VALUE


def _follow_index(_: SyntaxNode, shape: RowShape, __: set[str]) -> RowShape:
    """Follow an item of a list by its number."""
    return _inner(_ITEMS, shape)


def _follow_slice(_: SyntaxNode, shape: RowShape, __: set[str]) -> RowShape:
    """Follow some items of a list."""
    return _list_of(_inner(_ITEMS, shape))


def _follow_flatten(node: SyntaxNode, shape: RowShape, names: set[str]) -> RowShape:
    """Follow a list whose items are merged if they are lists."""
    return _list_of(_inner(_ITEMS, _follow(_children(node)[0], shape, names)))


def _follow_projection(node: SyntaxNode, shape: RowShape, names: set[str]) -> RowShape:
    """Follow an expression for each item of a list or of an object, if a condition is true."""
    of, *others = _children(node)
    items = _MEMBERS if node["type"] == "value_projection" else _ITEMS
    item = _inner(items, _follow(of, shape, names))
    result = _follow(others[0], item, names)
    for condition in others[1:]:
        _check_truth(_follow(condition, item, names))
    return _list_of(result)


def _follow_parts(node: SyntaxNode, shape: RowShape, names: set[str]) -> RowShape:
    """Follow a node that makes a value of those of its children."""
    for child in _children(node):
        _only_value(_follow(child, shape, names))
    return RowShape.VALUE


def _follow_choice(node: SyntaxNode, shape: RowShape, names: set[str]) -> RowShape:
    """Follow ``||`` and ``&&``: the result is that of one child, by the truth of the first."""
    first, second = (_follow(child, shape, names) for child in _children(node))
    _check_truth(first)
    if first is not second:
        raise _AnyMemberError
    return first


def _follow_not(node: SyntaxNode, shape: RowShape, names: set[str]) -> RowShape:
    """Follow ``!``."""
    _check_truth(_follow(_children(node)[0], shape, names))
    return RowShape.VALUE


def _follow_call(node: SyntaxNode, shape: RowShape, names: set[str]) -> RowShape:
    """Follow the call of a function; ``&expression`` reads each item of the list beside it."""
    arguments = _children(node)
    found = [_follow(one, shape, names) for one in arguments if one["type"] != "expref"]
    inner = [_children(one)[0] for one in arguments if one["type"] == "expref"]
    if all(one is RowShape.VALUE for one in found):
        return RowShape.VALUE
    if found != [RowShape.ROWS]:
        raise _AnyMemberError
    results = [_follow(expression, RowShape.ROW, names) for expression in inner]
    if node["value"] == "map":
        return _list_of(results[0])
    for result in results:
        _only_value(result)
    if node["value"] not in _OF_ROWS:
        raise _AnyMemberError
    return _OF_ROWS[node["value"]]


def _inner(inner: Mapping[RowShape, RowShape], shape: RowShape) -> RowShape:
    """Return the shape of what is in a value."""
    if shape not in inner:
        raise _AnyMemberError
    return inner[shape]


def _list_of(item: RowShape) -> RowShape:
    """Return the shape of a list of such items."""
    if item is RowShape.ROW:
        return RowShape.ROWS
    _only_value(item)
    return RowShape.VALUE


def _only_value(shape: RowShape) -> None:
    """Require a value: rows that become a part of a result are read as a whole."""
    if shape is not RowShape.VALUE:
        raise _AnyMemberError


def _check_truth(shape: RowShape) -> None:
    """Require a value or a list: a row without members is false."""
    if shape not in {RowShape.VALUE, RowShape.ROWS}:
        raise _AnyMemberError


_RULES: Mapping[str, Callable[[SyntaxNode, RowShape, set[str]], RowShape]] = {
    "field": _follow_field,
    "current": _follow_current,
    "identity": _follow_current,
    "literal": _follow_constant,
    "variable": _follow_constant,
    "index": _follow_index,
    "slice": _follow_slice,
    "flatten": _follow_flatten,
    "subexpression": _follow_chain,
    "pipe": _follow_chain,
    "index_expression": _follow_chain,
    "projection": _follow_projection,
    "value_projection": _follow_projection,
    "filter_projection": _follow_projection,
    "multi_select_list": _follow_parts,
    "multi_select_dict": _follow_parts,
    "key_val_pair": _follow_parts,
    "comparator": _follow_parts,
    "or_expression": _follow_choice,
    "and_expression": _follow_choice,
    "not_expression": _follow_not,
    "function_expression": _follow_call,
}
"""How each kind of node is followed; any other may read any member."""
