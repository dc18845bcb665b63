"""The feed of invalidations, with a store whose clock and log a test sets."""

import asyncio
import io
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

from app.observability.logs import make_log
from app.observability.telemetry import GatewayMetrics
from app.resilience.clock import SystemClock
from app.settings.models import LogSettings
from app.settings.store import StoreSettings
from app.sources.cache.feed import InvalidationFeed, place_of
from app.sources.cache.invalidation import MICROSECONDS, Forget, Invalidation, Invalidations
from app.store.contract import (
    LogEntry,
    LogExtent,
    StoreClient,
    StoreError,
    StoreFailure,
    StoreFailureKind,
)
from app.store.shared import SharedStore
from tests.stores import PATIENCE

EVERYTHING = b'{"sources":["billing","profile"]}'
"""What a gateway adds whose log has lost entries."""


class LogClient:
    """A client of a store that has only a clock and a log.

    Attributes:
        seconds: The time of its clock.
        entries: The log.
        changed: Set when the log has changed.
        failing: The number of reads of a page that fail.
        refusing: The number of messages that it does not take.
        before_look: Called once, before the first entry is read.
    """

    def __init__(self) -> None:
        self.seconds = 2_000_000_000.0
        self.entries: list[LogEntry] = []
        self.changed = asyncio.Event()
        self.failing = self.refusing = 0
        self.before_look: Callable[[], None] | None = None

    def add(self, user: str) -> None:
        """Add an invalidation of a user."""
        self._append(f'{{"users": ["{user}"]}}'.encode())

    def _append(self, message: bytes) -> str:
        """Add a message. Ids grow even if the clock is set back, as in a store."""
        place = int(self.seconds * 1000), 0
        if self.entries and place <= (last := place_of(self.entries[-1].id)):
            place = last[0], last[1] + 1
        self.entries.append(LogEntry(f"{place[0]}-{place[1]}", message))
        self.changed.set()
        return self.entries[-1].id

    async def append(self, _: str, message: bytes, __: int) -> str:
        """Add a message."""
        if self.refusing:
            self.refusing -= 1
            raise StoreError(StoreFailure(StoreFailureKind.FULL, "no memory"))
        return self._append(message)

    async def time(self) -> int:
        """Return the time in microseconds."""
        return int(self.seconds * MICROSECONDS)

    async def read_log(self, _: str, after: str, most: int) -> Sequence[LogEntry]:
        """Return entries."""
        if most == 1 and (happens := self.before_look) is not None:
            self.before_look = None
            happens()
        if self.failing and most > 1:
            self.failing -= 1
            raise StoreError(StoreFailure(StoreFailureKind.TIMEOUT, "too slow"))
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
    client: LogClient,
    forgotten: "asyncio.Queue[Forget]",
    invalidations: Invalidations | None = None,
) -> AsyncGenerator[io.StringIO]:
    """Follow the log of a store; the queue gets what is forgotten. Yields the logged events."""
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
    invalidations = invalidations or Invalidations(clock)
    invalidations.listen(forgotten.put_nowait)
    feed = InvalidationFeed(
        store, invalidations, sources=["profile", "billing"], horizon=10.0, clock=clock, log=log
    )
    async with asyncio.timeout(PATIENCE), store, feed:
        yield events


async def users_of_next(forgotten: "asyncio.Queue[Forget]") -> str:
    """Return the user of the next invalidation that names one."""
    while True:
        forget = await forgotten.get()
        if forget.users is not None:
            return "".join(forget.users)


async def read_more(client: LogClient, forgotten: "asyncio.Queue[Forget]") -> None:
    """Add two entries, one after the other, and wait until each is read."""
    for user in "bc":
        client.seconds += 1.0
        client.add(user)
        while await users_of_next(forgotten) != user:
            pass  # it reads all again


async def test_an_entry_of_a_store_whose_clock_is_behind_is_applied() -> None:
    client, forgotten = LogClient(), asyncio.Queue[Forget]()
    async with followed(client, forgotten):
        for user in "ab":
            client.add(user)
            assert await users_of_next(forgotten) == user
            client.seconds += 10.0
        client.entries.clear()
        client.seconds -= 15.0  # before the entry of b, and after that of a
        client.add("c")

        assert await users_of_next(forgotten) == "c"


