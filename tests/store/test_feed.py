"""The feed of invalidations, with a store whose clock and log a test sets."""

import asyncio
import io
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import cast

from app.observability.logs import make_log
from app.observability.telemetry import GatewayMetrics
from app.resilience.clock import SystemClock
from app.settings.models import LogSettings
from app.settings.store import StoreSettings
from app.sources.cache.feed import InvalidationFeed, place_of
from app.sources.cache.invalidation import MICROSECONDS, Forget, Invalidations
from app.store.contract import LogEntry, LogExtent, StoreClient
from app.store.shared import SharedStore
from tests.stores import PATIENCE


class LogClient:
    """A client of a store that has only a clock and a log.

    Attributes:
        seconds: The time of its clock.
        entries: The log.
        changed: Set when the log has changed.
    """

    def __init__(self) -> None:
        self.seconds = 2_000_000_000.0
        self.entries: list[LogEntry] = []
        self.changed = asyncio.Event()

    def add(self, user: str) -> None:
        """Add an invalidation of a user. Ids grow even if the clock is set back, as in a store."""
        text, place = f'{{"users": ["{user}"]}}', (int(self.seconds * 1000), 0)
        if self.entries and place <= (last := place_of(self.entries[-1].id)):
            place = last[0], last[1] + 1
        self.entries.append(LogEntry(f"{place[0]}-{place[1]}", text.encode()))
        self.changed.set()

    async def time(self) -> int:
        """Return the time in microseconds."""
        return int(self.seconds * MICROSECONDS)

    async def read_log(self, _: str, after: str, most: int) -> Sequence[LogEntry]:
        """Return entries."""
        return [one for one in self.entries if place_of(one.id) > place_of(after)][:most]

    async def follow_log(self, log: str, after: str, _: int) -> Sequence[LogEntry]:
        """Return new entries, or none once the log has changed."""
        if not (found := await self.read_log(log, after, 10)):
            self.changed.clear()
            await self.changed.wait()
            found = await self.read_log(log, after, 10)
        return found

    async def log_extent(self, _: str) -> LogExtent:
        """Return the first entry."""
        return LogExtent(self.entries[0].id if self.entries else None, trimmed=False)

    async def close(self) -> None:
        """Close nothing."""


@asynccontextmanager
async def followed(
    client: LogClient, forgotten: "asyncio.Queue[Forget]"
) -> AsyncGenerator[tuple[Invalidations, io.StringIO]]:
    """Follow the log of a store; the queue gets what is forgotten. Yields also the log's lines."""
    clock, events = SystemClock(), io.StringIO()
    log = make_log(LogSettings(format="json"), stream=events)
    store = SharedStore(
        lambda _: cast("StoreClient", client),
        StoreSettings(),
        clock=clock,
        chance=lambda: 0.0,
        log=log,
        metrics=GatewayMetrics(),
    )
    invalidations = Invalidations(clock)
    invalidations.listen(forgotten.put_nowait)
    feed = InvalidationFeed(
        store, invalidations, sources=["profile"], horizon=10.0, clock=clock, log=log
    )
    async with asyncio.timeout(PATIENCE), store, feed:
        yield invalidations, events


async def users_of_next(forgotten: "asyncio.Queue[Forget]") -> str:
    """Return the user of the next invalidation that names one."""
    while True:
        forget = await forgotten.get()
        if forget.users is not None:
            return "".join(forget.users)


async def test_an_entry_of_a_store_whose_clock_is_behind_is_applied() -> None:
    client, forgotten = LogClient(), asyncio.Queue[Forget]()
    async with followed(client, forgotten) as (invalidations, _):
        for user in "ab":
            client.add(user)
            assert await users_of_next(forgotten) == user
            client.seconds += 10.0
        invalidations.now()  # a call begins

        client.entries.clear()
        client.seconds -= 15.0  # before the entry of b, and after that of a
        client.add("c")

        assert await users_of_next(forgotten) == "c"


async def test_a_clock_that_is_set_back_does_not_make_the_log_look_lost() -> None:
    client, forgotten = LogClient(), asyncio.Queue[Forget]()
    async with followed(client, forgotten) as (invalidations, events):
        client.add("a")
        assert await users_of_next(forgotten) == "a"
        invalidations.now()

        client.seconds -= 5.0
        for user in "bc":
            client.add(user)
            while await users_of_next(forgotten) != user:
                pass  # it reads all again

    assert "invalidations_lost" not in events.getvalue()


async def test_entries_that_are_trimmed_after_they_were_read_are_not_lost() -> None:
    client, forgotten = LogClient(), asyncio.Queue[Forget]()
    async with followed(client, forgotten) as (_, events):
        for user in "abc":
            client.add(user)
            client.seconds += 1.0
            assert await users_of_next(forgotten) == user
        del client.entries[:2]
        client.changed.set()
        client.seconds += 1.0
        client.add("d")
        assert await users_of_next(forgotten) == "d"

    assert "invalidations_lost" not in events.getvalue()
