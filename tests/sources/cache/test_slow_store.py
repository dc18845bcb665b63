"""What requests do while the shared store has not answered yet."""

import asyncio
from collections.abc import Sequence

from app.resilience.clock import Deadline, SystemClock
from app.sources.base import RequestContext
from app.store.contract import StoredValue
from tests.sources.cache.stored_source import STORE_TIMEOUT, stored_source
from tests.sources.upstream import Requests, Upstream, ids, told
from tests.stores import PATIENCE


class SlowClient:
    """A client of an empty store that answers when it is let go.

    Attributes:
        asked: The number of keys of each command.
        released: Set when it answers.
    """

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.released = asyncio.Event()

    async def get_many(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Return nothing, but later."""
        self.asked.append(len(keys))
        await self.released.wait()
        return [None] * len(keys)

    async def put_many(self, values: Sequence[StoredValue]) -> None:
        """Store nothing."""

    async def close(self) -> None:
        """Close nothing."""


async def test_a_call_that_ends_meanwhile_is_not_made_again_after_the_store_has_answered() -> None:
    client, upstream, requests = SlowClient(), Upstream(), Requests()
    async with (
        asyncio.timeout(PATIENCE),
        stored_source(client, upstream) as cached,
    ):
        clock, patient, keys = SystemClock(), RequestContext("patient"), ids("ab")
        pending = cached.enqueue(keys, patient)
        # This request has less time than the store may take, so that it does not ask the store.
        deadline = Deadline(clock.monotonic() + 0.9 * STORE_TIMEOUT, clock)
        hurried = RequestContext("hurried", deadline=deadline)
        first = await requests.fetch(cached.enqueue(ids("a"), hurried), ids("a"), hurried)
        client.released.set()
        second = await requests.fetch(pending, keys, patient)

    assert client.asked == [2]
    assert upstream.batches == ["a", "b"]
    assert told(second)[:1] == told(first)
