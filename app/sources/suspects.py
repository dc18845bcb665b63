"""Keys that were slow or failed lately. They go in separate batches, so that they harm no others.

At first it is not known which key of a batch is to blame. So for each suspect we store the size of
the batch, and its next batch has half that size. After a few rounds it is alone in its batch. This
is binary splitting (R. Dorfman, "The Detection of Defective Members of Large Populations", Annals
of Mathematical Statistics 14, 1943; F. K. Hwang, 1972).
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from app.resilience.clock import Clock
from app.sources.base import UserId

MAX_SUSPECTS = 1_000
"""How many keys are stored; the oldest is removed first."""

FORGOTTEN_AFTER = 30.0
"""Seconds after its last slow or failed batch until a key is removed."""


class Suspect(Struct, frozen=True):
    """A key that was slow or failed lately.

    Attributes:
        since: When its first slow or failed batch started, by ``clock.monotonic()``.
        until: When it is removed.
        size: How many keys its smallest slow or failed batch had.
    """

    since: float
    until: float
    size: int


class Suspects:
    """The keys of one source that were slow or failed lately. Its size is bounded.

    Attributes:
        by_key: The suspects. Entries that have expired may still be in it.
    """

    def __init__(self, clock: Clock) -> None:
        """Create an empty collection.

        Args:
            clock: The clock.
        """
        self._clock = clock
        self.by_key: dict[UserId, Suspect] = {}

    def add(self, keys: Iterable[UserId], size: int, *, began: float) -> None:
        """Record a slow or failed batch.

        Args:
            keys: The keys that may be to blame.
            size: How many keys may be to blame in total.
            began: When the batch started, by ``clock.monotonic()``.
        """
        now = self._clock.monotonic()
        for key in keys:
            before = self.by_key.pop(key, None)  # so that the newest is last
            if before is not None and before.until <= now:
                before = None
            since = began if before is None else before.since
            smallest = size if before is None else min(size, before.size)
            if len(self.by_key) >= MAX_SUSPECTS:
                del self.by_key[next(iter(self.by_key))]
            self.by_key[key] = Suspect(since, now + FORGOTTEN_AFTER, smallest)

    def clear(self, keys: Iterable[UserId]) -> None:
        """Remove keys that were fetched in time and without a failure.

        Args:
            keys: The keys.
        """
        for key in keys:
            self.by_key.pop(key, None)

    def since(self, key: UserId) -> float | None:
        """Return since when a key is known to be slow or to fail alone.

        Args:
            key: The key.

        Returns:
            The time, by ``clock.monotonic()``; ``None`` if the key is not known to be.
        """
        suspect = self._find(key)
        return suspect.since if suspect is not None and suspect.size == 1 else None

    def groups(self, keys: Iterable[UserId], answered: float) -> Sequence[Sequence[UserId]]:
        """Divide the suspects among some keys into groups, one for each separate batch.

        Args:
            keys: Keys, without duplicates.
            answered: When a batch last succeeded, by ``clock.monotonic()``. A key that became a
                suspect at this time or later is left out: the source itself may be slow or fail.

        Returns:
            The groups. No key is in two of them.
        """
        groups: list[list[UserId]] = []
        open_groups: dict[int, list[UserId]] = {}
        for key in keys:
            suspect = self._find(key)
            if suspect is None or suspect.since >= answered:
                continue
            size = max(1, suspect.size // 2)
            group = open_groups.get(size)
            if group is None or len(group) >= size:
                group = open_groups[size] = []
                groups.append(group)
            group.append(key)
        return groups

    def _find(self, key: UserId) -> Suspect | None:
        """Return the entry of a key; remove it if it has expired."""
        suspect = self.by_key.get(key)
        if suspect is not None and suspect.until <= self._clock.monotonic():
            del self.by_key[key]
            return None
        return suspect
