"""How the fields of a record are made from a row, and the keys of other sources in it. Pure.

A row may have keys of other sources (foreign keys): billing may know a user by a customer id that
only the user's row at profile has. The record of such a row holds the key next to its own fields,
also in the cache. The public schema cannot read it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from msgspec import Struct
from pydantic import JsonValue

from app.expressions.expression import NO_RESPONSE, EvaluationError, Expression, ResponseFacts
from app.sources.base import Record
from app.sources.mapping.scan import is_text

R = TypeVar("R", bound=Record)

FOREIGN_KEYS = "foreign keys"
"""The JSON name of the foreign keys in a record: no name of a public field. It is never read from a
row."""

_KINDS: Mapping[type, str] = {bool: "true or false", dict: "an object", list: "a list"}


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """The key of a user at another source.

    Attributes:
        key: The key; ``None`` if there is none.
        wrong: Why the value in its place is not a key, without the value; ``None`` if nothing is
            wrong.
    """

    key: str | None = None
    wrong: str | None = None

    @classmethod
    def of(
        cls, row: object, expression: Expression, facts: ResponseFacts = NO_RESPONSE
    ) -> "ForeignKey":
        """Read the key from a row.

        Args:
            row: The row of the service.
            expression: The expression for the key.
            facts: The response that the row is from.

        Returns:
            The key. An empty text means that there is none.
        """
        try:
            key = expression.evaluate(row, facts)
        except EvaluationError as error:
            return cls(wrong=f"{expression.text}: {error}")
        if key is None or key == "":
            return cls()
        if type(key) is int:
            return cls(key=str(key))
        if not isinstance(key, str):
            kind = _KINDS.get(type(key), "a number with a fraction")
            return cls(wrong=f"{expression.text}: expected text or a whole number, got {kind}")
        if not is_text(key):
            return cls(wrong=f"{expression.text}: expected text, got half a character")
        return cls(key=key)


class MappedField(Struct, frozen=True):
    """How one field of the record is made.

    Attributes:
        name: Its Python name.
        json_name: Its name in JSON.
        expression: The expression for its value; ``None`` if it is always the default.
        words: The record's word for each word of the service.
        default: Its value if it is missing.
    """

    name: str
    json_name: str
    expression: Expression | None
    words: Mapping[str, str]
    default: JsonValue

    def value(self, row: object, facts: ResponseFacts) -> object:
        """Return its value.

        Args:
            row: The row.
            facts: The response that the row is from.

        Returns:
            The value, in the words of the record; the default if it is missing.

        Raises:
            EvaluationError: The value cannot be used.
        """
        value = None if self.expression is None else self.expression.evaluate(row, facts)
        if self.words and isinstance(value, str):
            value = self.words.get(value, value)
        return self.default if value is None else value


class RecordPlan(Struct, Generic[R], frozen=True):
    """How the records of a source are made.

    Attributes:
        record: The type of the records.
        key: The name of the key in JSON. Its value is the requested key.
        fields: The other fields that are made; all further fields are missing.
        foreign_keys: The expressions for keys of other sources, by source name.
        reads_response: Whether an expression reads more of the response than the row.
    """

    record: type[R]
    key: str
    fields: Sequence[MappedField]
    foreign_keys: Mapping[str, Expression]
    reads_response: bool
