"""Hedging: make a second call when the first one is slower than 95 of 100 calls.

Dean and Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from app.resilience.clock import Clock

T = TypeVar("T")

MAX_SAMPLES = 200
"""The percentile is taken of so many durations, the latest ones."""

MIN_SAMPLES = 20
"""There is no percentile of fewer durations."""


class Latencies:
    """The durations of the latest successful calls, in seconds."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=MAX_SAMPLES)

    def add(self, seconds: float) -> None:
        """Add the duration of a successful call.

        Args:
            seconds: The duration.
        """
        self._seconds.append(seconds)

    def p95(self) -> float | None:
        """Return the 95th percentile.

        Returns:
            Seconds; ``None`` as long as there are fewer than ``MIN_SAMPLES`` durations.
        """
        if len(self._seconds) < MIN_SAMPLES:
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
    """Make a call, and repeat it in parallel if it takes long. The first good answer wins.

    Args:
        call: Makes the call.
        delay: Seconds to wait for the first call before making the second.
        may_repeat: Returns whether the second call may be made; asked only when it is due.
        is_good: Returns whether an answer wins at once. After any other answer, the answer of the
            other call is awaited.
        clock: The time.

    Returns:
        The first good answer, or the last answer when none is good. The other call is cancelled.

    Raises:
        Exception: What ``call`` raises.
    """
    first = asyncio.ensure_future(call())
    calls = {first}
    timer = asyncio.ensure_future(clock.sleep(delay))
    tasks: set[asyncio.Future[Any]] = {first, timer}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not first.done() and may_repeat():
            second = asyncio.ensure_future(call())
            calls.add(second)
            tasks.add(second)
        while True:
            done, calls = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            answers = [finished.result() for finished in done]
            good = [answer for answer in answers if is_good(answer)]
            if good or not calls:
                return (good or answers)[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
