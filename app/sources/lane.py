"""A lane: the flights to one source that are for one identity, who are shared with nobody else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    """

    identity: str
    flying: dict[UserId, Flight[R]]
    gathering: Flight[R] | None = None
    leaving: bool = False
    aloft: int = 0

    @property
    def idle(self) -> bool:
        """Whether nothing of it is left."""
        return not (self.flying or self.gathering or self.aloft or self.leaving)

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
