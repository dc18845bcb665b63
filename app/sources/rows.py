"""From the bytes of an answer to one answer a key. Pure."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Generic, TypeVar, cast

from pydantic import ValidationError

from app.errors import Code, MalformedError, SourceError
from app.readonly import readonly
from app.shapes.answer import AnswerSettings
from app.sources.base import Record, SourceSpec, UserId
from app.sources.contract import RowContract
from app.sources.decoding import DecoderFactory, validating_decoder
from app.sources.matching import AMBIGUOUS, matches_of, may_be_of_another_case
from app.sources.more import More, NextPage
from app.sources.scan import is_text, scan

R = TypeVar("R", bound=Record)


@readonly(frozen=True, slots=True)
class Rest:
    """What there is beyond the rows of an answer.

    Attributes:
        answer: The answer for each key without a row: ``None`` when the source does not know it, a
            failure when that cannot be told. It is among the answers as this very object.
        nameless: That failure, where it is due to a row without a key.
        more: What the answer does not hold; ``None`` when it holds all there is.
        count: How many rows there are so far.
        total: How many there are on all pages, where only that tells whether more follow.
    """

    answer: SourceError | None = None
    nameless: SourceError | None = None
    more: More | None = None
    count: int = 0
    total: int | None = None


NOTHING = Rest()
"""Beyond an answer that holds all there is."""


@readonly(frozen=True, slots=True)
class Rows(Generic[R]):
    """What an answer holds for the keys that were asked.

    Attributes:
        answers: One a key, in the order of the keys.
        malformed: What is wrong with each row that does not fit the contract.
        duplicate: Rows passed over, since another came before them for the same key.
        unasked: Rows passed over, since nobody asked for their key.
        rest: What there is beyond them.
    """

    answers: list[R | SourceError | None]
    malformed: list[str]
    duplicate: int
    unasked: int
    rest: Rest = NOTHING

    @property
    def odd(self) -> bool:
        """Whether something was passed over or did not fit."""
        return bool(self.malformed or self.duplicate or self.unasked)

    @property
    def found(self) -> int:
        """How many keys have a row, whether that fits the contract or not."""
        return sum(answer is not self.rest.answer for answer in self.answers)

    @property
    def truncated(self) -> bool:
        """Whether there is more than the answer holds."""
        return self.rest.more is not None

    @property
    def next(self) -> NextPage | None:
        """Where to go on, if a key has no row yet and there is somewhere to go."""
        more = self.rest.more
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
        answers: list[R | SourceError | None] = [*map(found.get, keys)]
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
        otherwise: SourceError | None = None
        if missing is not None:
            malformed.append(missing)
            otherwise = self._failure(missing)
        answers: list[R | SourceError | None] = []
        for key in keys:
            if key in matches.rows:
                answers.append(read_rows[matches.rows[key]])
            else:
                answers.append(self._failure(AMBIGUOUS) if key in matches.ambiguous else otherwise)
        rest = Rest(otherwise, otherwise)
        return Rows(answers, malformed, matches.duplicate, matches.unasked, rest)

    def _failure(self, detail: str) -> SourceError:
        """Say that a row does not fit."""
        return SourceError(self._spec.name, Code.SOURCE_MALFORMED, detail)


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
