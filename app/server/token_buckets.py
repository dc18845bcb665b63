"""Token buckets of callers, in the memory of this process or in the shared store.

A bucket holds a quota, each operation takes its cost from it, and it refills evenly. One number
says how full it is: the time at which it will be full (the generic cell rate algorithm; ITU-T
I.371, annex A; "virtual scheduling"). So a bucket that nobody has used for a window is no number.

Why it is our own: throttled-py, which did this, imports its Redis client whether it is used or not,
and makes that client itself, so that no time limit and no breaker can be before it. ``limits`` and
``pyrate-limiter`` count in windows, which let a caller have twice the quota around their borders,
or keep a list of all requests.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from app.settings.limits import RateSettings
from app.store.contract import StoreFailure
from app.store.shared import SharedStore


class BucketState(Struct, frozen=True):
    """What a request found in its bucket.

    Attributes:
        limited: Whether the bucket held too little, so that nothing was taken.
        remaining: What it holds now.
        reset_after: Seconds until it is full.
        retry_after: Seconds until it holds enough; 0 if it did.
    """

    limited: bool
    remaining: int
    reset_after: float
    retry_after: float = 0.0


def state_of(full_in: float, cost: int, *, quota: int, window: float) -> BucketState:
    """Take a cost from a bucket. Pure.

    Args:
        full_in: Seconds until the bucket is full; 0 or less if it is.
        cost: The cost, at most the quota.
        quota: What a full bucket holds.
        window: Seconds in which an empty bucket is refilled.

    Returns:
        The bucket afterwards. If it is not limited, it is full in ``reset_after``.
    """
    # The sum of two times is rounded, so that an empty bucket may lack a little more than it holds.
    before = min(max(full_in, 0.0), window)
    after = before + cost * window / quota
    if after > window:
        left = int((window - before) * quota / window)
        return BucketState(True, max(left, 0), before, after - window)  # noqa: FBT003 # a field
    return BucketState(False, int((window - after) * quota / window), after)  # noqa: FBT003 # the same


class TokenBuckets(Protocol):
    """The buckets of all callers."""

    def take(self, caller: str, cost: int) -> BucketState | Awaitable[BucketState]:
        """Take a cost from the bucket of a caller.

        Args:
            caller: The key of the caller.
            cost: The cost, at least 1 and at most the quota.

        Returns:
            The bucket afterwards. It is awaited if the bucket is elsewhere.
        """
        ...


class MemoryBuckets:
    """Buckets in the memory of this process. ``TokenBuckets``.

    Args:
        settings: The quota, the window and the most callers to remember.
        monotonic: Returns the time, in seconds from any moment.
    """

    def __init__(
        self, settings: RateSettings, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, caller: str, cost: int) -> BucketState:
        """Take a cost from the bucket of a caller; see ``TokenBuckets``."""
        now, settings = self._monotonic(), self._settings
        full_in = self._full_at.get(caller, now) - now
        state = state_of(full_in, cost, quota=settings.quota, window=settings.window)
        self._remember(caller, now + state.reset_after)
        return state

    def replace(self, caller: str, full_in: float) -> None:
        """Replace the bucket of a caller by what the shared store has of it.

        Args:
            caller: The key of the caller.
            full_in: Seconds until the bucket is full.
        """
        self._remember(caller, self._monotonic() + full_in)

    def _remember(self, caller: str, full_at: float) -> None:
        """Remember when a bucket is full, and forget the caller who has not come for longest."""
        self._full_at[caller] = full_at
        self._full_at.move_to_end(caller)
        if len(self._full_at) > self._settings.max_callers:
            self._full_at.popitem(last=False)


TAKE = """
local window, quota, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local before = (tonumber(redis.call('GET', KEYS[1])) or now) - now
if before > window then -- the clock was set back, or another program wrote it
    before = window
    local full_at = string.format('%.0f', now + window)
    redis.call('SET', KEYS[1], full_at, 'PX', math.ceil(window / 1000) + 1)
end
if not (before > 0) then before = 0 end
local after = before + cost * window / quota
if after > window then
    return {1, math.floor(before), math.ceil(after - window)}
end
local full_at = string.format('%.0f', now + after)
redis.call('SET', KEYS[1], full_at, 'PX', math.ceil(after / 1000) + 1)
return {0, math.ceil(after), 0}
"""
"""Takes a cost from a bucket, all in one step of the store. Times are microseconds of its clock."""

MICROSECONDS = 1_000_000


class SharedBuckets:
    """Buckets in the shared store, for all gateways together. ``TokenBuckets``.

    While the store fails, each process counts alone. It goes on from what it last read of a caller.
    For a caller it has not seen, the bucket is full. So a command that times out gives nobody a
    second quota in a process that knows the caller.

    Args:
        settings: The quota, the window and the most callers to remember in memory.
        store: The store.
        alone: The buckets for when the store fails.
    """

    def __init__(self, settings: RateSettings, store: SharedStore, alone: MemoryBuckets) -> None:
        self._settings = settings
        self._store = store
        self._alone = alone
        self._prefix = f"{store.settings.prefix}:rate:{settings.quota}/{settings.window}:"

    async def take(self, caller: str, cost: int) -> BucketState:
        """Take a cost from the bucket of a caller; see ``TokenBuckets``."""
        settings = self._settings
        quota, window = settings.quota, settings.window
        answer = await self._store.run(
            "rate_limit",
            lambda client: client.evaluate(
                TAKE, self._prefix + caller, (window * MICROSECONDS, quota, cost)
            ),
        )
        if isinstance(answer, StoreFailure):
            return self._alone.take(caller, cost)
        limited, reset_after, retry_after = answer
        seconds = reset_after / MICROSECONDS
        self._alone.replace(caller, seconds)
        left = int((window - seconds) * quota / window)
        return BucketState(bool(limited), max(left, 0), seconds, retry_after / MICROSECONDS)
