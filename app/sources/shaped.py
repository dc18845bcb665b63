"""Reading the answers of a source whose shape its settings say. Pure."""

from collections.abc import Sequence
from decimal import localcontext
from typing import Any, Generic, TypeVar

from app.errors import Code, MalformedError, SourceError
from app.shapes.answer import AnswerSettings
from app.shapes.expression import EXACT, EvaluationError
from app.sources.answer import RawAnswer
from app.sources.base import Record, SourceSpec, UserId
from app.sources.foreign import wrong_foreign_keys
from app.sources.mapping import RowMapper, name_in_json
from app.sources.matching import AMBIGUOUS, matches_of
from app.sources.merging import cut_off
from app.sources.more import Extent, extent_of
from app.sources.rows import Rest, Rows
from app.sources.scan import Row, at, is_text, scan
from app.sources.statuses import meaning_of

R = TypeVar("R", bound=Record)


class ShapedReader(Generic[R]):
    """Reads answers of any shape that settings can say. A ``Reader``.

    Args:
        spec: The source.
        settings: What its answers are like.
        mapper: Makes records of rows.
        limit: How many rows an answer may have, as far as that is known.
        fold_case: Whether keys that differ in case alone are the same, whatever the settings say.
        names_user: Whether rows name their user as the default contract does, where they do.
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
    ) -> None:
        self._names_user = names_user
        self._name = spec.name
        self._settings = settings
        self._fold_case = fold_case or settings.fold_case
        self._mapper = mapper
        self._limit = limit if settings.many else None
        self._written_key = name_in_json(spec, spec.key)

    def read(self, answer: RawAnswer, keys: Sequence[UserId]) -> Rows[R]:
        """Read an answer.

        Args:
            answer: The answer.
            keys: What was asked.

        Returns:
            An answer a key. The first row of a key counts. A key without a row in an answer that
            was cut off is a failure.

        Raises:
            MalformedError: It is no such answer at all.
        """
        meaning = meaning_of(answer.status, self._settings)
        if meaning == "absent":
            return Rows(answers=[None] * len(keys), malformed=[], duplicate=0, unasked=0)
        if meaning not in {"rows", "partial"}:
            raise MalformedError(f"status {answer.status}")
        document = scan(answer.body, self._settings)
        extent = extent_of(
            document,
            answer.headers,
            self._settings.more,
            partial=meaning == "partial",
            limit=self._limit,
        )
        if document.rows is None and extent.total != 0:  # SCIM leaves them out when there are none
            place = " → ".join(str(step) for step in self._settings.rows)
            raise MalformedError(f"expected rows at {place}, got nothing")
        with localcontext(EXACT):
            return self._rows(document.rows or (), extent, keys)

    def _rows(self, rows: Sequence[Row], extent: Extent, keys: Sequence[UserId]) -> Rows[R]:
        """Find the row of each key."""
        keyed: list[Row] = []
        found: list[str] = []
        for row in rows:
            key = self._key_of(row, keys)
            if key is not None:
                keyed.append(row)
                found.append(key)
        without = len(rows) - len(keyed)
        # It may be anyone's who has no other row: "unknown" would be a guess.
        nameless = self._failure("a row without a key") if without else None
        matches = matches_of(keys, found, fold_case=self._fold_case)
        rest = Rest(
            answer=nameless or cut_off(self._name, extent.more),
            nameless=nameless,
            more=extent.more,
            count=len(rows),
            total=extent.total,
        )
        malformed: list[str] = []
        read = {
            key: self._read_one(keyed[place], key, malformed) for key, place in matches.rows.items()
        }
        ambiguous = {key: self._failure(AMBIGUOUS) for key in matches.ambiguous}
        answers = [read[key] if key in read else ambiguous.get(key, rest.answer) for key in keys]
        malformed += [AMBIGUOUS] * len(matches.ambiguous)
        malformed += ["a row without a key"] * without
        return Rows(
            answers=answers,
            malformed=malformed,
            duplicate=matches.duplicate,
            unasked=matches.unasked,
            rest=rest,
        )

    def _key_of(self, row: Row, keys: Sequence[UserId]) -> str | None:
        """Find the key of a row; ``None`` where it has none that can be read."""
        key: Any
        if self._settings.by_key:
            key = row.name
        elif self._settings.key is not None:
            _, key = at(row.value, self._settings.key)
        elif self._mapper.key is not None:
            try:
                key = self._mapper.key.of(row.value)
            except EvaluationError:
                return None
        elif not self._settings.many:
            if len(keys) != 1:
                raise MalformedError(f"one row for {len(keys)} users, which says not whose it is")
            [key] = keys
            if self._names_user:
                _, named = at(row.value, (self._written_key,))
                # A row that names another user answers another request. A number is one of the
                # service's own where users are not known by numbers.
                if isinstance(named, str) or (type(named) is int and key.isdecimal()):
                    key = named
        else:
            _, key = at(row.value, (self._written_key,))
        if type(key) is int:
            return str(key)
        return key if isinstance(key, str) and is_text(key) else None

    def _read_one(self, row: Row, user: UserId, malformed: list[str]) -> R | SourceError:
        """Make the record of a row."""
        record = self._mapper.record(row.value, user)
        if not isinstance(record, str):
            if self._mapper.foreign_keys:
                malformed += wrong_foreign_keys(record)
            return record
        malformed.append(record)
        return self._failure(record)

    def _failure(self, detail: str) -> SourceError:
        """Say that a row, or the answer, does not fit."""
        return SourceError(self._name, Code.SOURCE_MALFORMED, detail)
