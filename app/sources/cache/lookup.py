"""Look-ups of one request in an entity cache."""

import asyncio
from collections.abc import Sequence
from typing import Generic, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from app.sources.base import FieldSet, Record, RequestContext, UserId
from app.sources.batch import Collected, PendingBatch
from app.sources.cache.entry_use import EntryUse
from app.sources.cache.store import Entry

R = TypeVar("R", bound=Record)

StoredEntries: TypeAlias = Sequence[Entry[R] | None] | Exception | None
"""The entry of each key of a look-up in the shared store; ``None`` for all if it did not answer. A
bug of ours that prevented the reading is a value, so that nobody waits for ever."""


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


class PendingLookup(Struct, Generic[R], eq=False):
    """Keys of one request: some are in the cache, the others are fetched. A ``PendingFetch``.

    Attributes:
        collector: The cache.
        keys: The keys of users.
        entries: The entry of each key, in the order of ``keys``; ``None`` if there is none.
        fields: The wanted fields; ``None`` for all.
        context: The request.
        uses: How each entry may be used, in the same order; empty if all are fresh.
        fetched: The other keys; ``None`` if every key is in the cache.
        arrival: Done when the shared store has answered; ``None`` if it is not asked. It raises a
            bug of ours.
        ended: Whether the request no longer waits.
    """

    collector: CollectLookup[R]
    keys: Sequence[UserId]
    entries: list[Entry[R] | None]
    fields: FieldSet | None
    context: RequestContext
    uses: list[EntryUse] = []
    fetched: PendingBatch[R] | None = None
    arrival: asyncio.Future[None] | None = None
    ended: bool = False

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
