"""What was seen of the values in rows: their types in GraphQL, and how they are read. Pure.

A type is that of all values that were seen, in the rows of a few users. What has no type yet, such
as an empty list, is said, too, so that an operator can complete it.
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TypeAlias, cast

from msgspec import Struct

from app.expressions.money import InexactError, currencies
from app.expressions.times import from_iso, from_rfc3339
from app.importing.names import FIELDS, squashed
from app.importing.places import usable, written
from app.settings.nested import Table, as_list, as_table
from app.sources.base import MAX_INT, MAX_SAFE_INTEGER
from app.sources.field_types import check_url
from app.starting.public_names import last_word, public_name

VALUE = "{}"
"""The place of a value in the expression that reads it."""

_MAX_DEPTH = 6
"""How deep objects and lists are described."""

_MAX_MEMBERS = 200
"""The most members of an object that are described."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d.*", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,4})?", re.ASCII)

_ID_WORDS = frozenset({"id", "uuid", "guid"})
_TIME_WORDS = frozenset({"at", "on", "time", "timestamp", "date", "created", "updated", "seen"})
_YEAR_2000, _YEAR_2100 = 946_684_800, 4_102_444_800
"""A count of seconds between them is a time, if it is called like one."""

_AMOUNTS = frozenset(map(squashed, ("amount", *FIELDS["amount"])))
_CURRENCIES = frozenset(map(squashed, ("currency", *FIELDS["currency"])))


class SeenScalar(Struct, frozen=True):
    """A value with a type of its own.

    Attributes:
        type: The type, without ``!``.
        words: What was seen, in words.
        reading: The expression that reads it, with ``{}`` in the place of the value.
        note: What an operator has to check; may be empty.
    """

    type: str
    words: str
    reading: str = VALUE
    note: str = ""


class SeenNothing(Struct, frozen=True):
    """A value that has no type yet.

    Attributes:
        why: What was seen, in words.
    """

    why: str


class SeenObject(Struct, frozen=True):
    """An object, by the names that its members have in the row.

    Attributes:
        members: What was seen of each member.
    """

    members: "Mapping[str, Seen]"


class SeenList(Struct, frozen=True):
    """A list.

    Attributes:
        item: What was seen of its items.
        has_null: Whether one of them is ``null``.
    """

    item: "Seen"
    has_null: bool


Seen: TypeAlias = SeenScalar | SeenObject | SeenList | SeenNothing


def seen_in(name: str, values: Sequence[object], depth: int = 0) -> Seen:
    """Describe the values that a member has in several rows.

    Args:
        name: The name of the member.
        values: The values; ``None`` where a row has none.
        depth: How many objects and lists are around it.

    Returns:
        What was seen.
    """
    there = [value for value in values if value is not None]
    if not there:
        return SeenNothing("null in all rows")
    if depth > _MAX_DEPTH:
        return SeenNothing("nested too deep")
    tables = [table for value in there if (table := as_table(value)) is not None]
    if len(tables) == len(there):
        return _money(tables) or _object(tables, depth)
    lists = [items for value in there if (items := as_list(value)) is not None]
    if len(lists) == len(there):
        return _list(name, [item for items in lists for item in items], depth)
    if tables or lists:
        return SeenNothing("values of several kinds")
    return _scalar(name, there)


def _object(tables: Sequence[Table], depth: int) -> Seen:
    """Describe objects by their members."""
    names = [*dict.fromkeys(name for table in tables for name in table)]
    if not names:
        return SeenNothing("an empty object")
    if len(names) > _MAX_MEMBERS:
        return SeenNothing(f"an object with more than {_MAX_MEMBERS} members")
    members = {
        name: seen_in(name, [table.get(name) for table in tables], depth + 1)
        if public_name(name) is not None and _is_writable(name)
        else SeenNothing("no letters for a public name")
        for name in names
    }
    if all(isinstance(one, SeenNothing) for one in members.values()):
        return SeenNothing("an object without any known value")
    return SeenObject(members)


def _is_writable(name: str) -> bool:
    """Return whether a name can stand in an expression, in a file."""
    try:
        name.encode()
    except UnicodeEncodeError:  # half a character
        return False
    return usable(written((name,)))


def _list(name: str, items: Sequence[object], depth: int) -> Seen:
    """Describe a list by its items."""
    item = seen_in(name, items, depth + 1)
    if isinstance(item, SeenNothing):
        return SeenNothing("an empty list" if not items else f"a list: {item.why}")
    if isinstance(item, SeenScalar) and item.reading != VALUE:
        # An expression for each item would be harder to read than it is worth for a first file.
        there = [one for one in items if one is not None]
        tables = [table for one in there if (table := as_table(one)) is not None]
        item = _object(tables, depth + 1) if tables else _plain(there)
    return SeenList(item, has_null=None in items)


