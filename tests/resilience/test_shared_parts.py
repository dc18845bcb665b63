"""Parts that two gateways share, so that they outlive the first one."""

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest

from app.resilience.shared_parts import SharedParts


class Part:
    """A part with a name."""

    def __init__(self, name: str) -> None:
        self.name = name


class Opener:
    """Opens parts, and records when they are opened and closed."""

    def __init__(self) -> None:
        self.events: list[str] = []

    @asynccontextmanager
    async def open(self, name: str) -> AsyncGenerator[Part]:
        """Open a part."""
        self.events.append(f"open {name}")
        async with asyncio.TaskGroup():  # a group has to end in the task in which it began
            try:
                yield Part(name)
            finally:
                self.events.append(f"close {name}")


async def test_a_part_of_equal_settings_is_shared_and_closed_with_its_last_user() -> None:
    shared, opener = SharedParts(), Opener()
    first, second, third = AsyncExitStack(), AsyncExitStack(), AsyncExitStack()

    one = await first.enter_async_context(shared.opened("a", [1], partial(opener.open, "one")))
    two = await second.enter_async_context(shared.opened("a", [1], partial(opener.open, "two")))
    three = await third.enter_async_context(shared.opened("a", [2], partial(opener.open, "three")))
    await asyncio.create_task(first.aclose())
    before = [*opener.events]
    await asyncio.create_task(second.aclose())
    await third.aclose()

    assert one is two
    assert (three.name, before) == ("three", ["open one", "open three"])
    assert opener.events[2:] == ["close one", "close three"]


async def test_a_closed_part_is_opened_again() -> None:
    shared, opener = SharedParts(), Opener()
    for _ in range(2):
        async with shared.opened("a", 1, partial(opener.open, "one")):
            pass

    assert opener.events == ["open one", "close one"] * 2


async def test_an_error_of_opening_or_closing_a_part_is_raised_at_its_user() -> None:
    @asynccontextmanager
    async def failing(*, late: bool) -> AsyncGenerator[None]:
        if not late:
            raise OSError("at its start")
        yield
        raise OSError("at its end")

    shared = SharedParts()
    with pytest.raises(OSError, match="at its start"):
        async with shared.opened("a", 1, partial(failing, late=False)):
            pass
    with pytest.raises(OSError, match="at its end"):
        async with shared.opened("a", 1, partial(failing, late=True)):
            pass


async def test_a_cancelled_user_ends_the_opening_of_its_part() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def hanging() -> AsyncGenerator[None]:
        begun.set()
        try:
            await asyncio.Event().wait()
            yield
        finally:
            ended.set()

    async def use() -> None:
        async with SharedParts().opened("a", 1, hanging):
            pass

    user = asyncio.create_task(use())
    await begun.wait()
    user.cancel()
    await asyncio.wait([user])

    assert user.cancelled()
    assert ended.is_set()


def test_a_part_that_needs_no_closing_is_kept_while_it_is_used() -> None:
    shared = SharedParts()
    one = shared.kept("a", 1, partial(Part, "one"))
    same = shared.kept("a", 1, partial(Part, "two"))
    other = shared.kept("a", 2, partial(Part, "three"))
    del other
    gc.collect()
    again = shared.kept("a", 2, partial(Part, "four"))

    assert same is one
    assert again.name == "four"
