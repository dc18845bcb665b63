"""Variants of operations, kept within a bound of bytes; and estimates of these bytes.

One operation has as many variants as its switches have combinations. Six switches give 64 variants,
and each is as large as the document. So the variants of all operations share one bound.

The bytes of documents and selections are estimated from their contents, because counting all of
their objects would take longer than making them. The figures were measured by tracemalloc with
CPython 3.11. A test checks that the estimates are within a factor of two of what it measures.
"""

import sys
from collections.abc import Sequence
from itertools import count
from typing import TypeAlias

from msgspec import Struct

from app.execution.bounded_cache import BoundedCache
from app.execution.deferral import CompiledParts
from app.execution.plan import PlannedField, RootSelection
from app.execution.render import CompiledOperation, ExecutorReason, NotCompiled
from app.execution.request import OnError

DOCUMENT_BYTES = 1_500
"""Bytes of an empty document."""

TREE_BYTES = 4_500
"""Bytes of a document's syntax tree, price and operations, without the tokens."""

TOKEN_BYTES = 345
"""Bytes of a token, with the average share of nodes in the tree."""

ERROR_BYTES = 700
"""Bytes of an error with its location and its message."""

VARIABLE_BYTES = 1_000
"""Bytes of what is kept to coerce the values of a variable."""

SELECTION_BYTES = 900
"""Bytes of an empty variant, and of each root field."""

USERS_BYTES = 600
"""Bytes of a user selection, without the fields."""

FIELD_BYTES = 330
"""Bytes of a field with the list of its nodes in the document."""


def document_bytes(text: str, *, tokens: int, errors: int, variables: int) -> int:
    """Estimate how many bytes a prepared document has.

    Args:
        text: The text of the document.
        tokens: How many tokens the text has; 0 if there is no syntax tree.
        errors: How many errors are kept with it.
        variables: How many variables its operations have.

    Returns:
        The estimate, in bytes.
    """
    # The text itself, and once more for the copies of its parts in the tree.
    size = DOCUMENT_BYTES + 2 * sys.getsizeof(text)
    if tokens:
        size += TREE_BYTES + TOKEN_BYTES * tokens
    return size + ERROR_BYTES * errors + VARIABLE_BYTES * variables


def selection_bytes(roots: Sequence[RootSelection]) -> int:
    """Estimate how many bytes the selection of an operation has.

    Args:
        roots: The root fields of the operation.

    Returns:
        The estimate, in bytes.
    """
    size = SELECTION_BYTES * (1 + len(roots))
    for root in roots:
        for one in {id(one): one for one in (root.others, root.own) if one is not None}.values():
            size += USERS_BYTES + FIELD_BYTES * _count(one.fields)
    return size


def _count(fields: Sequence[PlannedField]) -> int:
    """Count fields and the fields inside them."""
    return sum(1 + _count(one.fields) for one in fields)


class Variant(Struct, frozen=True):
    """An operation for one set of deciding variable values and scopes.

    Attributes:
        roots: The root fields with their selections.
        compiled: The compiled operation; ``None`` if only the executor can run it.
        not_compiled: Why only the executor can run it; ``None`` if it is compiled.
        delays: Whether ``@defer`` or ``@stream`` applies, so that its answer can come in several
            payloads.
        parts: The compiled operation for an answer in several payloads; ``None`` if only the
            executor can make them.
    """

    roots: Sequence[RootSelection]
    compiled: CompiledOperation | None = None
    not_compiled: NotCompiled | None = None
    delays: bool = False
    parts: CompiledParts | None = None

    def not_compiled_for(self, on_error: OnError, *, in_parts: bool = False) -> NotCompiled | None:
        """Return why only the executor can run it for a request.

        Args:
            on_error: What an error does to the answer. With ``HALT``, the error of one root field
                ends the others while they wait. A compiled operation waits for all its sources.
            in_parts: Whether the answer comes in several payloads.

        Returns:
            Why; ``None`` if it can run compiled.
        """
        if self.not_compiled is not None:
            return self.not_compiled
        if in_parts and (self.parts is None or on_error != "NULL"):
            return _PAYLOADS
        return _HALTS if on_error == "HALT" and len(self.roots) > 1 else None


_HALTS = NotCompiled(ExecutorReason.HALT, "onError is HALT, for several root fields")

_PAYLOADS = NotCompiled(ExecutorReason.PAYLOADS, "payloads other than those of simple fragments")

VariantKey: TypeAlias = tuple[int, tuple[str, ...], frozenset[str]]
"""The number of the operation, the values of the deciding variables, and the caller's scopes."""


class Variants:
    """Keeps the variants of operations that were used last. Shared by all documents."""

    def __init__(self, max_bytes: int) -> None:
        """Make a cache.

        Args:
            max_bytes: The most bytes that all variants may have together; 0 keeps none.
        """
        self._kept = BoundedCache[VariantKey, Variant](max_bytes, dropped=self._remove_key)
        self._keys_by_operation: dict[int, set[VariantKey]] = {}
        self._numbers = count()

    @property
    def bytes(self) -> int:
        """The bytes of all variants, by estimate."""
        return self._kept.bytes

    def __len__(self) -> int:
        """Return the number of variants."""
        return len(self._kept)

    def next_number(self) -> int:
        """Return a number for an operation that no other operation gets.

        Returns:
            The number.
        """
        return next(self._numbers)

    def get(self, key: VariantKey) -> Variant | None:
        """Find a variant.

        Args:
            key: The key of the variant.

        Returns:
            The variant; ``None`` if it is not kept.
        """
        return self._kept.get(key)

    def keep(self, key: VariantKey, variant: Variant) -> None:
        """Keep a variant.

        Args:
            key: The key of the variant.
            variant: The variant.
        """
        size = selection_bytes(variant.roots)
        if variant.compiled is not None:
            size += variant.compiled.bytes
        if variant.parts is not None:
            size += sum(one.bytes for one in variant.parts.compiled)
            size += selection_bytes(
                [*variant.parts.roots, *(one.selection.root for one in variant.parts.deferred)]
            )
        self._keys_by_operation.setdefault(key[0], set()).add(key)
        self._kept.put(key, variant, size + sum(map(sys.getsizeof, (key, key[1], *key[1]))))

    def forget(self, number: int) -> None:
        """Remove all variants of an operation whose document is no longer kept.

        Args:
            number: The number of the operation.
        """
        for key in self._keys_by_operation.pop(number, ()):
            self._kept.remove(key)

    def _remove_key(self, key: VariantKey, _: Variant) -> None:
        """Remove the key of an evicted variant from the keys of its operation."""
        keys = self._keys_by_operation.get(key[0])
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self._keys_by_operation[key[0]]
