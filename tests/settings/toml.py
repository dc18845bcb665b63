"""Writes TOML, which the standard library only reads."""

import json

from app.settings.nested import Table, as_list, as_table


def toml(table: Table) -> str:
    """Write a table: its own values, then the tables in it, each below its head."""
    return "\n".join([*_lines(table, ())])


def _lines(table: Table, keys: tuple[str, ...]) -> list[str]:
    """Write a table's lines."""
    inner = {key: value for key, value in table.items() if as_table(value) is not None}
    own = [
        f"{_text(key)} = {toml_value(value)}" for key, value in table.items() if key not in inner
    ]
    head = [f"[{'.'.join(map(_text, keys))}]"] if keys else []
    below = [line for key, one in inner.items() for line in _lines(one, (*keys, key))]
    return [*head, *own, *below]


def toml_value(value: object) -> str:
    """Write a value in one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if (items := as_list(value)) is not None:
        return f"[{', '.join(map(toml_value, items))}]"
    if (table := as_table(value)) is not None:
        pairs = ", ".join(f"{_text(key)} = {toml_value(inner)}" for key, inner in table.items())
        return f"{{ {pairs} }}"
    return repr(value)


def _text(text: str) -> str:
    """Write a string or a key, as JSON does but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
