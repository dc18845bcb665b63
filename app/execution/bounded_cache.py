"""A cache that is bounded by how many bytes it has, in the order of last use.

What clients send decides how large an entry is, so that a bound on the number of entries alone is
none on memory. It needs no lock: only the event loop's thread uses it, and nothing in it waits.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

ENTRY_BYTES = 256
"""What the cache itself needs for an entry: its place in the order, and its size."""


class BoundedCache(Generic[K, V]):
    """Keeps the values that were used last, as many as fit into some bytes.

    Attributes:
        bytes: How many bytes its entries have, by the sizes that it was given.
    """

    def __init__(
        self,
        max_bytes: int,
        *,
        max_entries: int | None = None,
        dropped: Callable[[K, V], None] | None = None,
    ) -> None:
        """Make it, empty.

        Args:
            max_bytes: How many bytes its entries may have together; 0 to keep nothing.
            max_entries: How many entries there may be beside that; ``None`` for any number.
            dropped: Is called with each entry that makes room or has none, but not with one that is
                removed or replaced.
        """
        self.bytes = 0
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._dropped = dropped
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __contains__(self, key: K) -> bool:
        """Tell whether there is an entry; this is no use of it."""
        return key in self._kept

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._kept)

    def get(self, key: K) -> V | None:
        """Find a value, which is a use of it.

        Args:
            key: Its key.

        Returns:
            The value; ``None`` where there is none.
        """
        entry = self._kept.get(key)
        if entry is None:
            return None
        self._kept.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value, in place of those that were used longest ago.

        Args:
            key: Its key.
            value: The value. It is not kept where it is larger than all there is room for.
            size: How many bytes the key and the value have.
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

    def remove(self, key: K) -> None:
        """Let go of an entry, where there is one.

        Args:
            key: Its key.
        """
        entry = self._kept.pop(key, None)
        if entry is not None:
            self.bytes -= entry[1]

    def _drop(self, key: K, value: V) -> None:
        """Say that an entry is no longer there."""
        if self._dropped is not None:
            self._dropped(key, value)
