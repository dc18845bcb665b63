"""Ending work that nobody waits for any more.

A server does not cancel the handler of a client that has gone: it would go on asking sources for an
answer that cannot be delivered.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


GRACE = 0.1
"""Seconds before it is watched whether the client is there: most requests are answered by then,
and to watch them would cost a tenth of what they cost."""


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """Do some work for as long as its client is there.

    Args:
        receive: The request's ASGI channel, its body read to the end.
        work: What to do.

    Returns:
        What came of it, or ``None`` when the client went away before; the work has ended then.
    """
    loop, doing = asyncio.get_running_loop(), asyncio.current_task()
    watching: asyncio.Task[None] | None = None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        if doing is not None:
            doing.cancel()

    def begin() -> None:
        nonlocal watching
        watching = loop.create_task(watch())

    timer = loop.call_later(GRACE, begin)
    try:
        return await work
    except asyncio.CancelledError:
        if not gone or doing is None:
            raise
        doing.uncancel()
        return None
    finally:
        timer.cancel()
        if watching is not None:
            watching.cancel()
            await asyncio.wait([watching])
