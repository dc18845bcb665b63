"""Knowing UUIDs, which most services have as their users' ids."""

from collections.abc import Sequence

_LENGTH = 36
_HYPHENS = (8, 13, 18, 23)
_BYTES = 16


def are_uuids(texts: Sequence[str]) -> bool:
    """Tell whether texts are UUIDs, as RFC 9562, section 4, writes them.

    They are looked at all together: a pattern takes three times as long for a list of fifty.

    Args:
        texts: The texts.

    Returns:
        Whether each of them is one, in either case of letters.
    """
    count, joined = len(texts), "".join(texts)
    if {*map(len, texts)} != {_LENGTH}:
        return False
    if any(joined[place::_LENGTH] != "-" * count for place in _HYPHENS):
        return False
    try:
        return len(bytes.fromhex(joined.replace("-", ""))) == _BYTES * count
    except ValueError:
        return False
