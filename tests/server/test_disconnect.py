"""The work for a request is cancelled when its client disconnects, and only then."""

import asyncio
from contextlib import suppress

import pytest
from starlette.types import Message

from app.server.disconnect import DisconnectWatch
from tests.garbage import collecting, rare_collector


class DisconnectingClient:
    """A client that waits for a response, and may disconnect before it.

    Attributes:
        asked: How often the gateway has waited for its disconnect.
        waiting: How many tasks wait for its disconnect.
    """

    def __init__(self) -> None:
        self.asked = self.waiting = 0
        self.was_asked = asyncio.Event()
        self._left = asyncio.Event()

    def leave(self) -> None:
        """Disconnect."""
        self._left.set()

    async def receive(self) -> Message:
        """Return the disconnect as soon as it happens."""
        self.asked += 1
        self.was_asked.set()
        self.waiting += 1
        try:
            await self._left.wait()
        finally:
            self.waiting -= 1
        return {"type": "http.disconnect"}


async def answer(seconds: float) -> str:
    """Return an answer after a time."""
    await asyncio.sleep(seconds)
    return "answer"


async def answer_after(event: asyncio.Event) -> str:
    """Return an answer after an event."""
    await event.wait()
    return "answer"


async def test_a_connected_client_gets_its_result() -> None:
    watch, quick, slow = DisconnectWatch(), DisconnectingClient(), DisconnectingClient()

    async with asyncio.TaskGroup() as group:
        soon = group.create_task(watch.while_connected(quick.receive, answer(0)))
        later = group.create_task(watch.while_connected(slow.receive, answer_after(slow.was_asked)))

    assert (soon.result(), later.result()) == ("answer", "answer")
    assert (quick.asked, slow.asked) == (0, 1)
    assert slow.waiting == 0


async def test_a_disconnect_ends_only_the_work_of_that_client() -> None:
    watch, clients = DisconnectWatch(), [DisconnectingClient() for _ in range(3)]

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        stays = group.create_task(watch.while_connected(clients[0].receive, answer(0.4)))
        leave = [
            group.create_task(watch.while_connected(one.receive, answer(60))) for one in clients[1:]
        ]
        await asyncio.sleep(0.05)
        clients[1].leave()
        await asyncio.sleep(0.25)
        clients[2].leave()

    assert stays.result() == "answer"
    assert [one.result() for one in leave] == [None, None]
    assert not any(one.cancelling() for one in leave)


async def test_a_client_after_an_idle_time_is_watched() -> None:
    watch = DisconnectWatch()
    for _ in range(2):
        client = DisconnectingClient()
        client.leave()
        async with asyncio.timeout(5):
            assert await watch.while_connected(client.receive, answer(60)) is None
        await asyncio.sleep(0.25)


@pytest.mark.parametrize("seconds", [0.0, 0.25])
async def test_a_cancelled_request_ends_as_cancelled(seconds: float) -> None:
    client = DisconnectingClient()
    task = asyncio.create_task(DisconnectWatch().while_connected(client.receive, answer(60)))
    await asyncio.sleep(seconds)

    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert task.cancelled()


async def test_an_exception_of_the_work_is_raised() -> None:
    async def fail() -> None:
        await asyncio.sleep(0.25)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await DisconnectWatch().while_connected(DisconnectingClient().receive, fail())


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_slow_request_leaves_nothing_to_the_garbage_collector(*, leaves: bool) -> None:
    watch = DisconnectWatch()

    async def served() -> str | None:
        client = DisconnectingClient()
        work = answer_after(asyncio.Event() if leaves else client.was_asked)
        request = asyncio.create_task(watch.while_connected(client.receive, work))
        await client.was_asked.wait()
        if leaves:
            client.leave()
        return await request

    await served()
    with rare_collector(), collecting() as found:
        assert await served() == (None if leaves else "answer")
        await asyncio.sleep(0)  # ended tasks release their objects
    watch.close()

    assert not found
