"""A bug while entries of the shared store are read fails its request, and keeps nobody waiting."""

import asyncio
from collections.abc import Sequence

from app.sources.base import RequestContext
from app.sources.batch import wait_for_fetches
from app.store.contract import StoredValue
from tests.sources.cache.stored_source import stored_source
from tests.sources.upstream import Upstream, ids
from tests.stores import PATIENCE


class FaultyClient:
    """A client of a store that breaks its contract: it returns a number for the first key."""

    async def get_many(self, keys: Sequence[str]) -> Sequence[object]:
        """Return a number for the first key, and nothing for the others."""
        return [1, *(None for _ in keys[1:])]

    async def put_many(self, values: Sequence[StoredValue]) -> None:
        """Store nothing."""

    async def close(self) -> None:
        """Close nothing."""


async def test_a_bug_while_entries_are_read_fails_its_request_and_no_other() -> None:
    async with (
        asyncio.timeout(PATIENCE),
        stored_source(FaultyClient(), Upstream()) as cached,
    ):
        # Both go to the store by one command.
        waits = [
            wait_for_fetches([cached.enqueue(ids(keys), RequestContext("r"))])
            for keys in ("ab", "cd")
        ]

        ends = await asyncio.gather(*waits, return_exceptions=True)

    assert [type(one) for one in ends] == [TypeError, type(None)]
