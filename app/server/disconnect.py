"""Ending work that nobody waits for any more.

A server does not cancel the handler of a client that has gone: it would go on asking sources for an
answer that cannot be delivered.
"""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


GRACE = 0.1
"""Seconds, at least, before it is watched whether a client is there, and at most twice as many:
most requests are answered by then, and to watch them would cost a tenth of what they cost."""


class DisconnectWatch:
    """Watches whether clients are there. Shared by all requests, which are on one event loop.

    A timer for each request would cost more than all else here. So there is one, which goes off
    while there are requests: those that it finds for the second time are watched from then on.
    """

    def __init__(self) -> None:
        self._new: set[_Client] = set()
        self._old: set[_Client] = set()
        self._next: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Look no more, since no more requests come."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    async def while_connected(self, receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
        """Do some work for as long as its client is there.

        Args:
            receive: The request's ASGI channel, its body read to the end.
            work: What to do.

        Returns:
            What came of it, or ``None`` when the client went away before; the work has ended then.
        """
        client = _Client(receive, asyncio.current_task())
        self._new.add(client)
        if self._next is None:
            self._begin_round()
        try:
            return await work
        except asyncio.CancelledError:
            if not client.gone or client.doing is None or client.doing.uncancel():
                raise  # somebody else has cancelled it, perhaps beside us
            return None
        finally:
            self._new.discard(client)
            self._old.discard(client)
            if client.watching is not None:
                client.watching.cancel()
                await asyncio.wait([client.watching])

    def _begin_round(self) -> None:
        """Look again in a while; as nobody's, though it is within a request that this is begun."""
        loop = asyncio.get_running_loop()
        self._next = loop.call_later(GRACE, self._end_round, context=Context())

    def _end_round(self) -> None:
        """Watch whoever is still here since the round before."""
        for client in self._old:
            client.watching = asyncio.create_task(client.watch())
        self._old, self._new, self._next = self._new, set(), None
        if self._old:
            self._begin_round()


class _Client:
    """Who waits for an answer.

    Attributes:
        doing: The task in which it is made.
        gone: Whether the client went away.
        watching: The task that finds out, once there is one.
    """

    __slots__ = ("_receive", "doing", "gone", "watching")

    def __init__(self, receive: Receive, doing: asyncio.Task[Any] | None) -> None:
        self._receive = receive
        self.doing = doing
        self.gone = False
        self.watching: asyncio.Task[None] | None = None

    async def watch(self) -> None:
        """Wait for the client to go away, and end what is done for it."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self.doing is not None:
            self.doing.cancel()
