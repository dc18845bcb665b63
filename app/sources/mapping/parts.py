"""Answers of batch APIs: lists in which each item is the answer for one user. Pure.

An item may have a status of its own. A user whose item is a failure has that failure, and all other
users have their rows.
"""

from collections.abc import Sequence
from enum import Enum
from http import HTTPStatus
from typing import Any, TypeVar

from app.errors import Code, MalformedError, SourceFailure
from app.expressions.expression import EvaluationError, ResponseFacts
from app.expressions.ids import folded
from app.settings.response import AnswerSettings, PartSettings
from app.sources.base import Record, SourceSpec, UserId
from app.sources.failures import failure_of_answer, meaning_of
from app.sources.mapping.paging import Extent
from app.sources.mapping.reader import KeyedRows, MappingReader
from app.sources.mapping.row_mapper import RowMapper
from app.sources.mapping.rows import Rows
from app.sources.mapping.scan import ScannedDocument, at, is_text

R = TypeVar("R", bound=Record)


class Absent(Enum):
    """Stands in the place of a row."""

    ABSENT = "the source does not know the user"


class PartReader(MappingReader[R]):
    """A ``Reader`` for lists in which each item is the answer for one user.

    Args:
        spec: The source.
        settings: The settings for its responses.
        mapper: Converts rows to records.
        limit: Maximum number of rows on a page; ``None`` if not known.
        fold_case: Whether keys that differ only in case are the same, whatever the settings say.
        names_user: Whether a row may have its key under the name of the default contract.
        one_key: Whether each request has one key.
    """

    def __init__(
        self,
        spec: SourceSpec[R],
        settings: AnswerSettings,
        mapper: RowMapper[R],
        *,
        limit: int | None,
        fold_case: bool = False,
        names_user: bool,
        one_key: bool = False,
    ) -> None:
        super().__init__(
            spec,
            settings,
            mapper,
            limit=limit,
            fold_case=fold_case,
            names_user=names_user,
            one_key=one_key,
        )
        self._may_lack_key = True  # the item says whose row it is
        self._by_position = settings.match == "position"
        self._says_own_key = mapper.key is not None or settings.key is not None
        self._parts = settings.parts or PartSettings()
        key, name = self._parts.key, self._parts.name
        self._owner = None if key is None else mapper.compiled(key)
        self._part_name = None if name is None else mapper.compiled(name)

    def _matched(
        self, rows: KeyedRows, keys: Sequence[UserId], extent: Extent, facts: ResponseFacts
    ) -> Rows[Any]:
        """Return the result of each key. A list by position always has all rows."""
        matched = super()._matched(rows, keys, Extent(None) if self._by_position else extent, facts)
        matched.malformed += [
            failure.detail
            for failure in rows.values
            if isinstance(failure, SourceFailure) and not failure.retryable
        ]
        return matched

    def _keyed(self, document: ScannedDocument, keys: Sequence[UserId]) -> KeyedRows:
        """Find the items of each user, and what they say together."""
        found = KeyedRows()
        rows = document.rows or ()
        items: dict[str, list[object]] = {}
        for owner, row in zip(self._owners(rows, keys), rows, strict=True):
            if owner is None:
                found.nameless += 1
            else:
                items.setdefault(owner, []).append(row)
        for owner, several in items.items():
            found.keys.append(owner)
            found.values.append(self._row_of(several, owner))
        return found

    def _owners(self, rows: Sequence[object], keys: Sequence[UserId]) -> Sequence[str | None]:
        """Return the key of the user of each item; ``None`` for an item without a readable key."""
        if self._owner is not None:
            return [self._key_in(row) for row in rows]
        expected = len(keys) * self._parts.per_user
        if len(rows) != expected:
            raise MalformedError(
                f"{len(rows):,} items in the order of {len(keys):,} users: expected {expected:,}"
            )
        return [key for key in keys for _ in range(self._parts.per_user)]

    def _key_in(self, item: object) -> str | None:
        """Return the key of the user of an item; ``None`` if it has no readable key."""
        try:
            key = None if self._owner is None else self._owner.evaluate(item)
        except EvaluationError:
            return None
        if type(key) is int:
            return str(key)
        return key if isinstance(key, str) and is_text(key) else None

    def _row_of(self, items: Sequence[object], owner: str) -> object:
        """Return what the items of a user say together: a row, ``ABSENT``, or a failure."""
        if len(items) != self._parts.per_user:
            what = f"{len(items)} items of one user: expected {self._parts.per_user}"
            return self._failure(what)
        rows = [self._part(item) for item in items]
        failure = next((row for row in rows if isinstance(row, SourceFailure)), None)
        if failure is not None:
            return failure
        if all(row is Absent.ABSENT for row in rows):
            return Absent.ABSENT
        row = rows[0] if self._parts.per_user == 1 else self._together(items, rows)
        mistake = None if isinstance(row, SourceFailure) else self._mistake_in_key(row, owner)
        return row if mistake is None else self._failure(mistake)

    def _part(self, item: object) -> object:
        """Return what one item says: a row, ``ABSENT``, or a failure."""
        path = self._parts.status
        _, row = at(item, self._parts.row)
        if path is None:
            return Absent.ABSENT if row is None else row
        _, value = at(item, path)
        status = _status(value)
        if status is None:
            return self._failure("an item without a status")
        meaning = meaning_of(status, self._settings)
        if meaning == "rows":
            return self._failure("an item without a row") if row is None else row
        if meaning == "absent" or (meaning is None and status == HTTPStatus.NOT_FOUND):
            return Absent.ABSENT
        failure = failure_of_answer(self._name, status, self._settings, None)
        code = Code.SOURCE_MALFORMED if failure is None else failure.code
        retryable = failure is not None and failure.retryable
        detail = f"an item with status {status}"
        return SourceFailure(self._name, code, detail, retryable=retryable)

    def _together(self, items: Sequence[object], rows: Sequence[object]) -> object:
        """Return the rows of one user as a list, or as an object by their names."""
        present = [None if row is Absent.ABSENT else row for row in rows]
        if self._part_name is None:
            return present
        try:
            names = [self._part_name.evaluate(item) for item in items]
        except EvaluationError as error:
            return self._failure(f"parts.name: {error}")
        named: dict[str, object] = {
            name: row for name, row in zip(names, present, strict=True) if isinstance(name, str)
        }
        if len(named) < len(items):
            return self._failure("parts.name: expected another text in each item of a user")
        return named

    def _mistake_in_key(self, row: object, owner: str) -> str | None:
        """Return what is wrong with the key that a row has itself; ``None`` if nothing is."""
        named = self._named_key(row)
        if type(named) is int and (self._says_own_key or owner.isdecimal()):
            named = str(named)
        if not isinstance(named, str):
            return "a row without a key" if self._says_own_key else None
        fold = self._fold_case
        is_its_own = folded(named, fold_case=fold) == folded(owner, fold_case=fold)
        is_checked = self._says_own_key or self._names_user
        return "a row of another user" if is_checked and not is_its_own else None

    def _without_record(self, row: object, facts: ResponseFacts) -> Any:  # noqa: ANN401 # as in the base class
        """Return the result of a user without a row: of what stands in its place."""
        if row is Absent.ABSENT:
            return None
        return row if isinstance(row, SourceFailure) else super()._without_record(row, facts)


def _status(value: object) -> int | None:
    """Return a status; ``None`` for another value."""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:4])
    known = range(100, 600)
    return value if type(value) is int and value in known else None