async def test_an_entry_that_is_lost_between_two_reads_is_noticed() -> None:
    client, forgotten = LogClient(), asyncio.Queue[Forget]()
    async with followed(client, forgotten) as events:
        client.add("a")
        assert await users_of_next(forgotten) == "a"

        client.seconds += 1.0
        client.add("lost")
        client.entries.clear()
        client.seconds += 1.0
        client.add("b")
        assert await users_of_next(forgotten) == "b"
        while (await forgotten.get()).sources is None:
            pass  # until it reads what it has added: that everything is outdated

    assert events.getvalue().count("invalidations_lost") == 1


async def test_a_loss_that_another_gateway_has_reported_is_not_reported_again() -> None:
    client, forgotten = LogClient(), asyncio.Queue[Forget]()
    async with followed(client, forgotten) as events:
        client.add("a")
        assert await users_of_next(forgotten) == "a"

        client.seconds += 1.0
        client.entries.clear()
        client.add("of a service")
        await client.append("", EVERYTHING, 0)
        await read_more(client, forgotten)

    assert events.getvalue().count("invalidations_lost") == 1
    assert [one.message for one in client.entries].count(EVERYTHING) == 1


async def test_a_call_that_began_just_before_a_loss_was_noticed_is_outdated() -> None:
    client, forgotten = LogClient(), asyncio.Queue[Forget]()
    invalidations, began = Invalidations(SystemClock()), list[int]()

    def lose() -> None:
        began.append(invalidations.now())
        client.seconds += 1.0
        client.entries.clear()

    async with followed(client, forgotten, invalidations) as events:
        client.add("a")
        assert await users_of_next(forgotten) == "a"
        client.refusing = 1_000
        client.before_look = lose
        await read_more(client, forgotten)

    assert events.getvalue().count("invalidations_lost") == 1
    assert invalidations.is_outdated("profile", "a", (), began[0])
    assert EVERYTHING not in [one.message for one in client.entries]


async def test_a_loss_whose_entry_the_store_refuses_is_reported_later() -> None:
    client, forgotten = LogClient(), asyncio.Queue[Forget]()
    async with followed(client, forgotten) as events:
        client.add("a")
        assert await users_of_next(forgotten) == "a"

        client.seconds += 1.0
        client.entries.clear()
        client.refusing = 1
        await read_more(client, forgotten)
        while EVERYTHING not in [one.message for one in client.entries]:
            await forgotten.get()

    assert events.getvalue().count("invalidations_lost") == 1
    assert [one.message for one in client.entries].count(EVERYTHING) == 1


async def test_entries_whose_reading_fails_are_not_lost() -> None:
    client, forgotten = LogClient(), asyncio.Queue[Forget]()
    client.seconds -= 1.0
    client.add("a")
    client.seconds += 1.0
    client.failing = 2
    async with followed(client, forgotten) as events:
        assert await users_of_next(forgotten) == "a"
        client.add("b")
        assert await users_of_next(forgotten) == "b"

    assert "invalidations_lost" not in events.getvalue()
    assert len(client.entries) == 2


async def test_a_clock_that_is_set_back_does_not_make_the_log_look_lost() -> None:
    client, forgotten = LogClient(), asyncio.Queue[Forget]()
    async with followed(client, forgotten) as events:
        client.add("a")
        assert await users_of_next(forgotten) == "a"
        client.seconds -= 5.0
        for user in "bc":
            client.add(user)
            while await users_of_next(forgotten) != user:
                pass  # it reads all again

    assert "invalidations_lost" not in events.getvalue()


async def test_entries_that_are_trimmed_after_they_were_read_are_not_lost() -> None:
    client, forgotten = LogClient(), asyncio.Queue[Forget]()
    async with followed(client, forgotten) as events:
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


def test_an_older_invalidation_does_not_undo_a_newer_one() -> None:
    invalidations = Invalidations(SystemClock())
    invalidation = Invalidation(users=("a",))

    invalidations.apply(invalidation, 10)
    invalidations.apply(invalidation, 5)

    assert invalidations.is_outdated("profile", "a", (), 7)
