"""Which row of an answer is of which key that was asked for. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

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
        if key not in first:
            first[key] = place
    wanted: set[str] = set(asked)
    if first.keys() == wanted:
        return Matches(
            cast("Mapping[UserId, int]", first), frozenset(), len(found) - len(first), unasked=0
        )
    rows = {UserId(key): place for key, place in first.items() if key in wanted}
    unasked = len(found) - sum(key in wanted for key in found)
    if not may_be_of_another_case(asked, first, unasked=unasked):
        return Matches(rows, frozenset(), len(found) - len(rows) - unasked, unasked)

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
    folds = set(map(fold, asked))
    of_asked = sum(fold(key) in folds for key in found)
    used = len({*rows.values()})
    return Matches(rows, frozenset(ambiguous), of_asked - used, len(found) - of_asked)


def may_be_of_another_case(
    asked: Sequence[UserId], found: Mapping[str, object], *, unasked: int
) -> bool:
    """Tell whether a key may have a row whose key is written in another case.

    Args:
        asked: The keys that were asked for.
        found: The rows by their keys.
        unasked: How many rows have a key that was not asked for.

    Returns:
        Whether it is worth while to look. It costs little to find out: most keys are in small
        letters, and most rows were asked for.
    """
    if not unasked:
        every = "".join(asked)
        if every == every.lower():  # then so are the keys of all rows
            return False
    missing = {key.lower() for key in asked if key not in found}
    return not missing.isdisjoint(map(str.lower, found))
