"""What a client has to see of a user: each field of ``User``, from the row that it is read from."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fakes import Row


@dataclass(frozen=True)
class Field:
    """A field of ``User``.

    Attributes:
        name: Its public name.
        source: The source that it is read from.
        key: What it is called in the source's row.
        selection: What is selected of it, if it is an object.
        see: Makes what clients see of what the row has; the same, unless said.
    """

    name: str
    source: str
    key: str
    selection: str = ""
    see: Callable[[Any], object] = lambda value: value

    @property
    def asked(self) -> str:
        """The field as a query asks for it."""
        return f"{self.name} {self.selection}".rstrip()


FIELDS = (
    Field("username", "profile", "username"),
    Field("displayName", "profile", "displayName"),
    Field("email", "profile", "email"),
    Field("avatarUrl", "profile", "avatarUrl"),
    Field("locale", "profile", "locale"),
    Field("createdAt", "profile", "createdAt"),
    Field("plan", "billing", "plan"),
    Field("billingStatus", "billing", "status", see=lambda word: str(word).upper()),
    Field("balance", "billing", "balance", "{ amount currency }"),
    Field("renewsAt", "billing", "renewsAt"),
    Field("lastSeenAt", "activity", "lastSeenAt"),
    Field("loginCount", "activity", "loginCount"),
    Field("events", "activity", "events", "{ id type occurredAt }"),
)
"""Every field of ``User`` that takes one call for many users."""

ALL = " ".join(field.asked for field in FIELDS)
"""All of them, as a query asks for them."""


def seen(fields: Collection[Field], rows: Mapping[str, Row | None]) -> dict[str, object]:
    """Tell what a client has to see of a user.

    Args:
        fields: The fields asked for.
        rows: The row of each source; ``None``, or nothing, where its fields are null.

    Returns:
        The fields' values, by their names.
    """
    return {
        field.name: None if (row := rows.get(field.source)) is None else field.see(row[field.key])
        for field in fields
    }
