"""From the bytes of an answer to one answer a key. Pure."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Generic, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from app.errors import Code, MalformedError, SourceError, what_is_wrong
from app.readonly import readonly
from app.sources.base import Record, SourceSpec, UserId
from app.sources.decoding import decoder_of
from app.sources.more import More, NextPage

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


class RowReader(Generic[R]):
    """Reads the answers of one source: a JSON array of rows, in any order."""

    def __init__(self, spec: SourceSpec[R]) -> None:
        self._spec = spec
        self._decode = decoder_of(spec.record)
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
        try:
            raw_rows: object = from_json(body)
        except ValueError as error:
            raise MalformedError("the body is not JSON") from error
        if not isinstance(raw_rows, list):
            raise MalformedError(f"expected a JSON array, got {type(raw_rows).__name__}")
        wanted: set[str] = set(keys)
        found: dict[str, R | SourceError] = {}
        malformed: list[str] = []
        nobody: SourceError | None = None
        duplicate = unasked = 0
        for raw in cast("list[object]", raw_rows):
            key = self._key_of(raw)
            if key is None:
                # It may be anyone's who has no other row: "unknown" would be a guess.
                nobody = nobody or self._malformed("a row without a key", malformed)
            elif key not in wanted:
                unasked += 1
            elif key in found:
                duplicate += 1
            else:
                found[key] = self._read_one(raw, malformed)
        return Rows(
            answers=[found.get(key, nobody) for key in keys],
            malformed=malformed,
            duplicate=duplicate,
            unasked=unasked,
        )

    def _key_of(self, raw: object) -> str | None:
        """Find the key of a row; ``None`` where it has none that can be read."""
        if not isinstance(raw, dict):
            return None
        key = cast("dict[str, object]", raw).get(self._written_key)
        return key if isinstance(key, str) else None

    def _read_one(self, raw: object, malformed: list[str]) -> R | SourceError:
        """Read one row."""
        try:
            # By way of JSON again: strict parsing takes a time from JSON text only.
            return self._spec.record.model_validate_json(to_json(raw))
        except ValidationError as error:
            return self._malformed(what_is_wrong(error), malformed)

    def _malformed(self, detail: str, malformed: list[str]) -> SourceError:
        """Take note of a row that does not fit."""
        malformed.append(detail)
        return SourceError(self._spec.name, Code.SOURCE_MALFORMED, detail)
