"""Addresses as messages may show them: without the secrets that somebody has written into them.

Keys belong into settings of their own, but they are written into addresses all the same: as a user
with a password (``https://user:password@host``), as a parameter (``?key=...``), as a fragment.
"""

import re

HIDDEN = "…"

_SCHEME = re.compile(r"[^:/?#@]*://")
_QUERY = re.compile(r"[?#]")
_PARAMETERS = re.compile(r"(?<![\[(])[?#][^=\s]+=")
"""Parameters, and no part of an expression (``[?a == 'b']``) or of a pattern (``(?:a=)``)."""


def is_address(text: str) -> bool:
    """Tell whether a value is an address, or the path of one, or is meant to be one.

    Args:
        text: The value of a setting.

    Returns:
        Whether it is.
    """
    return bool(_SCHEME.match(text) or text.startswith("/") or _PARAMETERS.search(text))


def without_secrets(text: str) -> str:
    """Hide what may be secret in an address.

    Args:
        text: The value of a setting, be it an address or not.

    Returns:
        It without the user and password before an ``@``; if it is an address, also without its
        query and its fragment. All else is as it was.
    """
    before, at, rest = text.rpartition("@")
    if is_address(text):
        scheme = _SCHEME.match(text)
        if at and _QUERY.search(before):
            # A parameter or a password: nobody can say where either ends.
            return (scheme[0] if scheme else "") + HIDDEN
        if query := _QUERY.search(rest):
            rest = rest[: query.end()] + HIDDEN
    return HIDDEN + at + rest if at else rest
