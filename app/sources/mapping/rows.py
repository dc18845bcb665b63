"""From the bytes of an answer to one source result a key: rows, and whose they are. Pure.

Which row of an answer is of which key that was asked for. Pure.

From the bytes of an answer to one answer a key. Pure.

What comes back from a service, and what makes answers for keys of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, Protocol, TypeVar, cast

from pydantic import ValidationError

from app.errors import Code, MalformedError, SourceFailure
from app.expressions.ids import folded
from app.readonly import readonly
from app.settings.response import AnswerSettings
from app.sources.base import Record, SourceSpec, UserId
from app.sources.mapping.contract import RowContract
from app.sources.mapping.decoding import DecoderFactory, validating_decoder
from app.sources.mapping.paging import More, NextPage
from app.sources.mapping.scan import is_text, scan

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


R = TypeVar("R", bound=Record)


@readonly(frozen=True, slots=True)
class Remainder:
    """What there is beyond the rows of an answer.

    Attributes:
        answer: The answer for each key without a row: ``None`` when the source does not know it, a
            failure when that cannot be told. It is among the answers as this very object.
        nameless: That failure, where it is due to a row without a key.
        more: What the answer does not hold; ``None`` when it holds all there is.
        count: How many rows there are so far.
        total: How many there are on all pages, where only that tells whether more follow.
    """

    answer: SourceFailure | None = None
    nameless: SourceFailure | None = None
    more: More | None = None
    count: int = 0
    total: int | None = None


NOTHING = Remainder()
"""Beyond an answer that holds all there is."""


@readonly(frozen=True, slots=True)
class Rows(Generic[R]):
    """What an answer holds for the keys that were asked.

    Attributes:
        answers: One a key, in the order of the keys.
        malformed: What is wrong with each row that does not fit the contract.
        duplicate: Rows passed over, since another came before them for the same key.
        unasked: Rows passed over, since nobody asked for their key.
        remainder: What there is beyond them.
    """

    answers: list[R | SourceFailure | None]
    malformed: list[str]
    duplicate: int
    unasked: int
    remainder: Remainder = NOTHING

    @property
    def unexpected(self) -> bool:
        """Whether something was passed over or did not fit."""
        return bool(self.malformed or self.duplicate or self.unasked)

    @property
    def found(self) -> int:
        """How many keys have a row, whether that fits the contract or not."""
        return sum(answer is not self.remainder.answer for answer in self.answers)

    @property
    def truncated(self) -> bool:
        """Whether there is more than the answer holds."""
        return self.remainder.more is not None

    @property
    def next(self) -> NextPage | None:
        """Where to go on, if a key has no row yet and there is somewhere to go."""
        more = self.remainder.more
        return None if more is None or self.found == len(self.answers) else more.next


AS_A_LIST = AnswerSettings(max_rows=100_000)
"""How an answer is read one row after the other: a list, and no more of it than takes a while."""


class RowReader(Generic[R]):
    """Reads the answers of one source: a JSON array of rows, in any order.

    Args:
        spec: The source.
        fold_case: Whether keys that differ in case alone are the same.
        decoders: Makes what reads bytes into records.
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
        """Read an answer.

        The bytes go straight into records. Only when that fails are the rows taken one by one, so
        that a bad row costs its own user alone.

        Args:
            body: The JSON text.
            keys: What was asked.

        Returns:
            An answer a key. The first row of a key counts.

        Raises:
            MalformedError: The body is no JSON array.
        """
        try:
            records = self._decode(body)
        except ValidationError:
            return self._read_each(body, keys)
        # From the last to the first, so that the first of a key is the one that stays.
        found = dict(zip(map(self._key, reversed(records)), reversed(records), strict=True))
        wanted: set[str] = set(keys)
        unasked, known = 0, len(found)
        if not wanted.issuperset(found):
            unasked = sum(self._key(record) not in wanted for record in records)
            known = len(wanted & found.keys())
        if known < len(keys) and may_be_of_another_case(keys, found, unasked=unasked):
            return self._matched(keys, [*map(self._key, records)], records.__getitem__)
        answers: list[R | SourceFailure | None] = [*map(found.get, keys)]
        return Rows(answers, [], len(records) - unasked - known, unasked)

    def _read_each(self, body: bytes, keys: Sequence[UserId]) -> Rows[R]:
        """Read the rows one by one, and no more of them than were asked for.

        Args:
            body: The JSON text.
            keys: What was asked.

        Returns:
            An answer a key.

        Raises:
            MalformedError: The body is no JSON array.
        """
        document = scan(body, AS_A_LIST)
        if body.strip() == b"null":
            raise MalformedError("expected a list of rows, got nothing")
        values = [row.value for row in document.rows or ()]
        found = [key_of(value, self._written_key) for value in values]
        keyed = [value for value, key in zip(values, found, strict=True) if key is not None]
        missing: str | None = None
        if not document.ended:
            missing = f"more than {AS_A_LIST.max_rows:,} rows"
        elif None in found:
            # It may be anyone's who has no other row: "unknown" would be a guess.
            missing = "a row without a key"

        def read(place: int) -> R | str:
            return self._contract.read(keyed[place])

        return self._matched(keys, [key for key in found if key is not None], read, missing)

    def _matched(
        self,
        keys: Sequence[UserId],
        found: Sequence[str],
        read: Callable[[int], R | str],
        missing: str | None = None,
    ) -> Rows[R]:
        """Find the row of each key.

        Args:
            keys: What was asked.
            found: The keys of the rows.
            read: Reads the row at a place, or says what is wrong with it.
            missing: Why a key without a row may have one all the same; ``None`` where it has none.

        Returns:
            An answer a key.
        """
        matches = matches_of(keys, found, fold_case=self._fold_case)
        rows = {place: read(place) for place in sorted({*matches.rows.values()})}
        malformed = [row for row in rows.values() if isinstance(row, str)]
        malformed += [AMBIGUOUS] * len(matches.ambiguous)
        read_rows = {
            place: self._failure(row) if isinstance(row, str) else row
            for place, row in rows.items()
        }
        otherwise: SourceFailure | None = None
        if missing is not None:
            malformed.append(missing)
            otherwise = self._failure(missing)
        answers: list[R | SourceFailure | None] = []
        for key in keys:
            if key in matches.rows:
                answers.append(read_rows[matches.rows[key]])
            else:
                answers.append(self._failure(AMBIGUOUS) if key in matches.ambiguous else otherwise)
        rest = Remainder(otherwise, otherwise)
        return Rows(answers, malformed, matches.duplicate, matches.unasked, rest)

    def _failure(self, detail: str) -> SourceFailure:
        """Say that a row does not fit."""
        return SourceFailure(self._spec.name, Code.SOURCE_MALFORMED, detail)


def key_of(row: object, name: str) -> str | None:
    """Find the key of a row.

    Args:
        row: The row.
        name: What it calls its key.

    Returns:
        The key; ``None`` where it has none that can be read.
    """
    if not isinstance(row, dict):
        return None
    key = cast("dict[str, object]", row).get(name)
    return key if isinstance(key, str) and is_text(key) else None


@readonly(frozen=True, slots=True)
class RawAnswer:
    """An answer of a service, as it came.

    Attributes:
        status: Its HTTP status.
        headers: Its headers, their names in lower case; several of one name are one value, with
            commas between (RFC 9110, section 5.3). Nothing is read of them before it is asked for.
        body: Its body, decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Reader(Protocol[R]):
    """Makes answers for keys of what a service said."""

    def read(self, answer: RawAnswer, keys: Sequence[UserId]) -> "Rows[R]":
        """Read an answer.

        Args:
            answer: The answer.
            keys: What was asked.

        Returns:
            An answer a key, in their order.

        Raises:
            MalformedError: It does not fit at all; so does pydantic's ``ValidationError``.
        """
        ...
