"""The store of the entity cache: its interface, and an implementation in memory.

An entry has its key and the time of day at which it was fetched, so that processes can share a
store. A store does not decide how old an entry may be; ``entity_cache.py`` does.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

from app.sources.base import FieldSet, R_co, Record, UserId
from app.sources.cache.lifetime import UNBOUNDED, Lifetime

R = TypeVar("R", bound=Record)


class StoreError(Exception):
    """A store failed, or was too slow. The cache logs it, and works without the store."""


class EntryKey(NamedTuple):
    """The key of an entry; a tuple, because many are created and compared.

    Attributes:
        source: Name of the source.
        identity: The identity of the caller (``RequestContext.identity``).
        user: The key of the user.
    """

    source: str
    identity: str
    user: UserId


@dataclass(frozen=True, slots=True)
class Entry(Generic[R_co]):
    """A source result that is kept.

    Attributes:
        key: The key of the entry.
        record: The record; ``None`` if the source did not know the user.
        fetched_at: When the response arrived, by the time of day.
        lifetime: How long the service allows to keep it.
        fields: The fields of the record, if only some were requested; ``None`` for all.
    """

    key: EntryKey
    record: R_co | None
    fetched_at: datetime
    lifetime: Lifetime = UNBOUNDED
    fields: FieldSet | None = None

    def holds(self, fields: FieldSet | None) -> bool:
        """Return whether the entry has some fields. An unknown user has no fields to lack.

        Args:
            fields: The fields; ``None`` for all.

        Returns:
            Whether it has all of them.
        """
        if self.fields is None or self.record is None:
            return True
        return fields is not None and self.fields >= fields

    def age(self, now: datetime) -> float:
        """Return the age of the entry.

        Args:
            now: The time of day.

        Returns:
            Seconds; negative if the clock was set back meanwhile.
        """
        return (now - self.fetched_at).total_seconds()


class EntityStore(Protocol[R]):
    """Keeps entries, and may remove any of them at any time.

    It is async because a shared store is reached over a network. A store limits its own time to far
    less than the time of a request. If it fails, it raises ``StoreError`` and nothing else.
    """

    async def get_many(self, keys: Sequence[EntryKey]) -> Sequence[Entry[R] | None]:
        """Look up entries.

        Args:
            keys: The keys of the entries.

        Returns:
            One entry per key, in their order; ``None`` if there is none.

        Raises:
            StoreError: The store failed, or was too slow.
        """
        ...

    async def put_many(self, entries: Sequence[Entry[R]]) -> None:
        """Keep entries. They replace entries with the same keys.

        Args:
            entries: The entries.

        Raises:
            StoreError: The store failed, or was too slow.
        """
        ...


UNKNOWN_SHARE = 10
"""Unknown users may take this part of a full store: one tenth."""


class MemoryStore(Generic[R]):
    """An ``EntityStore`` in this process. It removes the least recently used entries.

    A client that requests invented users must not displace real ones. So records and unknown users
    have separate LRU lists. A full store removes an unknown user if these take more than their
    share, and a record otherwise.
    """

    def __init__(self, max_entries: int) -> None:
        """Create an empty store.

        Args:
            max_entries: Maximum number of entries, at least 1.
        """
        self._max = max_entries
        self._records: OrderedDict[EntryKey, Entry[R]] = OrderedDict()
        self._unknown: OrderedDict[EntryKey, Entry[R]] = OrderedDict()

    @property
    def size(self) -> int:
        """Number of entries."""
        return len(self._records) + len(self._unknown)

    async def get_many(self, keys: Sequence[EntryKey]) -> Sequence[Entry[R] | None]:
        """Look up entries, and mark them as recently used. Never raises.

        Args:
            keys: The keys of the entries.

        Returns:
            One entry per key, in their order; ``None`` if there is none.
        """
        return [self._get(key) for key in keys]

    async def put_many(self, entries: Sequence[Entry[R]]) -> None:
        """Keep entries, and remove old ones above ``max_entries``. Never raises.

        Args:
            entries: The entries.
        """
        for entry in entries:
            self._records.pop(entry.key, None)
            self._unknown.pop(entry.key, None)
            (self._unknown if entry.record is None else self._records)[entry.key] = entry
            if self.size > self._max:
                crowded = len(self._unknown) > self._max // UNKNOWN_SHARE
                (self._unknown if crowded else self._records).popitem(last=False)

    def _get(self, key: EntryKey) -> Entry[R] | None:
        """Return one entry."""
        for kept in (self._records, self._unknown):
            if key in kept:
                kept.move_to_end(key)
                return kept[key]
        return None
