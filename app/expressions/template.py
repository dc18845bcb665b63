"""A JSON body with a place for keys, split at that place. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

KEY = "{key}"
"""Where one key goes."""

KEYS = "{keys}"
"""Where all keys of a call go."""


EXPECTED = (
    f'expected "{KEYS}" once, where a list of the users goes, or "{KEY}" in each item of one list'
    " that is to have these items for each user"
)


@dataclass(frozen=True, slots=True)
class Template:
    """A JSON text in ASCII, split into the parts around keys.

    Attributes:
        before: The text before the first key.
        between: The text between two keys.
        after: The text after the last key.
        within: The texts between the places of one key, if it has several places.
    """

    before: str
    between: str
    after: str
    within: tuple[str, ...] = ()


def cut_template(text: str, *, numbers: bool = False) -> Template:
    """Split a JSON text at its place for keys.

    Args:
        text: The text. ``"{keys}"`` stands for a list of keys; ``"{key}"`` for one key within each
            item of a list, and these items are repeated for each key.
        numbers: Whether a key replaces the whole string, as a number, rather than its place within
            it.

    Returns:
        The parts between which keys are written.

    Raises:
        ValueError: It is not JSON, or does not have one list with places for keys.
    """
    try:
        whole: JsonValue = json.loads(text.replace(f'"{KEYS}"', f'["{KEY}"]'))
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("expected JSON that is not nested so deep") from error
    found = list(_lists_with_a_place(whole, None))
    items = found[0] if found else None
    if items is None or any(one is not items for one in found):
        raise ValueError(EXPECTED)
    if not all(any(_lists_with_a_place(item, items)) for item in items):
        raise ValueError(EXPECTED)  # an item without the key would be there for each user, too
    lead, *within = ",".join(map(_written, items)).split(json.dumps(KEY) if numbers else KEY)
    if not within or any(KEY in text for text in (lead, *within)):
        raise ValueError(f'expected "{KEY}" alone in its string, to be replaced by a number')
    *within, trail = within
    items[:] = [KEYS]
    head, _, tail = _written(whole).partition(json.dumps(KEYS))
    return Template(head + lead, f"{trail},{lead}", trail + tail, tuple(within))


def _lists_with_a_place(
    value: JsonValue, within: list[JsonValue] | None
) -> Iterator[list[JsonValue] | None]:
    """Yield the innermost list around each place for keys; ``None`` for a place without one."""
    if isinstance(value, str):
        yield from [within] * value.count(KEY)
        yield from [None] * value.count(KEYS)  # not alone in its string
    elif isinstance(value, list):
        for item in value:
            yield from _lists_with_a_place(item, value)
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from [None] * (name.count(KEY) + name.count(KEYS))  # in a name, which is fixed
            yield from _lists_with_a_place(member, within)


def _written(value: JsonValue) -> str:
    """Write short JSON in ASCII; ``ValueError`` for numbers that JSON lacks."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
