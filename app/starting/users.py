"""The users that are requested to see what services answer. Pure."""

import re
from collections.abc import Sequence

from msgspec import Struct

from app.expressions.ids import UUID_PATTERN
from app.probe.strangers import stranger_beside

PATTERNS = (
    UUID_PATTERN,
    re.compile(r"[0-9]{1,18}"),
    re.compile(r"[0-9A-Za-z][0-9A-Za-z._~@:+=|-]{0,127}"),
)
"""Patterns of ids: UUIDs, numbers, and all that is safe at any place of a request."""


class UserIdError(Exception):
    """An id cannot be requested. The message says what is wrong, and what is expected."""


class TriedUsers(Struct, frozen=True):
    """The users that are requested.

    Attributes:
        ids: The ids of users who exist.
        pattern: The narrowest of the patterns that all of them match.
        stranger: The id of a user who does not exist.
    """

    ids: Sequence[str]
    pattern: re.Pattern[str]
    stranger: str


def tried_users(ids: Sequence[str]) -> TriedUsers:
    """Choose the pattern of ids, and a user who does not exist.

    Args:
        ids: The ids of users who exist, at least one.

    Returns:
        The users.

    Raises:
        UserIdError: An id has other characters than those that are safe everywhere.
    """
    users = [*dict.fromkeys(one.strip() for one in ids)]
    for pattern in PATTERNS:
        stranger = stranger_beside(users, pattern)
        if stranger is not None and all(map(pattern.fullmatch, users)):
            return TriedUsers(users, pattern, stranger)
    wrong = next((one for one in users if not PATTERNS[-1].fullmatch(one)), users[0])
    raise UserIdError(f"{wrong!r}: expected an id of letters, digits and ._~@:+=|- after the first")