def _plain(values: Sequence[object]) -> SeenScalar:
    """Return the type of texts or counts that are taken as they are."""
    if isinstance(values[0], str):
        return SeenScalar("String", "text")
    return SeenScalar("SafeInt", "a whole number")


def _scalar(name: str, values: Sequence[object]) -> Seen:
    """Describe values that are no objects and no lists."""
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return SeenScalar("Boolean", "true or false")
    if kinds == {str}:
        return _text(name, cast("Sequence[str]", values))
    if kinds == {int}:
        return _whole(name, cast("Sequence[int]", values))
    if kinds <= {int, float} and all(
        math.isfinite(value) for value in cast("Sequence[float]", values)
    ):
        return SeenScalar("Float", "a number")
    if kinds <= {int, str} and last_word(name) in _ID_WORDS:
        return SeenScalar("ID", "an id")
    return SeenNothing("values of several kinds")


def _whole(name: str, values: Sequence[int]) -> Seen:
    """Describe whole numbers."""
    if any(abs(value) > MAX_SAFE_INTEGER for value in values):
        return SeenNothing("a whole number beyond 2^53, which not every client reads")
    if last_word(name) in _ID_WORDS:
        return SeenScalar("ID", "an id, a whole number")
    if last_word(name) in _TIME_WORDS:
        for function, unit, factor in (
            ("unix_seconds", "seconds", 1),
            ("unix_millis", "milliseconds", 1_000),
        ):
            if all(_YEAR_2000 * factor <= value < _YEAR_2100 * factor for value in values):
                note = f"taken for {unit} since 1970"
                return SeenScalar("DateTime", f"a time, {note}", f"{function}({VALUE})", note)
    if all(-MAX_INT - 1 <= value <= MAX_INT for value in values):
        return SeenScalar("Int", "a whole number")
    return SeenScalar("SafeInt", "a whole number")


def _text(name: str, values: Sequence[str]) -> SeenScalar:
    """Describe texts."""
    if last_word(name) in _ID_WORDS:
        return SeenScalar("ID", "an id")
    if all(map(_is_day, values)):
        return SeenScalar("Date", "a day")
    if all(map(_is_time, values)):
        return SeenScalar("DateTime", "a time")
    if all(map(_is_other_time, values)):
        note = "a time in UTC where it has no offset"
        return SeenScalar("DateTime", "a time", f"iso_time_utc({VALUE})", f"taken for {note}")
    if all(map(_is_url, values)):
        return SeenScalar("URL", "an address")
    return SeenScalar("String", "text")


def _is_day(text: str) -> bool:
    """Return whether a text is a day."""
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_time(text: str) -> bool:
    """Return whether a text is a time that needs no conversion."""
    try:
        return from_rfc3339(text).tzinfo is not None
    except InexactError:
        return False


def _is_other_time(text: str) -> bool:
    """Return whether a text is a time in another form of ISO 8601."""
    try:
        return _TIME.fullmatch(text) is not None and bool(
            from_iso(text, without_offset_is_utc=True)
        )
    except InexactError:
        return False


def _is_url(text: str) -> bool:
    """Return whether a text is an absolute address of the web."""
    try:
        check_url(text)
    except ValueError:
        return False
    return True


def _money(tables: Sequence[Table]) -> SeenScalar | None:
    """Describe objects that are an amount of money and nothing else."""
    names = {frozenset(table) for table in tables}
    if len(names) > 1 or len(tables[0]) != 2:  # noqa: PLR2004 # amount and currency
        return None
    amount = next((name for name in tables[0] if squashed(name) in _AMOUNTS), None)
    currency = next((name for name in tables[0] if squashed(name) in _CURRENCIES), None)
    if amount is None or currency is None or amount == currency:
        return None
    codes = [table[currency] for table in tables]
    if not all(isinstance(code, str) and code in currencies() for code in codes):
        return None
    amounts = [table[amount] for table in tables]
    places = f"{VALUE}.{written((amount,))}, {VALUE}.{written((currency,))}"
    if all(type(one) is int and abs(one) <= MAX_SAFE_INTEGER for one in amounts):
        note = "taken for the minor unit, such as cents"
        bare = {amount, currency} == {"amount", "currency"}
        reading = VALUE if bare else f"money_minor({places})"
    elif all(_is_decimal(one, table[currency]) for one, table in zip(amounts, tables, strict=True)):
        note = "taken for the main unit, such as euros"
        reading = f"money_decimal({places})"
    else:
        return None
    return SeenScalar("Money", f"an amount of money, {note}", reading, note)


def _is_decimal(value: object, currency: str) -> bool:
    """Return whether a value is an amount with no more places than its currency has."""
    if type(value) not in {int, float, str}:
        return False
    text = str(value)
    places = len(text.partition(".")[2].rstrip("0"))
    return _DECIMAL.fullmatch(text) is not None and places <= currencies()[currency]
