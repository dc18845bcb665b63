"""Keys of other sources in the rows of one: they stay with its record, wherever that is kept.

Billing may know a user by a customer id that only the user's row at profile has. The record of such
a row has the key beside its own fields, out of reach of what the public schema reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from pydantic import Field, create_model

from app.errors import Code, SourceError
from app.shapes.expression import EvaluationError, Expression
from app.sources.base import Record, UserId
from app.sources.scan import is_text

R = TypeVar("R", bound=Record)

FOREIGN_KEYS = "foreignKeys"
"""What a record with keys of other sources calls them in JSON. It is never read from a row."""

_KINDS: Mapping[type, str] = {bool: "true or false", dict: "an object", list: "a list"}


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """The key of a user at another source.

    Attributes:
        key: The key; ``None`` where there is none.
        wrong: Why there is none, where something else is in its place; says nothing of what.
    """

    key: str | None = None
    wrong: str | None = None

    @classmethod
    def of(cls, row: object, expression: Expression) -> "ForeignKey":
        """Find it in a row.

        Args:
            row: The row, as it came.
            expression: Where it is.

        Returns:
            The key. An empty text is none: there is nobody to ask for.
        """
        try:
            key = expression.of(row)
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


class HasForeignKeys(Record):
    """A record with keys of other sources."""

    foreign_keys: Mapping[str, ForeignKey] = Field(
        alias=FOREIGN_KEYS, description="The user's keys, by the names of the sources they are for."
    )


def with_foreign_keys(record: type[R]) -> type[R]:
    """Make the type of a source's records, where its rows have keys of other sources.

    Args:
        record: The type of its records otherwise.

    Returns:
        The same, that ``HasForeignKeys`` too.
    """
    return cast("type[R]", create_model(record.__name__, __base__=(record, HasForeignKeys)))


def wrong_foreign_keys(record: Record) -> Sequence[str]:
    """List what is wrong with the keys in a record, if it has some."""
    if not isinstance(record, HasForeignKeys):
        return ()
    return [one.wrong for one in record.foreign_keys.values() if one.wrong is not None]


def foreign_key_of(
    answer: Record | SourceError | None, *, source: str, parent: str
) -> UserId | SourceError | None:
    """Find the key of a user at a source, in what another source said of the user.

    Args:
        answer: What that one said.
        source: The source that the key is for.
        parent: The one that said it.

    Returns:
        The key; ``None`` where there is none, or no such user; the failure of ``parent`` where it
        failed, or has something there that is no key.

    Raises:
        TypeError: Its records have no keys of others: a bug of ours.
    """
    if answer is None or isinstance(answer, SourceError):
        return answer
    keys: Mapping[str, ForeignKey] | None = getattr(answer, "foreign_keys", None)
    if keys is None:  # a joined record has them by no type of its own
        raise TypeError(f"a record of {parent} without foreign keys")
    found = keys[source]
    if found.wrong is not None:
        return SourceError(parent, Code.SOURCE_MALFORMED, f"the key of {source}: {found.wrong}")
    return None if found.key is None else UserId(found.key)
