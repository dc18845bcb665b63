"""Time, the machine's and the tests': both keep the same promises."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from app.resilience.clock import Clock, SystemClock
from tests.clock import ManualClock

CLOCKS = pytest.mark.parametrize("make", [SystemClock, ManualClock])


async def turn() -> None:
    """Let everything happen that needs no time."""
    for _ in range(50):
        await asyncio.sleep(0)


@CLOCKS
def test_monotonic_time_never_goes_back(make: type[Clock]) -> None:
    clock = make()

    moments = [clock.monotonic() for _ in range(1_000)]

    assert moments == sorted(moments)


@CLOCKS
def test_the_time_of_day_is_in_utc(make: type[Clock]) -> None:
    assert make().now().utcoffset() == timedelta(0)


def test_the_system_clock_tells_the_time_of_the_machine() -> None:
    before = datetime.now(UTC)

    now = SystemClock().now()

    assert before <= now <= datetime.now(UTC)


@CLOCKS
@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_no_time_is_slept_in_no_time(make: type[Clock], seconds: float) -> None:
    sleeping = asyncio.ensure_future(make().sleep(seconds))

    await turn()

    assert sleeping.done()
    await sleeping


@CLOCKS
@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_a_timeout_of_no_time_ends_what_waits(make: type[Clock], seconds: float) -> None:
    clock = make()

    async def wait() -> None:
        async with clock.timeout(seconds):
            await asyncio.Event().wait()

    waiting = asyncio.ensure_future(wait())
    await turn()

    ended = waiting.done()
    waiting.cancel()
    assert ended
    with pytest.raises(TimeoutError):
        await waiting


@CLOCKS
async def test_what_does_not_wait_is_not_timed_out(make: type[Clock]) -> None:
    async with make().timeout(0.0):
        done = True

    assert done


@CLOCKS
async def test_a_cancellation_within_a_timeout_is_no_timeout(make: type[Clock]) -> None:
    clock = make()

    async def wait() -> None:
        async with clock.timeout(60.0):
            await asyncio.Event().wait()

    waiting = asyncio.ensure_future(wait())
    await turn()
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


@CLOCKS
async def test_a_cancelled_sleep_ends(make: type[Clock]) -> None:
    sleeping = asyncio.ensure_future(make().sleep(60.0))
    await turn()
    sleeping.cancel()

    with pytest.raises(asyncio.CancelledError):
        await sleeping
