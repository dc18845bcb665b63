"""The store of the entity cache: the entries of one source, in the memory of this process.

A store does not decide how old an entry may be; ``entity_cache.py`` does.
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Generic, NamedTuple, TypeVar

import msgspec

from app.sources.base import FieldSet, R_co, Record, UserId
from app.sources.cache.lifetime import UNBOUNDED, Lifetime, SeenResponse

R = TypeVar("R", bound=Record)


NEVER = datetime.min.replace(tzinfo=UTC)


class EntryKey(NamedTuple):
    """The key of an entry; a tuple, because many are created and compared.

    Attributes:
        identity: The identity of the caller (``RequestContext.identity``).
        user: The key of the user.
    """

    identity: str
    user: UserId


class Entry(msgspec.Struct, Generic[R_co], frozen=True, eq=False):
    """A source result that is kept. A struct, because it takes a quarter of a dataclass's time.

    Attributes:
        key: The key of the entry.
        record: The record; ``None`` if the source did not know the user.
        seen: The response that it is from; entries of one response have the same.
        fields: The fields of the record, if only some were requested; ``None`` for all.
        fresh_until: Before this time it is fresh, by the settings too; later it may be.
        checked_until: Before this time the shared store is not asked for a newer one.
        began: The moment at which its call began (``Invalidations.now``).
        tags: The tags of its response.
    """

    key: EntryKey
    record: R_co | None
    seen: SeenResponse
    fields: FieldSet | None = None
    fresh_until: datetime = NEVER
    checked_until: datetime = NEVER
    began: int = 0
    tags: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether the source knew the user."""
        return self.record is not None

    @property
    def fetched_at(self) -> datetime:
        """When the response arrived, by the time of day."""
        return self.seen.at

    @property
    def lifetime(self) -> Lifetime:
        """How long the service allows to keep it."""
        return self.seen.lifetime or UNBOUNDED

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


UNKNOWN_SHARE = 10
"""Unknown users may take this part of a full store: one tenth."""


class EntityStore(Generic[R]):
    """Keeps entries, and removes the least recently used ones.

    It is not async: a look-up in memory waits for nothing.

    A client that requests invented users must not displace real ones. So records and unknown users
    have separate LRU lists. A full store removes an unknown user if these take more than their
    share, and a record otherwise.

    Attributes:
        evicted: How many entries were removed because it was full, in total.
    """

    def __init__(self, max_entries: int) -> None:
        """Create an empty store.

        Args:
            max_entries: Maximum number of entries, at least 1.
        """
        self.evicted = 0
        self._max = max_entries
        self._records: OrderedDict[EntryKey, Entry[R]] = OrderedDict()
        self._unknown: OrderedDict[EntryKey, Entry[R]] = OrderedDict()

    @property
    def size(self) -> int:
        """Number of entries."""
        return len(self._records) + len(self._unknown)

    def get_many(self, keys: Sequence[EntryKey]) -> Sequence[Entry[R] | None]:
        """Look up entries, and mark them as recently used.

        Args:
            keys: The keys of the entries.

        Returns:
            One entry per key, in their order; ``None`` if there is none.
        """
        records, found = self._records, list[Entry[R] | None]()
        for key in keys:
            entry = records.get(key)
            if entry is None:
                entry = self._unknown.get(key)
                if entry is not None:
                    self._unknown.move_to_end(key)
            else:
                records.move_to_end(key)
            found.append(entry)
        return found

    def remove_many(self, keys: Sequence[EntryKey]) -> None:
        """Remove entries.

        Args:
            keys: The keys of the entries; those that are not there are ignored.
        """
        for key in keys:
            self._records.pop(key, None)
            self._unknown.pop(key, None)

    def clear(self) -> None:
        """Remove all entries."""
        self._records.clear()
        self._unknown.clear()

    def put_many(self, entries: Sequence[Entry[R]]) -> None:
        """Keep entries, and remove old ones above ``max_entries``.

        Args:
            entries: The entries.
        """
        records, unknown = self._records, self._unknown
        for entry in entries:
            key = entry.key
            here, there = (unknown, records) if entry.record is None else (records, unknown)
            if there:
                there.pop(key, None)
            here[key] = entry
            here.move_to_end(key)
        while len(records) + len(unknown) > self._max:
            crowded = len(unknown) > self._max // UNKNOWN_SHARE
            (unknown if crowded or not records else records).popitem(last=False)
            self.evicted += 1
