"""Variants of operations: what they select and were compiled to, bounded by their bytes.

How many bytes documents and their selections have in memory: estimates, by what is in them.

Counting all of their objects would take longer than making them. The figures were measured by
tracemalloc with CPython 3.11, and a test holds the estimates to be within a factor of two of what
it says.

What operations select and were compiled to, of all documents together, bounded by its bytes.

One operation has as many variants as its switches have combinations: six of them have 64, and each
is as large as the document. So the variants of all operations share one bound.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

from app.execution.bounded_cache import BoundedCache
from app.execution.plan import PlannedField, RootSelection
from app.execution.render import CompiledOperation

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


@dataclass(frozen=True, slots=True)
class Variant:
    """An operation for some values of the variables that decide what it selects.

    Attributes:
        roots: Its root fields and what they select.
        compiled: What writes its answer; ``None`` where only the executor can.
        not_compiled: Why only the executor can, where that is so.
    """

    roots: Sequence[RootSelection]
    compiled: CompiledOperation | None = None
    not_compiled: str | None = None


VariantKey: TypeAlias = tuple[int, tuple[str, ...], frozenset[str]]
"""The number of the operation, the values of the variables that decide, and the caller's scopes."""


class Variants:
    """Keeps the variants of operations that were used last. Shared by all documents."""

    def __init__(self, max_bytes: int) -> None:
        """Make a cache.

        Args:
            max_bytes: How many bytes the variants may have together; 0 to keep none.
        """
        self._kept = BoundedCache[VariantKey, Variant](max_bytes, dropped=self._unlist)
        self._of_operation: dict[int, set[VariantKey]] = {}
        self._numbers = count()

    @property
    def bytes(self) -> int:
        """How many bytes the variants have, by estimate."""
        return self._kept.bytes

    def __len__(self) -> int:
        """Count the variants."""
        return len(self._kept)

    def number(self) -> int:
        """Give an operation its number, which no other ever gets."""
        return next(self._numbers)

    def get(self, key: VariantKey) -> Variant | None:
        """Find a variant.

        Args:
            key: Its key.

        Returns:
            The variant; ``None`` where it is not kept.
        """
        return self._kept.get(key)

    def keep(self, key: VariantKey, variant: Variant) -> None:
        """Keep a variant.

        Args:
            key: Its key.
            variant: The variant.
        """
        size = selection_bytes(variant.roots)
        if variant.compiled is not None:
            size += variant.compiled.bytes
        self._of_operation.setdefault(key[0], set()).add(key)
        self._kept.put(key, variant, size + sum(map(sys.getsizeof, (key, key[1], *key[1]))))

    def forget(self, number: int) -> None:
        """Let go of all variants of an operation, whose document is no longer kept.

        Args:
            number: The number of the operation.
        """
        for key in self._of_operation.pop(number, ()):
            self._kept.remove(key)

    def _unlist(self, key: VariantKey, _: Variant) -> None:
        """Take a variant that has made room out of those of its operation."""
        keys = self._of_operation.get(key[0])
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self._of_operation[key[0]]
