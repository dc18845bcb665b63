"""The second level of an entity cache: the entries of one source in the shared store.

The key of an entry is

    <prefix>:e:<source>:<digest>:<identity>:<key of the user>

The digest stands for the record and for all settings that say how it is made. So gateways of two
versions, or with two configurations, do not read each other's entries unless these mean the same.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Generic, TypeVar

from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError

from app.observability.metrics import Counter
from app.resilience.clock import Clock, Deadline
from app.settings.source import SourceSettings
from app.sources.base import Record, UserId
from app.sources.cache.entry_use import fresh_until
from app.sources.cache.invalidation import MICROSECONDS, Invalidations
from app.sources.cache.lifetime import NO_HEADERS, UNBOUNDED, Lifetime, SeenResponse
from app.sources.cache.lookup import StoredEntries
from app.sources.cache.store import Entry, EntryKey
from app.sources.cache.stored_entry import RecordCodec, StoredEntry, read_entries, write_entry
from app.store.batches import ReadAnswer
from app.store.contract import StoredValue, StoreFailure
from app.store.shared import SharedStore

R = TypeVar("R", bound=Record)

CLOCK_ERROR = 100_000
"""Microseconds by which an entry of another gateway may come from the future. Each gateway takes
the store's clock to be a little earlier than it is."""

OF_MEANING = {
    *("base_url", "request", "answer", "fields", "words", "defaults", "endpoints", "lookups"),
    "key_from",
}
"""The settings of a source that say what its records mean. They have no secrets."""


def meaning_of(
    record: type[Record], settings: SourceSettings, foreign_keys: Mapping[str, str]
) -> str:
    """Return a digest of a record and of the settings that say how it is made. Pure.

    Args:
        record: The type of the records.
        settings: The settings of the source.
        foreign_keys: The expressions for keys of other sources in its rows, by source name.

    Returns:
        The digest, 16 characters.
    """
    try:
        shape = repr(record.model_json_schema())
    except (PydanticUserError, PydanticInvalidForJsonSchema):  # JSON Schema has no words for it
        shape = repr({name: str(info) for name, info in record.model_fields.items()})
    made = settings.model_dump_json(include=OF_MEANING)
    text = f"{shape}\n{made}\n{sorted(foreign_keys.items())}"
    return blake2b(text.encode(), digest_size=8).hexdigest()


