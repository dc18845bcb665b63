"""How many examples a property makes: some in each run, and many where somebody looks for new ones.

A run of the tests makes the same examples each time (profile ``gateway`` in ``conftest.py``), so
that more of them find something only once. ``--hypothesis-profile random`` makes others each time,
and all of them.
"""

import os

from hypothesis import settings

ALL = 100
"""The examples of a property that says nothing else, where all are made."""

FEWEST = 10
"""A property that has more than these keeps as many, whatever the profile."""


def examples(number: int, variable: str | None = None) -> int:
    """Return how many examples a property makes in this run.

    Args:
        number: How many are all of them.
        variable: A variable of the environment that says another number, whatever the profile.

    Returns:
        All of them by the profile ``random``, and the same share for every property by another.
    """
    if variable is not None and variable in os.environ:
        return int(os.environ[variable])
    share = number * settings().max_examples // ALL
    return max(share, min(number, FEWEST))
