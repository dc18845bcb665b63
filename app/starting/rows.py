"""Finds the rows of users in an answer: the objects that have their ids. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from app.expressions.ids import same_user
from app.importing.names import HAS_MORE, IDS, LISTS, singular, squashed
from app.importing.users import names_user
from app.settings.nested import Table, as_list, as_table
from app.settings.response import AnswerSettings, MoreSettings

Names: TypeAlias = tuple[str, ...]
"""Names of members, from the outside to the inside."""

_MAX_DEPTH = 3
"""How deep rows are searched in an answer, and keys in a row."""

_ONE_ROW = frozenset({*LISTS, "result", "user"})
"""Members that have the one row of an answer without ids."""


class FoundRows(Struct, frozen=True):
    """The rows of users in an answer.

    Attributes:
        settings: Where the rows and their keys are.
        rows: The row of each user, by its id.
        others: The number of rows of other users.
        most: The most rows that one user has.
        around: The names of the other members of the object around a list of rows.
    """

    settings: AnswerSettings
    rows: Mapping[str, Table]
    others: int = 0
    most: int = 1
    around: Names = ()


class _PlaceOfRows(Struct, frozen=True):
    """A place of rows.

    Attributes:
        place: Where the rows are in the answer.
        many: Whether there is one row, a list of them, or an object with each under its key.
        rows: The rows, with the key of each.
        key: Where a row has its key.
    """

    place: Names
    many: Literal["one", "list", "by_key"]
    rows: Sequence[tuple[str, Table]]
    key: Names

    @property
    def rank(self) -> tuple[bool, int, int, bool, int]:
        """The lower, the likelier: a key that is called like one, near to the outside."""
        steps = len(self.place) + max(len(self.key), 1)
        named = 0 if self.many == "by_key" else _rank(self.key[-1])
        return named > 1, steps, len(self.key), self.many == "one", named


def find_rows(answer: object, ids: Sequence[str]) -> FoundRows | None:
    """Find the rows of users.

    Args:
        answer: The answer of a service, decoded.
        ids: The ids of the users. All of them have to be there.

    Returns:
        The rows; ``None`` if the answer does not have them.
    """
    candidates = [
        candidate
        for place, value in _values(answer)
        for candidate in _candidates(place, value, ids)
        if _has_all(candidate, ids)
    ]
    if not candidates:
        return None
    best = min(candidates, key=lambda one: one.rank)
    rows = {user: row for user in reversed(ids) for key, row in best.rows if same_user(key, user)}
    counts = Counter(user for key, _ in best.rows for user in ids if same_user(key, user))
    around = as_table(_at(answer, best.place[:-1])) if best.place and best.many != "one" else None
    others = {} if around is None else {**around}
    others.pop(best.place[-1] if best.place else "", None)
    has_more = next(
        (one for one in others if squashed(one) in HAS_MORE and isinstance(others[one], bool)), None
    )
    more = MoreSettings(has_more=None if has_more is None else (*best.place[:-1], has_more))
    settings = AnswerSettings(
        rows=best.place,
        many=best.many != "one",
        by_key=best.many == "by_key",
        key=best.key or None,
        more=more,
    )
    return FoundRows(
        settings,
        {user: rows[user] for user in ids},
        others=len(best.rows) - counts.total(),
        most=max(counts.values()),
        around=tuple(one for one in others if one != has_more),
    )


def row_without_key(answer: object, user: str) -> FoundRows | None:
    """Take an answer for the row of the one user of a request.

    Args:
        answer: The answer of a service, decoded.
        user: The id of the user.

    Returns:
        The row, which does not say whose it is; ``None`` if the answer is no object.
    """
    place, row = Names(), as_table(answer)
    while row is not None and len(row) == 1:
        [(name, inner)] = row.items()
        if squashed(name) not in _ONE_ROW or as_table(inner) is None:
            break
        place, row = (*place, name), as_table(inner)
    if not row:
        return None
    return FoundRows(AnswerSettings(rows=place, many=False), {user: row})


def _rank(name: str) -> int:
    """Return how likely a member is the key by its name: 0 for an id, 1 for that of a user."""
    word = singular(squashed(name))
    return 0 if word in IDS else 1 if names_user(word) else 2


def _at(value: object, place: Names) -> object:
    """Return the value at a place."""
    for name in place:
        value = (as_table(value) or {}).get(name)
    return value


def _values(answer: object) -> Iterator[tuple[Names, object]]:
    """List the answer and the members in it, the outer ones first."""
    waiting: list[tuple[Names, object]] = [((), answer)]
    for place, value in waiting:  # grows while it is read
        yield place, value
        if len(place) < _MAX_DEPTH:
            waiting += [((*place, name), one) for name, one in (as_table(value) or {}).items()]


def _candidates(place: Names, value: object, ids: Sequence[str]) -> Iterator[_PlaceOfRows]:
    """List what the rows may be at one place."""
    items = [row for one in as_list(value) or () if (row := as_table(one)) is not None]
    for key in dict.fromkeys(key for row in items for key in _keys(row, ids)):
        yield _PlaceOfRows(place, "list", [(_text(_at(row, key)), row) for row in items], key)
    table = as_table(value)
    if table is None:
        return
    if len(ids) == 1:
        for key in _keys(table, ids):
            yield _PlaceOfRows(place, "one", [(ids[0], table)], key)
    entries = [(name, row) for name, one in table.items() if (row := as_table(one)) is not None]
    yield _PlaceOfRows(place, "by_key", entries, ())


def _keys(row: Table, ids: Sequence[str]) -> Iterator[Names]:
    """List where a row has one of some ids."""
    for place, value in _values(row):
        if place and any(same_user(_text(value), user) for user in ids):
            yield place


def _text(value: Any) -> str:  # noqa: ANN401 # decoded JSON
    """Return a key as text; empty for a value that is none."""
    return str(value) if isinstance(value, str) or type(value) is int else ""


def _has_all(candidate: _PlaceOfRows, ids: Sequence[str]) -> bool:
    """Return whether each user has a row."""
    return all(any(same_user(key, user) for key, _ in candidate.rows) for user in ids)
