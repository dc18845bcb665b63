"""Reading the responses that the settings of a source describe, and merging their pages. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import localcontext
from enum import Enum
from typing import Any, Generic, TypeGuard, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from app.errors import Code, MalformedError, SourceFailure
from app.expressions.expression import (
    EXACT,
    NO_RESPONSE,
    EvaluationError,
    ResponseFacts,
    path_expression,
)
from app.settings.response import AnswerSettings
from app.sources.base import DamagedRecord, Record, SourceResult, SourceSpec, UserId
from app.sources.failures import meaning_of
from app.sources.mapping.contract import RowDamage
from app.sources.mapping.paging import Extent, More, NextPage, extent_of
from app.sources.mapping.row_mapper import (
    RowMapper,
    name_in_json,
    wrong_foreign_keys,
)
from app.sources.mapping.rows import (
    AMBIGUOUS,
    RawAnswer,
    Remainder,
    RowReading,
    Rows,
    match_rows,
    result_of,
)
from app.sources.mapping.scan import ScannedDocument, is_text, others_beside

R = TypeVar("R", bound=Record)


def _wrong_keys_in(answers: Sequence[SourceResult[Record]]) -> Iterator[str]:
    """Yield what is wrong with the foreign keys in records."""
    for answer in answers:
        if isinstance(answer, DamagedRecord):
            yield from wrong_foreign_keys(answer.record)
        elif answer is not None and not isinstance(answer, SourceFailure):
            yield from wrong_foreign_keys(answer)


def cut_off(source: str, more: More | None) -> SourceFailure | None:
    """Return the result of a key without a row.

    Args:
        source: Name of the source.
        more: That rows are missing; ``None`` if the response is complete.

    Returns:
        A failure if rows are missing, because the row may be one of them; else ``None``.
    """
    if more is None:
        return None
    return SourceFailure(
        source, Code.SOURCE_MALFORMED, f"the answer was cut off, as told by {more.sign}"
    )


def merged(source: str, first: Rows[R], second: Rows[R]) -> Rows[R]:
    """Merge two pages.

    Args:
        source: Name of the source.
        first: The rows so far.
        second: The next page, for the same keys.

    Returns:
        The rows of both pages. The first row of a key counts.
    """
    repeated = sum(
        before is not first.remainder.answer and after is not second.remainder.answer
        for before, after in zip(first.answers, second.answers, strict=True)
    )
    # A repeated row does not count towards the total number of rows.
    count = first.remainder.count + second.remainder.count - repeated
    more = more_after(second.remainder, count)
    nameless = first.remainder.nameless or second.remainder.nameless
    rest = Remainder(
        nameless or cut_off(source, more), nameless, more, count, second.remainder.total
    )
    answers: list[SourceResult[R]] = []
    malformed = [*first.malformed, *second.malformed]
    other_case: dict[int, str] = {}
    for place, (before, after) in enumerate(zip(first.answers, second.answers, strict=True)):
        earlier, later = first.other_case.get(place), second.other_case.get(place)
        answer = before
        if before is first.remainder.answer:
            answer = rest.answer if after is second.remainder.answer else after
            earlier = later
        elif earlier is not None and after is not second.remainder.answer:
            if later is None:  # exactly the requested key, or a failure
                answer, earlier = after, None
            elif later != earlier:
                answer, earlier = SourceFailure(source, Code.SOURCE_MALFORMED, AMBIGUOUS), None
                malformed.append(AMBIGUOUS)
        answers.append(answer)
        if earlier is not None:
            other_case[place] = earlier
    return Rows(
        answers=answers,
        malformed=malformed,
        duplicate=first.duplicate + second.duplicate + repeated,
        unasked=first.unasked + second.unasked,
        remainder=rest,
        facts=second.facts,
        other_case=other_case,
    )


def ended(rows: Rows[R], failure: SourceFailure) -> Rows[R]:
    """End the search for further rows.

    Args:
        rows: The rows so far.
        failure: Why no page follows.

    Returns:
        The rows, with the failure for each key that needs more rows.
    """
    answers = [failure if rows.needs_more(answer) else answer for answer in rows.answers]
    return replace(
        rows, answers=answers, remainder=replace(rows.remainder, answer=failure, more=None)
    )


def more_after(rest: Remainder, count: int) -> More | None:
    """Return whether rows follow a page.

    Args:
        rest: The remainder of the page.
        count: The number of rows so far.

    Returns:
        That rows follow; ``None`` if none do.
    """
    more = rest.more
    if more is None or (rest.total is not None and count >= rest.total):
        return None
    if more.next is not None and more.next.offset is not None:
        return replace(more, next=NextPage(offset=max(more.next.offset, count)))
    return more


class MappingReader(Generic[R]):
    """A ``Reader`` for responses that the settings describe: one row for each user.

    Args:
        spec: The source.
        settings: The settings for its responses.
        mapper: Converts rows to records.
        limit: Maximum number of rows on a page; ``None`` if not known.
        fold_case: Whether keys that differ only in case are the same, whatever the settings say.
        names_user: Whether a row that need not have a key may have one under the name of the
            default contract.
        one_key: Whether each request has one key, so that its rows need not have it.
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
        self._names_user = names_user
        self._name = spec.name
        self._settings = settings
        self._fold_case = fold_case or settings.fold_case
        self._mapper = mapper
        self._limit = limit if settings.many else None
        self._written_key = name_in_json(spec, spec.key)
        compiled = mapper.compiled
        self._absent = None if settings.absent is None else compiled(settings.absent)
        # A row under its key need not have it.
        path = None if settings.by_key else settings.key or (self._written_key,)
        self._key = mapper.key or (None if path is None else compiled(path_expression(path)))
        # Whether a row may say nothing about its user.
        self._may_lack_key = (
            (one_key or not settings.many)
            and not settings.by_key
            and settings.key is None
            and mapper.key is None
        )
        order = None if settings.group is None else settings.group.order
        self._order = None if order is None else compiled(order)
        self._needs_facts = mapper.reads_response or any(
            expression is not None and expression.reads_response
            for expression in (self._absent, self._order)
        )

    def read(self, answer: RawAnswer, keys: Sequence[UserId]) -> Rows[Any]:
        """Read one page.

        Args:
            answer: The response.
            keys: The requested keys.

        Returns:
            A source result per key. The first row of a key counts. If rows are missing, a key
            without a row gets a failure.

        Raises:
            MalformedError: The response as a whole does not fit the settings.
        """
        meaning = meaning_of(answer.status, self._settings)
        facts = ResponseFacts(answer.status, answer.headers) if self._needs_facts else NO_RESPONSE
        if meaning == "absent":
            return Rows([None] * len(keys), malformed=[], duplicate=0, unasked=0, facts=facts)
        if meaning not in {"rows", "partial"}:
            raise MalformedError(f"status {answer.status}")
        document = self._mapper.scan(answer.body, self._settings)
        if document.null and self._settings.many and not self._settings.rows:
            raise MalformedError("expected rows, got nothing")  # as by the default contract
        extent = extent_of(
            document,
            answer.headers,
            self._settings.more,
            partial=meaning == "partial",
            limit=self._limit,
        )
        if document.rows is None and extent.total != 0:  # SCIM omits an empty list
            place = " → ".join(str(step) for step in self._settings.rows)
            raise MalformedError(f"expected rows at {place}, got nothing")
        with localcontext(EXACT):
            rows = self._keyed(document, keys)
            if rows.without_key:
                rows.without_key += others_beside(document.around, self._settings.rows)
            matched = self._matched(rows, keys, extent, facts)
        matched.malformed += ["a row without a key"] * rows.nameless
        matched.facts = facts
        return matched

    def merged(self, first: Rows[Any], second: Rows[Any]) -> Rows[Any]:
        """Merge two pages, as ``Reader.merged`` says."""
        return merged(self._name, first, second)

    def results(self, rows: Rows[Any], keys: Sequence[UserId]) -> Sequence[SourceResult[R]]:
        """Return the results after the last page, as ``Reader.results`` says."""
        if self._mapper.foreign_keys:
            rows.malformed += _wrong_keys_in(rows.answers)
        if self._settings.without_row == "unknown":
            return rows.answers
        pairs = zip(keys, rows.answers, strict=True)
        return [
            self.unknown(key, rows.facts) if answer is None else answer for key, answer in pairs
        ]

    def unknown(self, user: UserId, facts: ResponseFacts) -> SourceResult[R]:
        """Return the result of a key without a row, as ``Reader.unknown`` says."""
        if self._settings.without_row == "unknown":
            return None
        with localcontext(EXACT):
            return result_of(self._name, self._mapper.record({}, user, facts))

    def _matched(
        self, rows: "KeyedRows", keys: Sequence[UserId], extent: Extent, facts: ResponseFacts
    ) -> Rows[Any]:
        """Return the result of each key, from the row that matches it."""

        def read(
            indexes: Mapping[UserId, int],
        ) -> Sequence[R | RowDamage[R] | SourceFailure | None]:
            if extent.more is not None and not self._settings.many:
                what = f"the row was cut off, as told by {extent.more.sign}"
                damage: RowDamage[R] = RowDamage(None, {"": what})
                return [damage] * len(indexes)
            return self._read([rows.values[one] for one in indexes.values()], [*indexes], facts)

        if rows.without_key > 1:
            raise MalformedError(
                f"{rows.without_key} rows without a key for one user: expected one, or `group`"
            )
        remainder = self._remainder(rows, extent)
        fold_case = self._fold_case
        return match_rows(
            self._name,
            keys,
            rows.keys,
            cast("RowReading[Any]", read),
            remainder,
            fold_case=fold_case,
        )

    def _read(
        self, rows: Sequence[object], keys: Sequence[UserId], facts: ResponseFacts
    ) -> Sequence[R | RowDamage[R] | SourceFailure | None]:
        """Return the record of each row, or the result of a row that is not read."""
        reads_objects = not self._may_lack_key and self._absent is None
        if reads_objects and {*map(type, rows)} == {dict}:
            return self._mapper.records(rows, keys, facts)
        others = [self._without_record(row, facts) for row in rows]
        read = [place for place, other in enumerate(others) if other is _RECORD]
        if len(read) == len(rows):
            return self._mapper.records(rows, keys, facts)
        made = self._mapper.records(
            [rows[place] for place in read], [keys[place] for place in read], facts
        )
        records = dict(zip(read, made, strict=True))
        return [
            records[place] if isinstance(other, _Record) else other
            for place, other in enumerate(others)
        ]

    def _without_record(
        self, row: object, facts: ResponseFacts
    ) -> "RowDamage[R] | SourceFailure | _Record | None":
        """Return the result of a row that is not read; ``None`` if it counts as absent."""
        if (mistake := self._mistake_in(row)) is not None:
            return RowDamage(None, {"": mistake})
        try:
            if self._absent is not None and self._is_absent(row, facts):
                return None
        except EvaluationError as error:
            return RowDamage(None, {"": f"absent: {error}"})
        return _RECORD

    def _mistake_in(self, row: object) -> str | None:
        """Return why a value is not a row; ``None`` if it is one."""
        if row is None:
            return "expected one row, got nothing"
        kind = type(row)
        if kind is list and not self._settings.many:
            return "expected one row, got a list: set many = true, or group"
        if (self._may_lack_key or kind is not dict) and not self._mapper.recognizes(row):
            # Without this check, an error message with status 200 would be a user without values.
            return "a row without a key, and with none of the values that are read"
        return None

    def _is_absent(self, row: object, facts: ResponseFacts) -> bool:
        """Return whether a row counts as absent."""
        value = None if self._absent is None else self._absent.evaluate(row, facts)
        # What JMESPath calls true: all but null, false, and empty texts, lists and objects.
        return value is not None and value is not False and value not in ("", [], {})

    def _remainder(self, rows: "KeyedRows", extent: Extent) -> Remainder:
        """Return what applies to keys without a row."""
        # A row without a key may belong to any such key: "unknown" would be a guess.
        nameless = self._failure("a row without a key") if rows.nameless else None
        return Remainder(
            answer=nameless or cut_off(self._name, extent.more),
            nameless=nameless,
            more=extent.more,
            count=len(rows.values) + rows.nameless,
            total=extent.total,
        )

    def _keyed(self, document: ScannedDocument, keys: Sequence[UserId]) -> "KeyedRows":
        """Find the keys of rows."""
        rows, names = document.rows or (), self._named_keys(document)
        if not self._may_lack_key and _are_texts(names):
            return KeyedRows([*names], [*rows])
        found = KeyedRows()
        key: str
        for row, named in zip(rows, names, strict=True):
            if self._may_lack_key and not self._says_key(named, keys):
                if len(keys) != 1:
                    raise MalformedError(
                        f"a row for {len(keys)} users, which does not say whose it is"
                    )
                found.without_key += 1
                key = keys[0]
            elif type(named) is int:
                key = str(named)
            elif isinstance(named, str) and is_text(named):
                key = named
            else:
                found.nameless += 1
                continue
            found.keys.append(key)
            found.values.append(row)
        return found

    def _named_keys(self, document: ScannedDocument) -> Sequence[object]:
        """Return the value at the place of each row's key."""
        if self._settings.by_key:
            return document.names
        rows = document.rows or ()
        try:
            return [*map(self._key.evaluate, rows)] if self._key is not None else [None] * len(rows)
        except EvaluationError:
            return [self._named_key(row) for row in rows]

    def _named_key(self, row: object) -> object:
        """Return the value at the place of the key; ``None`` if there is none."""
        try:
            return None if self._key is None else self._key.evaluate(row)
        except EvaluationError:
            return None

    def _says_key(self, named: object, keys: Sequence[UserId]) -> bool:
        """Return whether a row that need not have a key has one.

        In a single row, a number counts as a key only if the requested key is a number; else it is
        an internal id of the service.
        """
        if self._settings.many:
            return isinstance(named, str) or type(named) is int
        return self._names_user and (
            isinstance(named, str)
            or (type(named) is int and len(keys) == 1 and keys[0].isdecimal())
        )

    def _failure(self, detail: str) -> SourceFailure:
        """Return the failure for a row or a response that does not fit."""
        return SourceFailure(self._name, Code.SOURCE_MALFORMED, detail)


def _are_texts(values: Sequence[object]) -> TypeGuard[Sequence[str]]:
    """Return whether values are texts, all of them valid."""
    # A loop over the values would take a tenth of the time of reading their rows.
    return {*map(type, values)} == {str} and is_text("".join(cast("Sequence[str]", values)))


class _Record(Enum):
    """Stands in the place of the result of a row that is read."""

    RECORD = "the record of the row"


_RECORD = _Record.RECORD


class KeyedRows(Struct):
    """The rows of a page.

    Attributes:
        keys: The key of each row that has a readable one, or that needs none.
        values: These rows.
        without_key: How many of them say nothing of a key.
        nameless: How many further rows have no readable key.
    """

    keys: list[str] = []
    values: list[object] = []
    without_key: int = 0
    nameless: int = 0
