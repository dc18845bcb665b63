"""Misspelt names: which one was meant."""

import difflib
from collections.abc import Collection


def nearest(name: str, names: Collection[str], *, least: float = 0.6) -> str | None:
    """Offer the known name that is nearest to an unknown one.

    Args:
        name: What was written.
        names: What is known.
        least: How near it has to be, from 0 to 1.

    Returns:
        A question, or ``None`` when none is near.
    """
    near = difflib.get_close_matches(name, names, n=1, cutoff=least)
    return f"did you mean {near[0]}?" if near else None
