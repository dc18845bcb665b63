"""A queue: the batches to one source for one identity, those in flight and the open one."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

from app.sources.base import FieldSet, Record, UserId
from app.sources.batch import Batch

R = TypeVar("R", bound=Record)


class BatchQueue(Struct, Generic[R]):
    """The batches of one identity.

    Attributes:
        identity: The identity.
        in_flight: The shared batch of each key.
        open_batch: The batch to which keys are added; ``None`` if there is none.
        dispatch_scheduled: Whether it is dispatched in the next turn of the event loop.
        active: How many batches are in flight.
        counted: Those of them that count against ``max_batches``, the oldest first.
        overdue_from: No batch in flight is overdue before this time.
        stop_waiting: Cancels the timer of the open batch; ``None`` if the batch does not wait.
    """

    identity: str
    in_flight: dict[UserId, Batch[R]]
    open_batch: Batch[R] | None = None
    dispatch_scheduled: bool = False
    active: int = 0
    counted: dict[Batch[R], None] = {}
    overdue_from: float = math.inf
    stop_waiting: Callable[[], object] | None = None

    @property
    def idle(self) -> bool:
        """Whether it has no batches and nothing scheduled."""
        return not (self.in_flight or self.open_batch or self.active or self.dispatch_scheduled)

    def is_full(self, limit: int) -> bool:
        """Return whether as many batches as allowed are in flight. Overdue batches do not count.

        Args:
            limit: How many batches may be in flight.

        Returns:
            Whether the limit is reached.
        """
        while len(self.counted) >= limit:
            oldest = next(iter(self.counted))
            if not oldest.overdue:
                return True
            del self.counted[oldest]
        return False

    def end_wait(self) -> None:
        """Cancel the timer of the open batch."""
        if self.stop_waiting is not None:
            self.stop_waiting()
            self.stop_waiting = None

    def in_flight_with(
        self, keys: Iterable[UserId], fields: FieldSet | None
    ) -> Mapping[UserId, Batch[R]]:
        """Find the batches of keys that request some fields, or can add them.

        Args:
            keys: The keys of users.
            fields: The fields; ``None`` for all.

        Returns:
            The batch of each key that is in such a batch.
        """
        found = ((key, self.in_flight.get(key)) for key in keys)
        return {
            key: batch for key, batch in found if batch is not None and batch.try_add_fields(fields)
        }

    def remove(self, batch: Batch[R]) -> None:
        """Remove a batch, so that no request joins it any more.

        Args:
            batch: The batch.
        """
        if batch.shared:
            for key in batch.keys:
                if self.in_flight.get(key) is batch:
                    del self.in_flight[key]
