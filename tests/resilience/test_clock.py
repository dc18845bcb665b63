"""The system clock and the clock of the tests behave alike."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from app.resilience.clock import Clock, SystemClock
from tests.clock import ManualClock

CLOCKS = pytest.mark.parametrize("make", [SystemClock, ManualClock])


async def turn() -> None:
    """Run everything that needs no time."""
    for _ in range(50):
        await asyncio.sleep(0)


@CLOCKS
def test_monotonic_time_never_decreases(make: type[Clock]) -> None:
    clock = make()

    moments = [clock.monotonic() for _ in range(1_000)]

    assert moments == sorted(moments)


@CLOCKS
def test_the_time_of_day_is_in_utc(make: type[Clock]) -> None:
    assert make().now().utcoffset() == timedelta(0)


def test_the_system_clock_gives_the_time_of_the_machine() -> None:
    before = datetime.now(UTC)

    now = SystemClock().now()

    assert before <= now <= datetime.now(UTC)


@CLOCKS
@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_a_sleep_of_zero_or_less_ends_at_once(make: type[Clock], seconds: float) -> None:
    sleeping = asyncio.ensure_future(make().sleep(seconds))

    await turn()

    assert sleeping.done()
    await sleeping


@CLOCKS
@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_a_timeout_of_zero_or_less_ends_a_wait_at_once(
    make: type[Clock], seconds: float
) -> None:
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
async def test_a_block_that_does_not_wait_is_not_timed_out(make: type[Clock]) -> None:
    async with make().timeout(0.0):
        done = True

    assert done


@CLOCKS
async def test_a_cancellation_within_a_timeout_is_not_reported_as_a_timeout(
    make: type[Clock],
) -> None:
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


# Timeouts behave as those of asyncio


TIMEOUTS = pytest.mark.parametrize("bound", [asyncio.timeout, SystemClock().timeout])
Timeout = Callable[[float], AbstractAsyncContextManager[object]]
SOON = 0.01


@TIMEOUTS
async def test_a_timeout_ends_the_wait_and_leaves_the_task_uncancelled(
    bound: Timeout,
) -> None:
    with pytest.raises(TimeoutError) as caught:
        async with bound(SOON):
            await asyncio.Event().wait()

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    await asyncio.sleep(0)


@TIMEOUTS
async def test_a_timeout_has_no_effect_after_its_block_has_ended(bound: Timeout) -> None:
    async with bound(SOON):
        pass
    with pytest.raises(ZeroDivisionError):
        async with bound(SOON):
            _ = 1 / 0

    await asyncio.sleep(2 * SOON)


@TIMEOUTS
@pytest.mark.parametrize(("outer", "inner"), [(SOON, 60.0), (60.0, SOON), (SOON, SOON), (0, 0)])
async def test_of_two_nested_timeouts_the_earlier_one_is_raised(
    bound: Timeout, outer: float, inner: float
) -> None:
    ended: list[str] = []
    with suppress(TimeoutError):
        async with bound(outer):
            try:
                async with bound(inner):
                    await asyncio.Event().wait()
            except TimeoutError:
                ended.append("inner")
                raise
            except asyncio.CancelledError:
                ended.append("outer")
                raise

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert ended == (["inner"] if inner < outer else ["outer"])


@TIMEOUTS
@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancellation_in_the_turn_of_the_timeout_wins(bound: Timeout, times: int) -> None:
    caught: list[type[BaseException]] = []

    async def wait() -> None:
        try:
            async with bound(0):
                for _ in range(times):
                    loop.call_soon(cancel)
                await asyncio.Event().wait()
        except BaseException as error:
            caught.append(type(error))
            raise

    def cancel() -> None:
        task.cancel()

    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(wait())
    with pytest.raises(asyncio.CancelledError):
        await task

    assert caught == [asyncio.CancelledError]
    assert task.cancelling() == times


@TIMEOUTS
async def test_a_timeout_works_in_a_task_that_was_cancelled_before(bound: Timeout) -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                async with bound(SOON):
                    await asyncio.Event().wait()
            except TimeoutError:
                ended.append("timeout")

    task = asyncio.ensure_future(wait())
    await turn()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended == ["timeout"]


@TIMEOUTS
async def test_an_error_raised_after_the_timeout_is_not_hidden(bound: Timeout) -> None:
    async def fail() -> None:
        async with bound(SOON):
            try:
                await asyncio.Event().wait()
            finally:
                _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        await fail()

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@TIMEOUTS
async def test_a_block_that_goes_on_after_its_timeout_is_not_ended_again(bound: Timeout) -> None:
    async with bound(SOON):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.sleep(2 * SOON)


@TIMEOUTS
def test_a_timeout_outside_of_a_task_is_an_error(bound: Timeout) -> None:
    loop = asyncio.new_event_loop()
    caught: list[str] = []

    def enter() -> None:
        try:
            bound(1.0).__aenter__().send(None)
        except RuntimeError as error:
            caught.append(str(error))

    loop.call_soon(enter)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert caught
