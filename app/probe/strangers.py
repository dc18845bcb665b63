"""Ids of users who do not exist, for requests that show how a service treats one. Pure."""

import re
from collections.abc import Collection

_IDS = ("00000000-0000-0000-0000-000000000000", "0", "nobody", "nobody@example.com")
"""Ids that no user has."""


def stranger_beside(users: Collection[str], pattern: re.Pattern[str]) -> str | None:
    """Return the id of a user who does not exist.

    Args:
        users: Other users.
        pattern: The pattern of ids.

    Returns:
        The id; ``None`` if no example matches the pattern.
    """
    return next((one for one in _IDS if pattern.fullmatch(one) and one not in users), None)
