"""What is asked of a source that knows users by keys of its own, and whose answers those are. Pure.

Users without a key are not asked about, and users who share one are asked about once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.errors import SourceError

T = TypeVar("T")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Keyed(Generic[T]):
    """What is asked in place of some users.

    Attributes:
        places: For each user what is asked, by key; or what is the answer without asking: ``None``
            where there is no key, a failure or a bug of ours where it could not be found out.
    """

    places: Sequence[T | SourceError | Exception | None]

    @property
    def asked(self) -> list[T]:
        """What is asked: each once, in the order of the users."""
        asked = {
            one: None
            for one in self.places
            if one is not None and not isinstance(one, SourceError | Exception)
        }
        return list(asked)

    def answers(self, said: Mapping[T, V]) -> list[V | SourceError | Exception | None]:
        """Give each user what is said by key.

        Args:
            said: The answer to all that is asked.

        Returns:
            One for each user, in their order.
        """
        return [
            one if one is None or isinstance(one, SourceError | Exception) else said[one]
            for one in self.places
        ]
