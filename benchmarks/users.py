"""The users that the upstream knows."""

import hashlib
from enum import StrEnum
from typing import Final

USERS: Final = 1000
"""How many there are; they are numbered from 1."""


class Ids(StrEnum):
    """What the ids of the users look like."""

    RANDOM = "random"
    """Like random UUIDs, made from a digest of the user's number."""

    PATTERNED = "patterned"
    """``00000000-0000-4000-8000-`` and the user's number in twelve digits."""


def user_id(number: int, ids: Ids = Ids.RANDOM) -> str:
    """Tell a user's id, as ``upstream/sources.lua`` does.

    Args:
        number: The user's number.
        ids: What ids look like.

    Returns:
        A UUID of version 4.
    """
    if ids is Ids.PATTERNED:
        return f"00000000-0000-4000-8000-{number:012d}"
    digest = hashlib.md5(f"user-{number}".encode(), usedforsecurity=False).hexdigest()
    variant = f"{8 + int(digest[16], 16) % 4:x}"
    groups = digest[:8], digest[8:12], f"4{digest[13:16]}", f"{variant}{digest[17:20]}", digest[20:]
    return "-".join(groups)
