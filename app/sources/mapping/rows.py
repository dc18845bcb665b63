"""From the bytes of a response to one source result per key: rows, and their keys. Pure."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeAlias, TypeVar, cast

from msgspec import Struct
from pydantic import ValidationError

from app.errors import Code, MalformedError, SourceFailure
from app.expressions.expression import NO_RESPONSE, ResponseFacts
from app.expressions.ids import folded
from app.settings.response import AnswerSettings
from app.sources.base import DamagedRecord, R_co, Record, SourceResult, SourceSpec, UserId
from app.sources.mapping.contract import RowContract, RowDamage
from app.sources.mapping.decoding import DecoderFactory, validating_decoder
from app.sources.mapping.paging import More, NextPage
from app.sources.mapping.scan import is_text, scan

AMBIGUOUS = "two rows whose keys differ only in case, and neither is exactly the requested key"


class Matches(Struct, frozen=True):
    """The row of each key.

    Attributes:
        rows: The index of the row of each key that has one.
        ambiguous: The keys with several possible rows.
        duplicate: Number of rows ignored because an earlier row has the same key.
        unasked: Number of rows ignored because their key was not requested.
    """

    rows: Mapping[UserId, int]
    ambiguous: frozenset[UserId]
    duplicate: int
    unasked: int


def matches_of(asked: Sequence[UserId], found: Sequence[str], *, fold_case: bool) -> Matches:
    """Find the row of each key.

    A row with exactly the requested key has priority. Otherwise, a row counts whose key is the same
    by ``folded``, if all such rows have the same spelling. The result for a key does not depend on
    the other requested keys. Of several rows with the same key the first one counts.

    Args:
        asked: The requested keys, without duplicates.
        found: The keys of the rows, in their order.
        fold_case: Whether keys that differ only in case are the same.

    Returns:
        The row of each key.
    """
    first: dict[str, int] = {}
    for index, key in enumerate(found):
        if key not in first:
            first[key] = index
    wanted: set[str] = set(asked)
    if first.keys() == wanted:
        return Matches(
            cast("Mapping[UserId, int]", first), frozenset(), len(found) - len(first), unasked=0
        )
    rows = {UserId(key): index for key, index in first.items() if key in wanted}
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
        candidates = spellings.get(fold(key), ())
        if key in rows or not candidates:
            continue
        if len(candidates) == 1:
            rows[key] = first[candidates[0]]
        else:
            ambiguous.add(key)
    folds = set(map(fold, asked))
    requested = sum(fold(key) in folds for key in found)
    used = len({*rows.values()})
    return Matches(rows, frozenset(ambiguous), requested - used, len(found) - requested)


def may_be_of_another_case(
    asked: Sequence[UserId], found: Mapping[str, object], *, unasked: int
) -> bool:
    """Return whether a requested key may have a row with the key in another case.

    This check is cheap: most keys are in lower case, and most rows were requested.

    Args:
        asked: The requested keys.
        found: The rows by their keys.
        unasked: How many rows have a key that was not requested.

    Returns:
        Whether a search for such rows is needed.
    """
    if not unasked:
        all_keys = "".join(asked)
        if all_keys == all_keys.lower():  # then the keys of all rows are in lower case, too
            return False
    missing = {key.lower() for key in asked if key not in found}
    return not missing.isdisjoint(map(str.lower, found))


R = TypeVar("R", bound=Record)


class Remainder(Struct, frozen=True):
    """What applies to keys without a row, and to rows that follow.

    Attributes:
        answer: The result of each key without a row: ``None`` if the source does not know it, a
            failure if that is not certain. The results contain this very object.
        nameless: The same failure, if its reason is a row without a key.
        more: That rows are missing; ``None`` if the response is complete.
        count: Number of rows so far.
        total: Number of rows on all pages, if only that shows whether more follow.
    """

    answer: SourceFailure | None = None
    nameless: SourceFailure | None = None
    more: More | None = None
    count: int = 0
    total: int | None = None


NOTHING = Remainder()
"""The remainder of a complete response."""


class Rows(Struct, Generic[R]):
    """What a response holds for the requested keys.

    Attributes:
        answers: One source result per key, in the order of the keys.
        malformed: What is wrong with each row that does not fit the contract, or a part of it.
        duplicate: Number of rows ignored because an earlier row has the same key.
        unasked: Number of rows ignored because their key was not requested.
        remainder: What applies to keys without a row.
        facts: The response, or the last page of it.
        other_case: The keys of rows that differ in case from the requested ones, by the position of
            these. A row with exactly the requested key on a later page has priority. UUIDs are left
            out, in which case has no meaning.
    """

    answers: list[SourceResult[R]]
    malformed: list[str]
    duplicate: int
    unasked: int
    remainder: Remainder = NOTHING
    facts: ResponseFacts = NO_RESPONSE
    other_case: Mapping[int, str] = {}

    @property
    def unexpected(self) -> bool:
        """Whether a row was ignored or did not fit the contract."""
        return bool(self.malformed or self.duplicate or self.unasked)

    @property
    def found(self) -> int:
        """Number of keys with a row, whether it fits the contract or not."""
        return sum(answer is not self.remainder.answer for answer in self.answers)

    @property
    def next(self) -> NextPage | None:
        """The next page, if a key needs more rows; ``None`` if no page is needed or known."""
        more = self.remainder.more
        if more is None or not (self.other_case or any(map(self.needs_more, self.answers))):
            return None
        return more.next

    def needs_more(self, answer: SourceResult[R]) -> bool:
        """Return whether a key may have rows on further pages that count.

        Args:
            answer: The result of the key.

        Returns:
            Whether it has no row yet.
        """
        return answer is self.remainder.answer


RowReading: TypeAlias = Callable[[Mapping[UserId, int]], Sequence[R | RowDamage[R] | None]]
"""Reads rows, by the indexes of the rows of requested keys. Returns the record of each, or what
does not fit in it; ``None`` for a row that counts as absent."""


def match_rows(
    source: str,
    keys: Sequence[UserId],
    found: Sequence[str],
    read: "RowReading[R]",
    remainder: Remainder,
    *,
    fold_case: bool,
) -> Rows[R]:
    """Return the result of each key, from the row that matches it.

    Args:
        source: Name of the source.
        keys: The requested keys, without duplicates.
        found: The keys of the rows, in their order.
        read: Reads rows. Those without a requested key are not read.
        remainder: What applies to keys without a row.
        fold_case: Whether keys that differ only in case are the same.

    Returns:
        A source result per key. The first row of a key counts.
    """
    matches = matches_of(keys, found, fold_case=fold_case)
    malformed = [AMBIGUOUS] * len(matches.ambiguous)
    ambiguous = SourceFailure(source, Code.SOURCE_MALFORMED, AMBIGUOUS)
    results: dict[UserId, SourceResult[R]] = dict.fromkeys(matches.ambiguous, ambiguous)
    for key, row in zip(matches.rows, read(matches.rows), strict=True):
        if isinstance(row, RowDamage):
            results[key] = result_of(source, row)
            malformed.append(row.text)
        else:
            results[key] = row
    answers = [results.get(key, remainder.answer) for key in keys]
    other_case = {
        place: name
        for place, key in enumerate(keys)
        if (index := matches.rows.get(key)) is not None
        and (name := found[index]) != key
        and differs_in_case(key, name)
    }
    return Rows(
        answers,
        malformed,
        matches.duplicate,
        matches.unasked,
        remainder,
        other_case=other_case,
    )


def differs_in_case(key: UserId, found: str) -> bool:
    """Return whether a row could be of another user, whose key differs in case.

    Args:
        key: The requested key.
        found: The key of its row, which is the same without case.

    Returns:
        Whether they differ. UUIDs do not, because case has no meaning in them.
    """
    return found != key and folded(found) != folded(key)


def result_of(source: str, row: R | RowDamage[R] | None) -> SourceResult[R]:
    """Return the source result for what was read of a row.

    Args:
        source: Name of the source.
        row: The record, or what does not fit; ``None`` if the row counts as absent.

    Returns:
        The record, possibly damaged; a failure if the row as a whole does not fit.
    """
    if not isinstance(row, RowDamage):
        return row
    if row.record is None:
        return SourceFailure(source, Code.SOURCE_MALFORMED, row.text)
    return DamagedRecord(
        row.record,
        {
            name: SourceFailure(source, Code.SOURCE_MALFORMED, detail)
            for name, detail in row.wrong.items()
        },
    )


AS_A_LIST = AnswerSettings(max_rows=100_000)
"""Settings to read a response row by row: a list, with a limit on its length."""


class RowReader(Generic[R]):
    """Reads the responses of one source: a JSON array of rows, in any order.

    Args:
        spec: The source.
        fold_case: Whether keys that differ only in case are the same.
        decoders: Creates the decoder from bytes to records.
    """

    def __init__(
        self,
        spec: SourceSpec[R],
        *,
        fold_case: bool = False,
        decoders: DecoderFactory = validating_decoder,
    ) -> None:
        self._spec = spec
        self._fold_case = fold_case
        self._decode = decoders(spec.record)
        self._contract = RowContract(spec.record)
        self._key = attrgetter(spec.key)
        self._written_key = spec.record.model_fields[spec.key].alias or spec.key

    def read(self, body: bytes, keys: Sequence[UserId]) -> Rows[R]:
        """Read a response.

        The bytes are decoded directly to records. If that fails, the rows are read one by one, so
        that a malformed value affects only its own field.

        Args:
            body: The JSON text.
            keys: The requested keys.

        Returns:
            A source result per key. The first row of a key counts.

        Raises:
            MalformedError: The body is not a JSON array.
        """
        rows = self.read_whole(body, keys)
        return self.read_each(body, keys) if rows is None else rows

    def read_whole(self, body: bytes, keys: Sequence[UserId]) -> Rows[R] | None:
        """Read a response in which each row fits.

        Args:
            body: The JSON text.
            keys: The requested keys.

        Returns:
            A source result per key; ``None`` if anything in the response does not fit.
        """
        try:
            records = self._decode(body)
        except ValidationError:
            return None
        # In reverse order, so that the first row of a key remains.
        found = dict(zip(map(self._key, reversed(records)), reversed(records), strict=True))
        wanted: set[str] = set(keys)
        unasked, known = 0, len(found)
        if not wanted.issuperset(found):
            unasked = sum(self._key(record) not in wanted for record in records)
            known = len(wanted & found.keys())
        if known < len(keys) and may_be_of_another_case(keys, found, unasked=unasked):
            every = [*map(self._key, records)]
            return self._matched(
                keys, every, lambda rows: [records[index] for index in rows.values()], NOTHING
            )
        answers: list[SourceResult[R]] = [*map(found.get, keys)]
        return Rows(answers, [], len(records) - unasked - known, unasked)

    def read_each(self, body: bytes, keys: Sequence[UserId]) -> Rows[R]:
        """Read the rows one by one, and validate only those with requested keys.

        Args:
            body: The JSON text.
            keys: The requested keys.

        Returns:
            A source result per key. A malformed value affects only its own field.

        Raises:
            MalformedError: The body is not a JSON array.
        """
        document = scan(body, AS_A_LIST)
        if body.strip() == b"null":
            raise MalformedError("expected a list of rows, got nothing")
        values = document.rows or ()
        found = [key_of(value, self._written_key) for value in values]
        keyed = [value for value, key in zip(values, found, strict=True) if key is not None]
        remainder, missing = NOTHING, list[str]()
        if not document.ended:
            missing.append(f"more than {AS_A_LIST.max_rows:,} rows")
        elif None in found:
            # It may belong to any key without a row: "unknown" would be a guess.
            missing.append("a row without a key")
        if missing:
            failure = SourceFailure(self._spec.name, Code.SOURCE_MALFORMED, missing[0])
            remainder = Remainder(failure, failure)

        def read(rows: Mapping[UserId, int]) -> Sequence[R | RowDamage[R]]:
            return [self._contract.read(keyed[index]) for index in rows.values()]

        rows = self._matched(keys, [key for key in found if key is not None], read, remainder)
        rows.malformed += missing
        return rows

    def _matched(
        self,
        keys: Sequence[UserId],
        found: Sequence[str],
        read: RowReading[R],
        remainder: Remainder,
    ) -> Rows[R]:
        """Return the result of each key, from the row that matches it."""
        name, fold_case = self._spec.name, self._fold_case
        return match_rows(name, keys, found, read, remainder, fold_case=fold_case)


def key_of(row: object, name: str) -> str | None:
    """Return the key of a row.

    Args:
        row: The row.
        name: The name of its member with the key.

    Returns:
        The key; ``None`` if the row has no readable key.
    """
    if not isinstance(row, dict):
        return None
    key = cast("dict[str, object]", row).get(name)
    return key if isinstance(key, str) and is_text(key) else None


class RawAnswer(Struct, frozen=True):
    """A response of a service.

    Attributes:
        status: Its HTTP status.
        headers: Its headers, by names in lower case. Several headers with one name are one value,
            separated by commas (RFC 9110, section 5.3). They are parsed only when they are read.
        body: Its body, decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Reader(Protocol[R_co]):
    """Reads the source results of keys from a response, which may have several pages."""

    def read(self, answer: RawAnswer, keys: Sequence[UserId]) -> "Rows[Any]":
        """Read one page.

        Args:
            answer: The response.
            keys: The requested keys.

        Returns:
            What the page has of each key, in the order of ``keys``.

        Raises:
            MalformedError: The response as a whole does not fit the contract.
            ValidationError: The same, found by pydantic.
        """
        ...

    def merged(self, first: "Rows[Any]", second: "Rows[Any]") -> "Rows[Any]":
        """Merge two pages.

        Args:
            first: The rows so far.
            second: The next page, for the same keys.

        Returns:
            The rows of both pages.
        """
        ...

    def results(self, rows: "Rows[Any]", keys: Sequence[UserId]) -> Sequence[SourceResult[R_co]]:
        """Return the results after the last page.

        Args:
            rows: The rows of all pages. What is wrong with them is added to ``malformed``.
            keys: The requested keys.

        Returns:
            A source result per key, in the order of ``keys``.
        """
        ...

    def unknown(self, user: UserId, facts: ResponseFacts) -> SourceResult[R_co]:
        """Return the result of a key without a row.

        Args:
            user: The key.
            facts: The response.

        Returns:
            ``None``, or the record of a user without a row, if the settings say so.
        """
        ...
