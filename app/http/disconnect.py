"""Ending work that nobody waits for any more.

A server does not cancel the handler of a client that has gone: it would go on asking sources for an
answer that cannot be delivered.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """Do some work for as long as its client is there.

    Args:
        receive: The request's ASGI channel, its body read to the end.
        work: What to do.

    Returns:
        What came of it, or ``None`` when the client went away before; the work has ended then.
    """
    doing = asyncio.create_task(work)
    leaving = asyncio.create_task(_client_leaves(receive))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        doing.cancel()
        leaving.cancel()
        await asyncio.wait({doing, leaving})


async def _client_leaves(receive: Receive) -> None:
    """Wait until the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass
