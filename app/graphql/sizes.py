"""How many bytes documents and their selections have in memory: estimates, by what is in them.

Counting all of their objects would take longer than making them. The figures were measured by
tracemalloc with CPython 3.11, and a test holds the estimates to be within a factor of two of what
it says.
"""

import sys
from collections.abc import Sequence

from app.execution.plan import PlannedField, RootSelection

DOCUMENT_BYTES = 1_500
"""A document without anything in it."""

TREE_BYTES = 4_500
"""What the syntax tree, the price and the operations of a document have beside their tokens."""

TOKEN_BYTES = 345
"""A token, with what nodes of the tree there are for each on average."""

ERROR_BYTES = 700
"""An error with its place and its message."""

VARIABLE_BYTES = 1_000
"""What is kept to coerce the values of a variable."""

SELECTION_BYTES = 900
"""A variant of an operation without anything in it, and each of its root fields."""

USERS_BYTES = 600
"""What is selected of users, without the fields."""

FIELD_BYTES = 330
"""A field with the list of its places in the document."""


def document_bytes(text: str, *, tokens: int, errors: int, variables: int) -> int:
    """Estimate how many bytes a prepared document has.

    Args:
        text: Its text.
        tokens: How many tokens its syntax tree was made of; 0 where there is none.
        errors: What is wrong with it: how many errors are kept.
        variables: How many variables its operations have.

    Returns:
        The estimate.
    """
    # The text itself, and once more for what of it are texts of their own in the tree.
    size = DOCUMENT_BYTES + 2 * sys.getsizeof(text)
    if tokens:
        size += TREE_BYTES + TOKEN_BYTES * tokens
    return size + ERROR_BYTES * errors + VARIABLE_BYTES * variables


def selection_bytes(roots: Sequence[RootSelection]) -> int:
    """Estimate how many bytes it takes to know what an operation selects.

    Args:
        roots: Its root fields.

    Returns:
        The estimate.
    """
    size = SELECTION_BYTES * (1 + len(roots))
    for root in roots:
        for one in {id(one): one for one in (root.others, root.own) if one is not None}.values():
            size += USERS_BYTES + FIELD_BYTES * _count(one.fields)
    return size


def _count(fields: Sequence[PlannedField]) -> int:
    """Count fields and those in them."""
    return sum(1 + _count(one.fields) for one in fields)
