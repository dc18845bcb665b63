"""Look-ups in an entity cache: of one request, and those that go to the shared store together."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar

from app.sources.base import FieldSet, Record, RequestContext, UserId
from app.sources.batch import Collected, PendingBatch
from app.sources.cache.entry_use import EntryUse
from app.sources.cache.store import Entry, EntryKey

R = TypeVar("R", bound=Record)

StoredEntries: TypeAlias = Sequence[Entry[R] | None] | None
"""The entry of each key of a look-up in the shared store; ``None`` for all if it did not answer."""


class CollectLookup(Protocol[R]):
    """Collects the results of a look-up: the cache that it belongs to."""

    def __call__(self, lookup: "PendingLookup[R]", /) -> Collected[R]:
        """Collect the results.

        Args:
            lookup: The look-up.

        Returns:
            The result of each key.
        """
        ...


@dataclass(slots=True, eq=False)
class PendingLookup(Generic[R]):
    """Keys of one request: some are in the cache, the others are fetched. A ``PendingFetch``.

    Attributes:
        collector: The cache.
        keys: The keys of users.
        entries: The entry of each key, in the order of ``keys``; ``None`` if there is none.
        uses: How each entry may be used, in the same order.
        fields: The wanted fields; ``None`` for all.
        context: The request.
        fetched: The other keys; ``None`` if every key is in the cache.
        arrival: Done when the shared store has answered; ``None`` if it is not asked.
        ended: Whether the request no longer waits.
    """

    collector: CollectLookup[R]
    keys: Sequence[UserId]
    entries: list[Entry[R] | None]
    uses: list[EntryUse]
    fields: FieldSet | None
    context: RequestContext
    fetched: PendingBatch[R] | None = None
    arrival: asyncio.Future[None] | None = None
    ended: bool = False

    @property
    def is_fresh(self) -> bool:
        """Whether every key is in the cache, and fresh."""
        return self.fetched is None and self.uses.count(EntryUse.FRESH) == len(self.uses)

    @property
    def pending(self) -> Sequence[PendingBatch[R]]:
        """The keys that are fetched."""
        return () if self.fetched is None else (self.fetched,)

    def end(self) -> None:
        """Stop waiting before the shared store has answered."""
        self.ended = True
        if self.fetched is not None:
            self.fetched.release()

    def collect(self) -> Collected[R]:
        """Collect the results from the cache and from the batches.

        Returns:
            The result of each key. The trace has the age of the oldest stale record that was used.
        """
        return self.collector(self)


@dataclass(slots=True)
class _Waiting(Generic[R]):
    """Keys of one look-up, and what to do with their entries."""

    keys: Sequence[EntryKey]
    resume: Callable[[StoredEntries[R]], None]


@dataclass(slots=True)
class StoreLookups(Generic[R]):
    """Look-ups of one turn of the event loop go to the shared store by one round trip.

    Attributes:
        read: Reads the entries of keys, and calls a function with them, once and always.
    """

    read: Callable[[Sequence[EntryKey], Callable[[StoredEntries[R]], None]], None]
    _waiting: "list[_Waiting[R]]" = field(default_factory=list["_Waiting[R]"])

    def add(self, keys: Sequence[EntryKey], resume: Callable[[StoredEntries[R]], None]) -> None:
        """Look keys up, in the next turn of the event loop.

        Args:
            keys: The keys, at least one.
            resume: Called with the entries, once and always.
        """
        self._waiting.append(_Waiting(keys, resume))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        """Begin to read all waiting keys."""
        waiting, self._waiting = self._waiting, []
        if len(waiting) == 1:  # the common case
            self.read(waiting[0].keys, waiting[0].resume)
            return
        keys = [*dict.fromkeys(key for one in waiting for key in one.keys)]
        self.read(keys, lambda entries: _resume(waiting, keys, entries))


def _resume(
    waiting: "Sequence[_Waiting[R]]", keys: Sequence[EntryKey], entries: StoredEntries[R]
) -> None:
    """Hand out entries to those who wait for them."""
    found = {} if entries is None else dict(zip(keys, entries, strict=True))
    for one in waiting:
        one.resume(None if entries is None else [found[key] for key in one.keys])
