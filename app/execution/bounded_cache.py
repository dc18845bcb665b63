"""An LRU cache that is bounded by the bytes of its entries.

Clients decide how large an entry is, so a bound on the number of entries would not bound memory.
The cache needs no lock: only the event loop's thread uses it, and nothing in it waits.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

ENTRY_BYTES = 256
"""Bytes that the cache itself needs for an entry: its place in the order, and its size."""


class BoundedCache(Generic[K, V]):
    """Keeps the values that were used last, within a number of bytes.

    Attributes:
        bytes: The size of all entries, by the sizes that ``put`` was given.
    """

    def __init__(
        self,
        max_bytes: int,
        *,
        max_entries: int | None = None,
        dropped: Callable[[K, V], None] | None = None,
    ) -> None:
        """Make an empty cache.

        Args:
            max_bytes: The most bytes that all entries may have together; 0 keeps nothing.
            max_entries: The most entries; ``None`` for any number.
            dropped: Called with each entry that is evicted or does not fit, but not with one that
                is removed or replaced.
        """
        self.bytes = 0
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._dropped = dropped
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __contains__(self, key: K) -> bool:
        """Return whether the cache has the key; this does not count as a use."""
        return key in self._kept

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._kept)

    def get(self, key: K) -> V | None:
        """Return a value, and count this as a use.

        Args:
            key: The key of the value.

        Returns:
            The value; ``None`` if the cache does not have it.
        """
        entry = self._kept.get(key)
        if entry is None:
            return None
        self._kept.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Store a value, and evict the least recently used entries if there is no room.

        Args:
            key: The key of the value.
            value: The value. One that is larger than the whole cache is not stored.
            size: The bytes of key and value.
        """
        self.remove(key)
        size += ENTRY_BYTES
        if size > self._max_bytes or self._max_entries == 0:
            self._drop(key, value)
            return
        self._kept[key] = value, size
        self.bytes += size
        while self.bytes > self._max_bytes or (
            self._max_entries is not None and len(self._kept) > self._max_entries
        ):
            oldest, (old, old_size) = self._kept.popitem(last=False)
            self.bytes -= old_size
            self._drop(oldest, old)

    def items(self) -> Sequence[tuple[K, V]]:
        """List the entries; this does not count as a use.

        Returns:
            Each key with its value; the one that was used last is the last.
        """
        return [(key, value) for key, (value, _) in self._kept.items()]

    def remove(self, key: K) -> None:
        """Remove an entry, if the cache has it.

        Args:
            key: The key of the entry.
        """
        entry = self._kept.pop(key, None)
        if entry is not None:
            self.bytes -= entry[1]

    def _drop(self, key: K, value: V) -> None:
        """Report an entry that was evicted or does not fit."""
        if self._dropped is not None:
            self._dropped(key, value)
