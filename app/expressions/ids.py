"""Ids of users: recognises UUIDs, which most services use, and compares ids. Pure."""

import re
from string import ascii_lowercase, ascii_uppercase

UUID_PATTERN = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""A UUID as text; input may have either case (RFC 9562, section 4)."""

_EXAMPLE = "00000000-0000-4000-8000-000000000001"


def form_of(pattern: str) -> str:
    """Say which ids a pattern requires, in words where there are some.

    Args:
        pattern: The pattern of a whole id.

    Returns:
        The text after "expected".
    """
    if pattern == UUID_PATTERN.pattern:
        return f"a UUID, such as {_EXAMPLE}"
    return f"an id that matches {pattern}"


_SMALL = str.maketrans(ascii_uppercase, ascii_lowercase)


def folded(user: str, *, fold_case: bool = False) -> str:
    """Return the form of an id that is equal for equal users.

    Case has no meaning in a UUID. In any other id it may distinguish two users, unless the settings
    say that it does not. Even then only ASCII letters are folded: Unicode folds ``straße`` to
    ``strasse`` and the Kelvin sign to ``k``, which are different users.

    Args:
        user: The id, or the key by which a source knows a user.
        fold_case: Whether ids that differ only in case are the same.

    Returns:
        A text that is equal for two ids of the same user.
    """
    if fold_case or UUID_PATTERN.fullmatch(user):
        return user.translate(_SMALL)
    return user


def same_user(one: str, other: str, *, fold_case: bool = False) -> bool:
    """Return whether two ids are ids of the same user.

    Args:
        one: An id.
        other: Another id.
        fold_case: Whether ids that differ only in case are the same.

    Returns:
        Whether they are.
    """
    if one == other:
        return True
    if one.lower() != other.lower():  # cheap, and enough for most pairs
        return False
    return folded(one, fold_case=fold_case) == folded(other, fold_case=fold_case)