class SharedEntries(Generic[R]):
    """The entries of one source in the shared store.

    Args:
        name: The name of the source, or of its endpoint.
        settings: The settings of the source.
        meaning: The digest of ``meaning_of``.
        codec: Writes and reads the records.
        store: The store.
        invalidations: The moments of the store.
        clock: The clock.
        lookups: Counts the keys that are looked up.
    """

    def __init__(
        self,
        name: str,
        settings: SourceSettings,
        *,
        meaning: str,
        codec: RecordCodec[R],
        store: SharedStore,
        invalidations: Invalidations,
        clock: Clock,
        lookups: Counter,
    ) -> None:
        self._name = name
        self._service = name.partition(".")[0]
        self._settings = settings
        self._codec = codec
        self._store = store
        self._invalidations = invalidations
        self._clock = clock
        self._lookups = lookups
        # An entry that is not older is fresh for all of ``local_ttl``, if the service says nothing.
        self._young = int((settings.cache.ttl - store.settings.local_ttl) * MICROSECONDS)
        self._prefix = f"{store.settings.prefix}:e:{name}:{meaning}:"
        self._of_leases = f"{store.settings.prefix}:l:{name}:{meaning}:"

    def is_usable_within(self, deadline: Deadline | None) -> bool:
        """Return whether the store would be asked now, and a request can wait for it.

        Args:
            deadline: The deadline of the request; ``None`` if it has none.

        Returns:
            Whether the store is usable, and the request has more time than the store may take.
        """
        if not self._store.is_usable:
            return False
        return deadline is None or deadline.remaining > self._store.settings.timeout

    @property
    def local_ttl(self) -> timedelta:
        """How long an entry is used from memory before the store is asked for a newer one."""
        return timedelta(seconds=self._store.settings.local_ttl)

    def read(
        self,
        identity: str,
        users: Sequence[UserId],
        known: Sequence[Entry[R] | None],
        then: Callable[[StoredEntries[R]], None],
    ) -> None:
        """Read entries of one identity, and call a function with them.

        Args:
            identity: The identity of the caller.
            users: The keys of the users, at least one.
            known: The entry of each user in memory. If the store has the same bytes, nothing is
                decoded: this entry is the result, with new times.
            then: Called once and always. It gets the entry of each user; ``None`` for one that is
                not there, or that cannot be used. ``None`` for all if the store did not answer in
                time. It does not raise.
        """

        def hand_out(answer: ReadAnswer) -> None:
            found: StoredEntries[R]
            try:
                found = self._entries_in(identity, users, known, answer)
            except Exception as bug:  # noqa: BLE001 # the request that waits gets it
                found = bug
            then(found)

        prefix = f"{self._prefix}{identity}:"
        self._store.reads.add([prefix + user for user in users], hand_out)

    def _entries_in(
        self,
        identity: str,
        users: Sequence[UserId],
        known: Sequence[Entry[R] | None],
        answer: ReadAnswer,
    ) -> Sequence[Entry[R] | None] | None:
        """Read the entries in an answer of the store, and count them."""
        if isinstance(answer, StoreFailure):
            self._lookups.add(len(users), self._name, "unavailable")
            return None
        found = len(answer) - answer.count(None)
        entries = self._entries(identity, users, known, answer) if found else [None] * len(users)
        read = len(entries) - entries.count(None)
        for result, count in (
            ("hit", read),
            ("miss", len(users) - found),
            ("unreadable", found - read),
        ):
            if count:
                self._lookups.add(count, self._name, result)
        return entries

    def write(self, entries: Sequence[Entry[R]]) -> None:
        """Store entries, without waiting for it.

        Args:
            entries: The entries.
        """
        now, values = self._clock.now(), list[StoredValue]()
        moment = self._invalidations.now()
        for entry in entries:
            seconds = useful_for(entry, self._settings)
            entry.arrived = moment - int(entry.age(now) * MICROSECONDS)
            entry.value = value = None if seconds <= 0 else self._value_of(entry)
            if value is not None:
                name = self._prefix + entry.key.identity + ":" + entry.key.user
                values.append(StoredValue(name, value, max(int(seconds * 1000), 1)))
        self._store.writes.add(values)

    def remove(self, keys: Sequence[EntryKey]) -> None:
        """Remove entries, without waiting for it.

        Args:
            keys: The keys of the entries.
        """
        names = [self._prefix + key.identity + ":" + key.user for key in keys]
        if names:
            self._store.writes.remove(names)

    async def lease(self, keys: Sequence[EntryKey], seconds: float) -> Sequence[EntryKey]:
        """Take the right to renew entries, which one gateway at a time has.

        Args:
            keys: The keys of the entries, at least one.
            seconds: How long the right lasts.

        Returns:
            The keys that this gateway may renew: all, if the store did not answer.
        """
        names = [self._of_leases + key.identity + ":" + key.user for key in keys]
        milliseconds = max(int(seconds * 1000), 1)
        answer = await self._store.run("lease", lambda client: client.lease(names, milliseconds))
        if isinstance(answer, StoreFailure):
            return keys
        return [key for key, taken in zip(keys, answer, strict=True) if taken]

    def _value_of(self, entry: Entry[R]) -> bytes | None:
        """Write an entry; ``None`` if its record cannot be written."""
        row = None
        if entry.record is not None:
            row = self._codec.write(entry.record)
            if row is None:
                return None
        lifetime = entry.lifetime
        bounds = (
            lifetime.fresh,
            lifetime.stale_while_revalidate,
            lifetime.stale_if_error,
            lifetime.private,
        )
        try:
            return write_entry(
                StoredEntry(
                    entry.key,
                    entry.began,
                    entry.arrived,
                    None if lifetime == UNBOUNDED else bounds,
                    entry.tags,
                    None if entry.fields is None else tuple(sorted(entry.fields)),
                    row,
                )
            )
        except UnicodeEncodeError:  # a key with half a character
            return None

    def _entries(
        self,
        identity: str,
        users: Sequence[UserId],
        known: Sequence[Entry[R] | None],
        values: Sequence[bytes | None],
    ) -> list[Entry[R] | None]:
        """Read the entries of values, except those that are known."""
        now = self._clock.now()
        until, oldest = now + self.local_ttl, self._invalidations.now() - self._young
        entries, places = [*known], list[int]()
        for place, (entry, value) in enumerate(zip(known, values, strict=True)):
            if entry is None or value is None or entry.value != value:
                places.append(place)
                continue
            entry.checked_until = entry.fresh_until = until  # the store has nothing newer
            if (
                entry.arrived < oldest
                or entry.seen.lifetime is not UNBOUNDED
                or entry.record is None
            ):
                entry.fresh_until = min(until, self.fresh_until(entry))
        if places:
            keys = [EntryKey(identity, users[one]) for one in places]
            read = self._read(keys, [values[one] for one in places])
            for place, entry in zip(places, read, strict=True):
                entries[place] = entry
        return entries

    def fresh_until(self, entry: Entry[R]) -> datetime:
        """Return before which time an entry is fresh, by the settings and by the service.

        Args:
            entry: The entry.

        Returns:
            The time.
        """
        at, lifetime = entry.fetched_at, entry.lifetime
        return fresh_until(self._settings, at, lifetime, is_known=entry.is_known)

    def _read(
        self, keys: Sequence[EntryKey], values: Sequence[bytes | None]
    ) -> Sequence[Entry[R] | None]:
        """Read the entries of values; ``None`` for one that cannot be read or used."""
        now, invalidations = self._clock.now(), self._invalidations
        moment, unmarked = invalidations.now(), invalidations.last
        latest, service = moment + CLOCK_ERROR, self._service
        stored = [
            one
            if one is not None
            and (
                unmarked < one.began <= latest  # the common case
                or not (
                    one.began > latest
                    or invalidations.is_outdated(service, key.user, one.tags, one.began)
                )
            )
            else None
            for key, one in zip(keys, read_entries(values, keys), strict=True)
        ]
        with_rows = [one for one in stored if one is not None and one.row is not None]
        records = self._codec.read(
            [one.row or b"" for one in with_rows],
            [None if one.fields is None else frozenset(one.fields) for one in with_rows],
        )
        until, oldest = now + self.local_ttl, moment - self._young
        arrived = [
            one.arrived
            for one in with_rows
            if one.fields is None and one.lifetime is None and oldest <= one.arrived <= moment
        ]
        if len(arrived) == len(stored) and None not in records:  # the common case
            # Entries of one response have the same object.
            responses = {
                at: SeenResponse(now, 0.0, NO_HEADERS, UNBOUNDED, moment - at) for at in {*arrived}
            }
            return [
                Entry(
                    *(key, record, responses[at], None, until, until, one.began, one.tags),
                    *(False, at, value),
                )
                for key, one, record, at, value in zip(
                    keys, with_rows, records, arrived, values, strict=True
                )
            ]
        found = iter(records)
        entries: list[Entry[R] | None] = []
        for key, one, value in zip(keys, stored, values, strict=True):
            record = None if one is None or one.row is None else next(found)
            if one is None or (record is None and one.row is not None):
                entries.append(None)
                continue
            lifetime = UNBOUNDED if one.lifetime is None else Lifetime(*one.lifetime)
            seen = SeenResponse(now, 0.0, NO_HEADERS, lifetime, max(moment - one.arrived, 0))
            fields = None if one.fields is None else frozenset(one.fields)
            entry = Entry(key, record, seen, fields, until, until, one.began, one.tags)
            entry.arrived, entry.value = one.arrived, value
            entry.fresh_until = min(until, self.fresh_until(entry))
            entries.append(entry)
        return entries


def useful_for(entry: Entry[Any], settings: SourceSettings) -> float:
    """Return how long an entry may be of use, from its arrival on; see ``use_of``. Pure.

    Args:
        entry: The entry.
        settings: The settings of the source.

    Returns:
        Seconds.
    """
    cache, lifetime = settings.cache, entry.lifetime
    if entry.record is None:
        return min(cache.unknown_ttl, lifetime.fresh)
    fresh = min(cache.ttl, lifetime.fresh)
    revalidate = min(cache.stale_while_revalidate, lifetime.stale_while_revalidate)
    if_error = 0.0
    if settings.contract == "stale_ok":
        if_error = min(revalidate + cache.stale_if_error, lifetime.stale_if_error)
    return max(fresh, 0.0) + max(revalidate, if_error, 0.0)
