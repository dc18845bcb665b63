"""The store of the entity cache: the entries of one source, in the memory of this process.

A store does not decide how old an entry may be; ``entity_cache.py`` does.
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Generic, TypeVar

from msgspec import Struct

from app.sources.base import FieldSet, R_co, Record, UserId
from app.sources.cache.lifetime import UNBOUNDED, Lifetime, SeenResponse

R = TypeVar("R", bound=Record)


NEVER = datetime.min.replace(tzinfo=UTC)


class EntryKey(Struct, frozen=True, array_like=True, gc=False, cache_hash=True):
    """The key of an entry.

    Attributes:
        identity: The identity of the caller (``RequestContext.identity``).
        user: The key of the user.
    """

    identity: str
    user: UserId


class Entry(Struct, Generic[R_co], eq=False, gc=False):
    """A source result that is kept.

    The garbage collector does not search entries and their keys: nothing in them refers back.

    Attributes:
        key: The key of the entry.
        record: The record; ``None`` if the source did not know the user.
        seen: The response that it is from; entries of one response have the same.
        fields: The fields of the record, if only some were requested; ``None`` for all.
        fresh_until: Before this time it is fresh, by the settings too; later it may be.
        checked_until: Before this time the shared store is not asked for a newer one.
        began: The moment at which its call began (``Invalidations.now``).
        tags: The tags of its response.
        used: Whether it was looked up since the store last looked for an entry to remove.
        arrived: The moment at which its response arrived, if the shared store has it.
        value: What the shared store has of it, byte by byte; ``None`` if it has nothing.

    Only ``used`` changes, and what the shared store confirms: the two times and the last two.
    """

    key: EntryKey
    record: R_co | None
    seen: SeenResponse
    fields: FieldSet | None = None
    fresh_until: datetime = NEVER
    checked_until: datetime = NEVER
    began: int = 0
    tags: tuple[str, ...] = ()
    used: bool = False
    arrived: int = 0
    value: bytes | None = None

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

SECOND_CHANCES = 16
"""How many used entries are spared at most, before one is removed though it was used."""

_Order = OrderedDict[EntryKey, Entry[R]]


class EntityStore(Generic[R]):
    """Keeps entries, and removes old ones that were not used since.

    It is not async: a look-up in memory waits for nothing.

    A look-up only marks an entry as used. When room is needed, the oldest entry is removed; but an
    entry that was used loses its mark instead, and becomes the newest. This is the algorithm
    "second chance". It removes nearly the same entries as LRU, which would have to move an entry at
    each look-up.

    F. J. Corbató, "A paging experiment with the Multics system", MIT Project MAC, 1968.

    A client that requests invented users must not displace real ones. So records and unknown users
    have separate orders. A full store removes an unknown user if these take more than their share,
    and a record otherwise.

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
        self._entries: dict[str, dict[UserId, Entry[R]]] = {}
        # The oldest first.
        self._records: _Order[R] = OrderedDict()
        self._unknown: _Order[R] = OrderedDict()

    @property
    def size(self) -> int:
        """Number of entries."""
        return len(self._records) + len(self._unknown)

    def get_many(self, identity: str, users: Sequence[UserId]) -> list[Entry[R] | None]:
        """Look up entries of one identity, and mark them as used.

        Args:
            identity: The identity of the caller.
            users: The keys of the users.

        Returns:
            One entry per user, in their order; ``None`` if there is none.
        """
        found = [*map(self._entries.get(identity, {}).get, users)]
        for entry in found:
            if entry is not None:
                entry.used = True
        return found

    def remove_many(self, keys: Sequence[EntryKey]) -> None:
        """Remove entries.

        Args:
            keys: The keys of the entries; those that are not there are ignored.
        """
        for key in keys:
            if (self._records.pop(key, None) or self._unknown.pop(key, None)) is not None:
                self._drop(key)

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()
        self._records.clear()
        self._unknown.clear()

    def put_many(self, entries: Sequence[Entry[R]]) -> None:
        """Keep entries, and remove old ones above ``max_entries``.

        An entry for a kept one gets its place, and counts as used. But a kept one stays whose call
        began later, if it has all fields of the other: calls may end in another order.

        Args:
            entries: The entries.
        """
        records, unknown = self._records, self._unknown
        for entry in entries:
            key = entry.key
            identity, user = key.identity, key.user
            of_identity = self._entries.get(identity)
            old = None if of_identity is None else of_identity.get(user)
            order = unknown if entry.record is None else records
            if old is not None:
                if old.began > entry.began and old.holds(entry.fields):
                    continue
                before = unknown if old.record is None else records
                if before is order:
                    entry.used = True
                else:
                    del before[key]
            elif len(records) + len(unknown) >= self._max:
                if not self._make_room(entry):
                    continue
                of_identity = self._entries.get(identity)  # it may have been the last of it
            order[key] = entry
            if of_identity is None:
                of_identity = self._entries[identity] = {}
            of_identity[user] = entry

    def _make_room(self, new: Entry[R]) -> bool:
        """Remove an entry for a new one; return whether the new one may be kept."""
        self.evicted += 1
        unknown = len(self._unknown) + (new.record is None)
        crowded = unknown > self._max // UNKNOWN_SHARE
        order = self._unknown if crowded or not self._records else self._records
        if not order:
            return False  # all are records, which an unknown user must not displace
        key, entry = order.popitem(last=False)
        for _ in range(min(SECOND_CHANCES, len(order) + 1)):
            if not entry.used:
                break
            entry.used = False
            order[key] = entry
            key, entry = order.popitem(last=False)
        self._drop(key)
        return True

    def _drop(self, key: EntryKey) -> None:
        """Remove an entry that is in no order any more."""
        of_identity = self._entries[key.identity]
        del of_identity[key.user]
        if not of_identity:
            del self._entries[key.identity]
