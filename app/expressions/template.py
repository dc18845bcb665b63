"""A JSON body with places for keys, split at these places. Pure."""

import json
from collections.abc import Iterator, Sequence
from functools import partial

from msgspec import Struct
from pydantic import JsonValue

from app.expressions.escapes import Escape, Write, as_number, check_url, in_json, in_json_text
from app.expressions.places import KEY, KeyPlaces, fixed, places_in

KEYS = "{keys}"
"""Where all keys of a call go."""


EXPECTED = (
    f'expected "{KEYS}" once, where a list of the users goes, or {KEY} within each item of one'
    f" list that is to have these items for each user, or {KEY} outside of lists, for one user"
)


class Template(Struct, frozen=True):
    """A JSON text in ASCII, split into the parts around keys.

    Attributes:
        before: The text before the first key.
        between: The text between two keys; ``None`` if a request has one key only.
        after: The text after the last key.
        write: Writes a key, at all of its places in an item.
        plain: Whether a key of unreserved characters is written as it is.
    """

    before: str
    between: str | None
    after: str
    write: Write
    plain: bool


def cut_template(text: str, *, numbers: bool = False, escape: Escape = "refuse") -> Template:
    """Split a JSON text at its places for keys.

    Args:
        text: The text. ``"{keys}"`` stands for a list of keys. ``{key}`` stands for one key in the
            strings of each item of a list, and these items are repeated for each key. Without such
            a list, ``{key}`` stands for the one key of a request.
        numbers: Whether a key replaces the whole string, as a number, rather than its place within
            it.
        escape: How a quote within a key is escaped, where the key is in quotes within a string.

    Returns:
        The parts between which keys are written.

    Raises:
        ValueError: It is not JSON, or its places for keys do not fit together.
    """
    try:
        whole: JsonValue = json.loads(text.replace(f'"{KEYS}"', f'["{KEY}"]'))
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("expected JSON that is not nested so deep") from error
    found = list(_lists_with_a_place(whole, None))
    if not found or KEYS in text.replace(f'"{KEYS}"', ""):
        raise ValueError(EXPECTED)
    items = found[0]
    if any(other is not items for other in found):
        raise ValueError(EXPECTED)
    repeated = [whole] if items is None else items
    if not all(any(True for _ in _lists_with_a_place(item, None)) for item in repeated):
        raise ValueError(EXPECTED)  # an item without the key would be there for each user, too
    strings: list[str] = []
    marked = ",".join(_written(_with_marks(item, strings)) for item in repeated)
    places = _places(marked, strings, numbers=numbers, escape=escape)
    plain = strings == [KEY] and not numbers
    if items is None:
        return Template(places.before, None, places.after, places.written, plain)
    items[:] = [KEYS]
    head, _, tail = _written(whole).partition(json.dumps(KEYS))
    between = f"{places.after},{places.before}"
    return Template(head + places.before, between, places.after + tail, places.written, plain)


def _with_marks(value: JsonValue, strings: list[str]) -> JsonValue:
    """Replace each string that has places by ``{key}`` alone, and collect these strings."""
    if isinstance(value, str) and KEY in value:
        strings.append(value)
        return KEY
    if isinstance(value, list):
        return [_with_marks(item, strings) for item in value]
    if isinstance(value, dict):
        return {name: _with_marks(member, strings) for name, member in value.items()}
    return value


def _places(marked: str, strings: Sequence[str], *, numbers: bool, escape: Escape) -> KeyPlaces:
    """Put the strings with places back between the JSON around them."""
    first, *others = marked.split(json.dumps(KEY))
    places = fixed(first)
    for string, following in zip(strings, others, strict=True):
        if numbers:
            if string != KEY:
                raise ValueError(
                    f'expected "{KEY}" alone in its string, to be replaced by a number'
                )
            middle = KeyPlaces(("", ""), (as_number,))
        else:
            check_url(string.replace(KEY, ""))
            within = places_in(string, in_json, partial(in_json_text, escape=escape))
            middle = fixed('"').followed_by(within).followed_by(fixed('"'))
        places = places.followed_by(middle).followed_by(fixed(following))
    return places


def _lists_with_a_place(
    value: JsonValue, within: list[JsonValue] | None
) -> Iterator[list[JsonValue] | None]:
    """Yield the innermost list around each string with places; ``None`` for a string without one.

    A place in a name of a member is refused: names are fixed.
    """
    if isinstance(value, str):
        if KEY in value:
            yield within
    elif isinstance(value, list):
        for item in value:
            yield from _lists_with_a_place(item, value)
    elif isinstance(value, dict):
        for name, member in value.items():
            if KEY in name or KEYS in name:
                raise ValueError(EXPECTED)
            yield from _lists_with_a_place(member, within)


def _written(value: JsonValue) -> str:
    """Write short JSON in ASCII; ``ValueError`` for numbers that JSON lacks."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
