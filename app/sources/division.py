"""One request divided into several calls, and their results joined."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from app.sources.base import FetchResult, joined_fetches

P = TypeVar("P")
T = TypeVar("T")


def divided(keys: Sequence[T], most: int) -> Sequence[Sequence[T]]:
    """Divide keys into as few parts as possible.

    Args:
        keys: The keys.
        most: The most keys of a part.

    Returns:
        The parts, in the order of the keys.
    """
    return [keys[start : start + most] for start in range(0, len(keys), most)]


async def fetch_parts(
    parts: Sequence[P], fetch: Callable[[P], Awaitable[FetchResult[T]]], *, at_a_time: int
) -> FetchResult[T]:
    """Fetch the parts of one request, several at the same time.

    Without the limit, one large batch would fill the bulkhead's queue. Then its other calls, and
    the calls of other batches, would fail.

    Args:
        parts: The parts.
        fetch: Fetches one part. An exception of one cancels the others.
        at_a_time: The most parts that are fetched at the same time.

    Returns:
        The results in the order of the parts.
    """
    if len(parts) == 1:  # the common case: no task
        return await fetch(parts[0])
    fetched: dict[int, FetchResult[T]] = {}

    async def keep(place: int) -> None:
        fetched[place] = await fetch(parts[place])

    await each_in_turn(range(len(parts)), keep, at_a_time=at_a_time)
    return joined_fetches([fetched[place] for place in range(len(parts))])


async def each_in_turn(
    parts: Sequence[P], work: Callable[[P], Awaitable[object]], *, at_a_time: int
) -> None:
    """Do something with each part, with several at the same time.

    Args:
        parts: The parts.
        work: What is done with one part. An exception of one cancels the others.
        at_a_time: The most parts at the same time.
    """
    if len(parts) == 1:  # no task
        await work(parts[0])
        return
    waiting = iter(parts)

    async def take_turns() -> None:
        for part in waiting:  # shared by all tasks: each takes the next part
            await work(part)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_a_time, len(parts))):
            group.create_task(take_turns())
