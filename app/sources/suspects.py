"""Keys that were slow or failed lately: they go apart from others, so that they harm nobody else.

Which key of a batch is to blame is not known at first. So each suspect remembers how large the
batch was, and goes in one of half that size the next time. After a few rounds it goes alone. This
is binary splitting (R. Dorfman, "The Detection of Defective Members of Large Populations", Annals
of Mathematical Statistics 14, 1943; F. K. Hwang, 1972).
"""

from collections.abc import Iterable, Sequence

from app.readonly import readonly
from app.resilience.clock import Clock
from app.sources.base import UserId

MOST_SUSPECTS = 1_000
"""How many keys are remembered; the oldest is forgotten first."""

FORGOTTEN_AFTER = 30.0
"""Seconds after its last slow or failed batch until a key is forgotten."""


@readonly(frozen=True, slots=True)
class Suspect:
    """A key that was slow or failed lately.

    Attributes:
        since: When its first batch that was slow or failed had left, by the clock's ``monotonic``.
        until: When it is forgotten.
        size: How many keys were in the smallest batch in which it was slow or failed.
    """

    since: float
    until: float
    size: int


class Suspects:
    """The keys of one source that were slow or failed lately. Its memory is bounded."""

    def __init__(self, clock: Clock) -> None:
        """Begin with none.

        Args:
            clock: Tells the time.
        """
        self._clock = clock
        self._by_key: dict[UserId, Suspect] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def add(self, keys: Iterable[UserId], size: int, *, left: float) -> None:
        """Remember that a batch was slow or failed.

        Args:
            keys: The keys that may be to blame.
            size: How many keys there were in all that may be.
            left: When the batch had left.
        """
        now = self._clock.monotonic()
        for key in keys:
            before = self._by_key.pop(key, None)  # the newest is last
            if before is not None and before.until <= now:
                before = None
            since = left if before is None else before.since
            smallest = size if before is None else min(size, before.size)
            if len(self._by_key) >= MOST_SUSPECTS:
                del self._by_key[next(iter(self._by_key))]
            self._by_key[key] = Suspect(since, now + FORGOTTEN_AFTER, smallest)

    def clear(self, keys: Iterable[UserId]) -> None:
        """Forget keys that were answered well.

        Args:
            keys: The keys.
        """
        for key in keys:
            self._by_key.pop(key, None)

    def since(self, key: UserId) -> float | None:
        """Tell since when a key is known to be slow or to fail by itself.

        Args:
            key: The key.

        Returns:
            The moment, by the clock's ``monotonic``; ``None`` where that is not known of it.
        """
        suspect = self._find(key)
        return suspect.since if suspect is not None and suspect.size == 1 else None

    def groups(self, keys: Iterable[UserId], answered: float) -> Sequence[Sequence[UserId]]:
        """Divide the suspects among some keys into the batches in which they should go.

        Args:
            keys: Keys, each once.
            answered: When other keys were last answered well. Keys that are suspects only since
                then are left out: it may be the source that is slow or fails, not the key.

        Returns:
            The batches. No key is in two of them.
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
        """Find what is remembered of a key."""
        suspect = self._by_key.get(key)
        if suspect is not None and suspect.until <= self._clock.monotonic():
            del self._by_key[key]
            return None
        return suspect
