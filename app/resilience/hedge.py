"""Hedging: a second call where the first one is slower than nearly all.

Dean and Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from app.resilience.clock import Clock

T = TypeVar("T")

REMEMBERED = 200
"""How many durations the percentile is taken of."""

NEEDED = 20
"""How many there have to be before it says anything."""


class Latencies:
    """How long the last good calls took."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)

    def add(self, seconds: float) -> None:
        """Take note of a good call."""
        self._seconds.append(seconds)

    def p95(self) -> float | None:
        """Find the duration that 95 of 100 good calls stay within; ``None`` while few are known."""
        if len(self._seconds) < NEEDED:
            return None
        return sorted(self._seconds)[len(self._seconds) * 95 // 100]


async def hedged(
    call: Callable[[], Awaitable[T]],
    *,
    delay: float,
    may_repeat: Callable[[], bool],
    is_good: Callable[[T], bool],
    clock: Clock,
) -> T:
    """Make a call, and the same once more when it takes long; the first good answer wins.

    Args:
        call: Makes the call.
        delay: Seconds to wait for the first before making the second.
        may_repeat: Whether there may be a second one at all.
        is_good: Whether an answer wins; a failure waits for the other call.
        clock: Waits.

    Returns:
        The first good answer, or the last one where neither is good. The loser is cancelled.
    """
    first = asyncio.ensure_future(call())
    calls = {first}
    patience = asyncio.ensure_future(clock.sleep(delay))
    everything: set[asyncio.Future[Any]] = {first, patience}
    try:
        await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
        if not first.done() and may_repeat():
            second = asyncio.ensure_future(call())
            calls.add(second)
            everything.add(second)
        while True:
            done, calls = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            answers = [one.result() for one in done]
            good = [answer for answer in answers if is_good(answer)]
            if good or not calls:
                return (good or answers)[0]
    finally:
        for task in everything:
            task.cancel()
        await asyncio.wait(everything)
