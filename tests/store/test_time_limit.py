"""The time limit of a command does not count the lag of a busy event loop."""

import asyncio
import time
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import pytest
import uvloop

from app.store.contract import StoreFailureKind
from app.store.time_limit import STEPS, TURNS, TimeLimit
from tests.clock import ManualClock
from tests.store.test_shared import FAST, OpenStore, kind_of, opened
from tests.stores import needs_store, running_store

MakeLoop = Callable[[], AbstractEventLoop]

AT_ONCE = 8
"""Commands at the same time. So many failures open the circuit breaker."""

LAG = 1.5 * FAST
"""Seconds for which the loop is blocked in each of its turns."""

LOOPS = pytest.mark.parametrize(
    "make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


@contextmanager
def busy_loop() -> Generator[None]:
    """Block the loop in each of its turns for longer than the timeout of the store."""
    loop = get_running_loop()
    is_over = False

    def block() -> None:
        time.sleep(LAG)  # like a long computation
        if not is_over:
            loop.call_soon(block)

    loop.call_soon(block)
    try:
        yield
    finally:
        is_over = True


async def several(one: OpenStore) -> Sequence[object]:
    """Read a key several times at once."""
    return await asyncio.gather(*(one.get("a") for _ in range(AT_ONCE)))


async def connect(one: OpenStore) -> None:
    """Store a value, and open connections, which may take longer than the time limit."""
    await one.put("a", b"1")
    while await several(one) != [[b"1"]] * AT_ONCE:
        pass


@needs_store
@LOOPS
def test_a_store_that_responds_is_used_on_a_busy_loop(make_loop: MakeLoop) -> None:
    async def ask() -> None:
        async with running_store() as server, opened(server.settings(timeout=FAST)) as one:
            await connect(one)
            with busy_loop():
                assert await several(one) == [[b"1"]] * AT_ONCE
            assert one.store.is_usable

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(ask())


@needs_store
@LOOPS
def test_a_hanging_store_times_out_on_a_busy_loop(make_loop: MakeLoop) -> None:
    async def ask() -> None:
        async with running_store() as server, opened(server.settings(timeout=FAST)) as one:
            await connect(one)
            server.pause()
            began = get_running_loop().time()
            with busy_loop():
                found = await several(one)
                took = get_running_loop().time() - began
                while one.store.is_usable:  # earlier successes count, too
                    await several(one)
            assert {kind_of(each) for each in found} == {StoreFailureKind.TIMEOUT}
            turns = STEPS + TURNS + 2  # the start of the commands and the results take turns, too
            assert took < FAST + turns * 2 * LAG  # twice: this machine may be busy
            server.go_on()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(ask())


async def test_a_time_limit_is_exact_on_a_loop_without_lag() -> None:
    clock, ended = ManualClock(), list[float]()
    TimeLimit(0.02, clock, lambda: ended.append(clock.seconds))
    clock.advance(0.019)
    await clock.settle()
    assert not ended
    clock.advance(0.001)
    await clock.settle()
    assert len(ended) == 1


async def test_a_late_step_counts_only_for_its_own_length() -> None:
    clock, ended = ManualClock(), list[float]()
    TimeLimit(0.02, clock, lambda: ended.append(clock.seconds))
    clock.stall(1.0)
    clock.advance(0.014)
    await clock.settle()
    assert not ended
    clock.advance(0.001)
    await clock.settle()
    assert len(ended) == 1


async def test_a_cancelled_time_limit_never_ends() -> None:
    clock, ended = ManualClock(), list[float]()
    for passed in (0.0, 0.006, 0.02):  # at once, between two steps, and in the turns after the last
        limit = TimeLimit(0.02, clock, lambda: ended.append(clock.seconds))
        clock.advance(passed)
        limit.cancel()
        clock.advance(1.0)
        await clock.settle()
    assert not ended
