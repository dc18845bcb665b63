"""From the bytes of an answer to one answer a key. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from app.errors import Code, MalformedError, SourceError, what_is_wrong
from app.sources.base import Record, SourceSpec, UserId

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Rows(Generic[R]):
    """What an answer holds for the keys that were asked.

    Attributes:
        answers: One a key, in the order of the keys.
        malformed: What is wrong with each row that does not fit the contract.
        duplicate: Rows passed over, since another came before them for the same key.
        unasked: Rows passed over, since nobody asked for their key.
    """

    answers: list[R | SourceError | None]
    malformed: list[str]
    duplicate: int
    unasked: int

    @property
    def odd(self) -> bool:
        """Whether something was passed over or did not fit."""
        return bool(self.malformed or self.duplicate or self.unasked)


class RowReader(Generic[R]):
    """Reads the answers of one source: a JSON array of rows, in any order."""

    def __init__(self, spec: SourceSpec[R]) -> None:
        self._spec = spec
        self._all: TypeAdapter[list[R]] = TypeAdapter(list[spec.record])  # type: ignore[name-defined] # a type at run time
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
        malformed: list[str] = []
        rows: list[tuple[str | None, R | SourceError]]
        try:
            rows = [(self._key(record), record) for record in self._all.validate_json(body)]
        except ValidationError:
            rows = list(self._read_each(body, malformed))
        found: dict[str | None, R | SourceError] = {}
        for key, answer in rows:
            found.setdefault(key, answer)
        # A row without a key may be anyone's who has no other row: "unknown" would be a guess.
        nobody = found.pop(None, None)
        return Rows(
            answers=[found.get(key, nobody) for key in keys],
            malformed=malformed,
            duplicate=sum(key is not None for key, _ in rows) - len(found),
            unasked=len(found.keys() - set(keys)),
        )

    def _read_each(
        self, body: bytes, malformed: list[str]
    ) -> Iterator[tuple[str | None, R | SourceError]]:
        """Read the rows one by one.

        Args:
            body: The JSON text.
            malformed: Takes what is wrong with each row that does not fit.

        Yields:
            Key and answer of each row; no key where the row has none that can be read.

        Raises:
            MalformedError: The body is no JSON array.
        """
        try:
            raw_rows: object = from_json(body)
        except ValueError as error:
            raise MalformedError(f"not JSON: {error}") from error
        if not isinstance(raw_rows, list):
            raise MalformedError(f"expected a JSON array, got {type(raw_rows).__name__}")
        for raw in cast("list[object]", raw_rows):
            try:
                # By way of JSON again: strict parsing takes a time from JSON text only.
                record = self._spec.record.model_validate_json(to_json(raw))
            except ValidationError as error:
                malformed.append(what_is_wrong(error))
                failure = SourceError(self._spec.name, Code.SOURCE_MALFORMED, malformed[-1])
                row = cast("dict[str, object]", raw) if isinstance(raw, dict) else {}
                key = row.get(self._written_key)
                yield key if isinstance(key, str) else None, failure
            else:
                yield self._key(record), record
