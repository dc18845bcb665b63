"""Where answers of sources are kept: an interface, and a store in memory.

Entries say for themselves what they are and when they were fetched, by the time of day, so that a
store may be shared between processes. How old is too old is not a store's business:
``entity_cache.py``.
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
    """A store could not do what it was asked in time. The cache does without it, and logs it."""


class EntryKey(NamedTuple):
    """What an answer is an answer to; a tuple, since many are made and compared.

    Attributes:
        source: Name of the source.
        identity: For whom the source was asked (``RequestContext.identity``).
        user: About whom.
    """

    source: str
    identity: str
    user: UserId


@dataclass(frozen=True, slots=True)
class Entry(Generic[R_co]):
    """What a source answered once.

    Attributes:
        key: The answer to what.
        record: The answer; ``None`` when the source did not know the user.
        fetched_at: When it came, by the time of day.
        lifetime: How long its service lets it be kept.
        fields: The fields that the record has, where the source was asked for some alone; ``None``
            for all.
    """

    key: EntryKey
    record: R_co | None
    fetched_at: datetime
    lifetime: Lifetime = UNBOUNDED
    fields: FieldSet | None = None

    def holds(self, fields: FieldSet | None) -> bool:
        """Tell whether it has some fields, or all; who is unknown is so in all of them."""
        if self.fields is None or self.record is None:
            return True
        return fields is not None and self.fields >= fields

    def age(self, now: datetime) -> float:
        """Tell how many seconds ago it came; negative when the clock was set back since."""
        return (now - self.fetched_at).total_seconds()


class EntityStore(Protocol[R]):
    """Keeps entries, and may forget any of them at any time.

    Async, since a shared store is reached over a network. A store bounds its own time, to far less
    than a request has, and raises ``StoreError`` and nothing else where it cannot do its work.
    """

    async def get_many(self, keys: Sequence[EntryKey]) -> Sequence[Entry[R] | None]:
        """Look entries up.

        Args:
            keys: Of which.

        Returns:
            One for each key, in their order; ``None`` where there is none.

        Raises:
            StoreError: It cannot.
        """
        ...

    async def put_many(self, entries: Sequence[Entry[R]]) -> None:
        """Keep entries in place of those with the same keys.

        Args:
            entries: The entries.

        Raises:
            StoreError: It cannot.
        """
        ...


UNKNOWN_SHARE = 10
"""One part in so many of a full store may be users that are unknown."""


class MemoryStore(Generic[R]):
    """Keeps entries in this process, and forgets the least recently used. An ``EntityStore``.

    Whoever asks for made-up users must not push out the real ones. So records and unknown users
    are lined up apart: once the store is full, the unknown make room for others while they take
    more than their share, and the records make room otherwise.
    """

    def __init__(self, max_entries: int) -> None:
        """Make an empty store.

        Args:
            max_entries: Most entries that it keeps, at least 1.
        """
        self._max = max_entries
        self._records: OrderedDict[EntryKey, Entry[R]] = OrderedDict()
        self._unknown: OrderedDict[EntryKey, Entry[R]] = OrderedDict()

    @property
    def size(self) -> int:
        """How many entries are kept now."""
        return len(self._records) + len(self._unknown)

    async def get_many(self, keys: Sequence[EntryKey]) -> Sequence[Entry[R] | None]:
        """Look entries up; looking makes them recently used. Never raises."""
        return [self._get(key) for key in keys]

    async def put_many(self, entries: Sequence[Entry[R]]) -> None:
        """Keep entries, and forget as many as are too many. Never raises."""
        for entry in entries:
            self._records.pop(entry.key, None)
            self._unknown.pop(entry.key, None)
            (self._unknown if entry.record is None else self._records)[entry.key] = entry
            if self.size > self._max:
                crowded = len(self._unknown) > self._max // UNKNOWN_SHARE
                (self._unknown if crowded else self._records).popitem(last=False)

    def _get(self, key: EntryKey) -> Entry[R] | None:
        """Look one entry up."""
        for line in (self._records, self._unknown):
            if key in line:
                line.move_to_end(key)
                return line[key]
        return None
