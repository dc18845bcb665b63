"""A JSON body with a place for keys, cut there. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

KEY = "{key}"
"""Where one key goes."""

KEYS = "{keys}"
"""Where all keys of a call go."""


EXPECTED = (
    f'expected "{KEYS}" once, where a list of the users goes, or "{KEY}" once, within the only item'
    " of a list that is to have such an item for each user"
)


@dataclass(frozen=True, slots=True)
class Template:
    """A JSON text cut into what stands before, between and after keys; all of it ASCII.

    Attributes:
        before: What stands before the first key.
        between: What stands between two keys.
        after: What stands behind the last key.
    """

    before: str
    between: str
    after: str


def cut_template(text: str, *, numbers: bool = False) -> Template:
    """Cut a JSON text where its keys go.

    Args:
        text: The text. ``"{keys}"`` stands for a list of them, ``"{key}"`` for one within the only
            item of a list, which is written once for each.
        numbers: Whether a key takes the place of the string, rather than a place within it.

    Returns:
        The parts between which keys are written.

    Raises:
        ValueError: It is no JSON, or not one place for keys is in it.
    """
    try:
        whole: JsonValue = json.loads(text.replace(f'"{KEYS}"', f'["{KEY}"]'))
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("expected JSON that is not nested so deep") from error
    found = list(_lists_with_a_place(whole, None))
    items = found[0] if len(found) == 1 else None
    if items is None or len(items) != 1:
        raise ValueError(EXPECTED)
    place = json.dumps(KEY) if numbers else KEY
    lead, there, trail = _written(items[0]).partition(place)
    if not there:
        raise ValueError(f'expected "{KEY}" alone in its string, to be replaced by a number')
    items[:] = [KEYS]
    head, _, tail = _written(whole).partition(json.dumps(KEYS))
    return Template(head + lead, f"{trail},{lead}", trail + tail)


def _lists_with_a_place(
    value: JsonValue, within: list[JsonValue] | None
) -> Iterator[list[JsonValue] | None]:
    """Find the innermost list around each place for keys; ``None`` where there is none."""
    if isinstance(value, str):
        yield from [within] * value.count(KEY)
        yield from [None] * value.count(KEYS)  # not alone in its string
    elif isinstance(value, list):
        for one in value:
            yield from _lists_with_a_place(one, value)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from [None] * (name.count(KEY) + name.count(KEYS))  # in a name, which is fixed
            yield from _lists_with_a_place(one, within)


def _written(value: JsonValue) -> str:
    """Write JSON, short and in ASCII.

    Raises:
        ValueError: A number has no place in JSON.
    """
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
