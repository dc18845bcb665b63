"""Functions for values that are nested as the settings are: tables, lists and their values."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

Keys: TypeAlias = tuple[str | int, ...]
"""The place of a value: keys of tables, and positions in lists, from 0."""

Table: TypeAlias = dict[str, Any]
"""Values by key, as in TOML and JSON."""

NOTHING = object()
"""Returned for a place without a value, since ``None`` is a value."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def as_table(value: object) -> Table | None:
    """Return the value if it is a table.

    Args:
        value: Any value.

    Returns:
        The same value; ``None`` if it is not a table.
    """
    return cast("Table", value) if isinstance(value, dict) else None


def as_list(value: object) -> list[object] | None:
    """Return the value if it is a list.

    Args:
        value: Any value.

    Returns:
        The same value; ``None`` if it is not a list.
    """
    return cast("list[object]", value) if isinstance(value, list) else None


def value_at(values: object, keys: Keys) -> object:
    """Return the value at a place.

    Args:
        values: The nested values.
        keys: The place.

    Returns:
        The value; ``NOTHING`` if there is none.
    """
    for key in keys:
        table, items = as_table(values), as_list(values)
        if table is not None and key in table:
            values = table[str(key)]
        elif items is not None and isinstance(key, int) and key < len(items):
            values = items[key]
        else:
            return NOTHING
    return values


def laid_over(above: Table, below: Table) -> Table:
    """Merge two tables, key by key.

    Args:
        above: The table that takes precedence.
        below: The other table. A list is one value.

    Returns:
        A new table.
    """
    laid = dict(below)
    for key, value in above.items():
        upper, lower = as_table(value), as_table(below.get(key))
        laid[key] = value if upper is None or lower is None else laid_over(upper, lower)
    return laid


def replaced(value: object, change: Callable[[Keys, object], object], keys: Keys = ()) -> object:
    """Copy nested values, and replace single values.

    Args:
        value: The values.
        change: Returns the new value for a place and its value; called for all but tables and
            lists.
        keys: The place of ``value``.

    Returns:
        The copy.
    """
    if (table := as_table(value)) is not None:
        return {key: replaced(inner, change, (*keys, key)) for key, inner in table.items()}
    if (items := as_list(value)) is not None:
        return [replaced(inner, change, (*keys, number)) for number, inner in enumerate(items)]
    return change(keys, value)


def dotted(keys: Keys) -> str:
    """Return the name of a place as in TOML; list items are counted from 1.

    Args:
        keys: The place.

    Returns:
        The name, such as ``sources.billing.timeout`` or ``rules#2.name``.
    """
    name = ""
    for key in keys:
        if isinstance(key, int):
            name += f"#{key + 1}"
        else:
            bare = key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)
            name += f".{bare}" if name else bare
    return name


def bracketed(keys: Keys, values: Mapping[str, object] | None = None) -> str:
    """Return the name of a place with its table in front, as it looks in a file.

    Args:
        keys: The place.
        values: The nested values, to distinguish a table from a value.

    Returns:
        The name, such as ``[sources.billing] timeout`` or ``[sources.billing]``.
    """
    if not keys:
        return "all of it"
    if isinstance(value_at(values, keys), dict):
        return f"[{dotted(keys)}]"
    depth = max((number for number, key in enumerate(keys) if isinstance(key, str)), default=0)
    table, key = dotted(keys[:depth]), dotted(keys[depth:])
    return f"[{table}] {key}" if table else key
