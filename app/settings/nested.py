"""Ways through values that are nested as the settings are: tables, lists and what they hold."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

Keys: TypeAlias = tuple[str | int, ...]
"""The keys that lead to a place; a list's are numbers from 0."""

Table: TypeAlias = dict[str, Any]
"""Values by key, as TOML and JSON have them."""

NOTHING = object()
"""What is where nothing is."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def as_table(value: object) -> Table | None:
    """Take a value for a table, if it is one."""
    return cast("Table", value) if isinstance(value, dict) else None


def as_list(value: object) -> list[object] | None:
    """Take a value for a list, if it is one."""
    return cast("list[object]", value) if isinstance(value, list) else None


def value_at(values: object, keys: Keys) -> object:
    """Find a value.

    Args:
        values: Where to look.
        keys: What leads to it.

    Returns:
        It, or ``NOTHING``.
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
    """Lay tables over each other, key by key.

    Args:
        above: What wins.
        below: What is used where that has nothing. A list is one value.

    Returns:
        A new table.
    """
    laid = dict(below)
    for key, value in above.items():
        upper, lower = as_table(value), as_table(below.get(key))
        laid[key] = value if upper is None or lower is None else laid_over(upper, lower)
    return laid


def replaced(value: object, change: Callable[[Keys, object], object], keys: Keys = ()) -> object:
    """Copy values, with some of them replaced.

    Args:
        value: The values.
        change: Gives what stands at a place from now on; is asked for all that is no table and
            no list.
        keys: Where the values are.

    Returns:
        The copy.
    """
    if (table := as_table(value)) is not None:
        return {key: replaced(inner, change, (*keys, key)) for key, inner in table.items()}
    if (items := as_list(value)) is not None:
        return [replaced(inner, change, (*keys, number)) for number, inner in enumerate(items)]
    return change(keys, value)


def dotted(keys: Keys) -> str:
    """Name a place as TOML does; the items of a list are counted from 1.

    Args:
        keys: What leads to it.

    Returns:
        Its name, such as ``sources.billing.timeout`` or ``rules#2.name``.
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
    """Name a place with its table in front, as one looks for it in a file.

    Args:
        keys: What leads to it.
        values: What is there, to tell a table from a value.

    Returns:
        Its name, such as ``[sources.billing] timeout`` or ``[sources.billing]``.
    """
    if not keys:
        return "all of it"
    if isinstance(value_at(values, keys), dict):
        return f"[{dotted(keys)}]"
    depth = max((number for number, key in enumerate(keys) if isinstance(key, str)), default=0)
    table, key = dotted(keys[:depth]), dotted(keys[depth:])
    return f"[{table}] {key}" if table else key
