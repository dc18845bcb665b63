"""Cancels the work for a client that has disconnected.

The server does not cancel the handler of such a request. Without this module the handler would go
on calling sources for a response that nobody can receive.
"""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


GRACE = 0.1
"""A request is watched after ``GRACE`` to twice ``GRACE`` seconds. Most requests are answered by
then; watching them would add a tenth to their CPU time."""


class DisconnectWatch:
    """Watches for clients that disconnect. Shared by all requests of one event loop.

    One timer per request would cost more than everything else here. So all requests share one
    timer: a request that it finds for the second time is watched from then on.
    """

    def __init__(self) -> None:
        self._new: set[_Client] = set()
        self._old: set[_Client] = set()
        self._next: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Stop the timer, at the end of the application."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    async def while_connected(self, receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
        """Run work, and cancel it if its client disconnects.

        Args:
            receive: The request's ASGI channel. The body must have been read to its end.
            work: The work.

        Returns:
            The result of the work; ``None`` if the client disconnected first. The work has ended in
            either case.
        """
        client = _Client(receive, asyncio.current_task())
        self._new.add(client)
        if self._next is None:
            self._start_timer()
        try:
            return await work
        except asyncio.CancelledError:
            if not client.gone or client.task is None or client.task.uncancel():
                raise  # something else has cancelled it, too
            return None
        finally:
            self._new.discard(client)
            self._old.discard(client)
            watching, client.watching = client.watching, None
            if watching is not None:
                watching.cancel()
                await asyncio.wait([watching])

    def _start_timer(self) -> None:
        """Start the timer, in an empty context: it does not belong to the current request."""
        loop = asyncio.get_running_loop()
        self._next = loop.call_later(GRACE, self._watch_old, context=Context())

    def _watch_old(self) -> None:
        """Watch the requests that the timer also found last time."""
        for client in self._old:
            client.watching = asyncio.create_task(client.watch())
        self._old, self._new, self._next = self._new, set(), None
        if self._old:
            self._start_timer()


class _Client:
    """The client of one request.

    Attributes:
        task: The task that answers the request.
        gone: Whether the client has disconnected.
        watching: The task that waits for a disconnect, once it is started. It is dropped at the
            end: a cancelled task keeps its exception, whose traceback leads back to this object.
            Only the garbage collector would free them, with the request.
    """

    __slots__ = ("_receive", "gone", "task", "watching")

    def __init__(self, receive: Receive, task: asyncio.Task[Any] | None) -> None:
        self._receive = receive
        self.task = task
        self.gone = False
        self.watching: asyncio.Task[None] | None = None

    async def watch(self) -> None:
        """Wait until the client disconnects, then cancel the task."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self.task is not None:
            self.task.cancel()
