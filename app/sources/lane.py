"""A lane: the flights to one source that are for one identity, who are shared with nobody else."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from app.sources.base import FieldSet, Record, UserId
from app.sources.flight import Flight

R = TypeVar("R", bound=Record)


@dataclass(slots=True)
class Lane(Generic[R]):
    """The flights of one identity.

    Attributes:
        identity: For whom they are.
        flying: On which flight a user is who may be shared.
        gathering: The flight that takes on users; ``None`` when there is none.
        leaving: Whether it leaves in the next turn of the event loop.
        aloft: How many flights are in the air.
        counted: Those of them that take a place, the first to leave first.
        stop_waiting: Calls off the end of the wait of the flight that gathers; ``None`` where it
            does not wait.
    """

    identity: str
    flying: dict[UserId, Flight[R]]
    gathering: Flight[R] | None = None
    leaving: bool = False
    aloft: int = 0
    counted: dict[Flight[R], None] = field(default_factory=dict[Flight[R], None])
    stop_waiting: Callable[[], object] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing of it is left."""
        return not (self.flying or self.gathering or self.aloft or self.leaving)

    def is_full(self, limit: int, now: float) -> bool:
        """Tell whether all places are taken. A flight that is overdue gives its place back.

        Args:
            limit: How many places there are.
            now: The moment, by the clock's ``monotonic``.
        """
        while len(self.counted) >= limit:
            oldest = next(iter(self.counted))
            if oldest.overdue_at > now:
                return True
            del self.counted[oldest]
        return False

    def end_wait(self) -> None:
        """Take note that the flight that gathers waits no longer."""
        if self.stop_waiting is not None:
            self.stop_waiting()
            self.stop_waiting = None

    def serving(
        self, keys: Iterable[UserId], fields: FieldSet | None
    ) -> Mapping[UserId, Flight[R]]:
        """Find the flights of users that ask for some fields, or do from now on.

        Args:
            keys: The users.
            fields: The fields; ``None`` for all.

        Returns:
            The flight of each who is on one.
        """
        found = ((key, self.flying.get(key)) for key in keys)
        return {key: one for key, one in found if one is not None and one.takes_on(fields)}

    def forget(self, flight: Flight[R]) -> None:
        """Let nobody join a flight any more."""
        if flight.shared:
            for key in flight.keys:
                if self.flying.get(key) is flight:
                    del self.flying[key]
