"""Which row of an answer is of which key that was asked for. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.shapes.ids import folded
from app.sources.base import UserId

AMBIGUOUS = "two rows whose keys differ in case alone, and neither is the key as it was asked for"


@dataclass(frozen=True, slots=True)
class Matches:
    """Which row is of which key.

    Attributes:
        rows: The place of the row of each key that has one, among all rows.
        ambiguous: The keys that have several rows, none of which is surely theirs.
        duplicate: Rows passed over, since another came before them for the same key.
        unasked: Rows passed over, since nobody asked for their key.
    """

    rows: Mapping[UserId, int]
    ambiguous: frozenset[UserId]
    duplicate: int
    unasked: int


def matches_of(asked: Sequence[UserId], found: Sequence[str], *, fold_case: bool) -> Matches:
    """Find the row of each key.

    A row whose key is written exactly as it was asked for comes first. Otherwise, a row whose key
    is the same by ``folded`` is taken, if no other such row has its key written differently. What
    is found for a key does not depend on the keys beside it. Of rows with the same key the first
    counts.

    Args:
        asked: The keys that were asked for, each once.
        found: The keys of the rows, in their order.
        fold_case: Whether keys that differ in case alone are the same.

    Returns:
        What was found.
    """
    first: dict[str, int] = {}
    for place, key in enumerate(found):
        first.setdefault(key, place)
    rows = {key: first[key] for key in asked if key in first}
    if first.keys() <= rows.keys() and not may_be_of_another_case(asked, first):
        return Matches(rows, frozenset(), duplicate=len(found) - len(rows), unasked=0)

    def fold(key: str) -> str:
        return folded(key, fold_case=fold_case)

    spellings: dict[str, list[str]] = {}
    for key in first:
        spellings.setdefault(fold(key), []).append(key)
    ambiguous: set[UserId] = set()
    for key in asked:
        same = spellings.get(fold(key), ())
        if key in rows or not same:
            continue
        if len(same) == 1:
            rows[key] = first[same[0]]
        else:
            ambiguous.add(key)
    wanted = set(map(fold, asked))
    of_asked = sum(fold(key) in wanted for key in found)
    used = len({*rows.values()})
    return Matches(rows, frozenset(ambiguous), of_asked - used, len(found) - of_asked)


def may_be_of_another_case(asked: Sequence[UserId], found: Mapping[str, object]) -> bool:
    """Tell whether a key without a row may have one whose key is written in another case.

    Args:
        asked: The keys that were asked for.
        found: The rows by their keys.

    Returns:
        Whether it is worth while to look. It is cheap to tell, since most keys have a row, or none.
    """
    missing = [key for key in asked if key not in found]
    every = "".join([*missing, *found])
    if every == every.lower():
        return False
    return not {*map(str.lower, missing)}.isdisjoint(map(str.lower, found))
