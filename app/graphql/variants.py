"""What operations select and were compiled to, of all documents together, bounded by its bytes.

One operation has as many variants as its switches have combinations: six of them have 64, and each
is as large as the document. So the variants of all operations share one bound.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

from app.bounded import BoundedCache
from app.execution.plan import RootSelection
from app.execution.render import CompiledOperation
from app.graphql.sizes import selection_bytes


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
