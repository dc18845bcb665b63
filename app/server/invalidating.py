"""Invalidation by the admin port: from a request to all processes, and to other gateways.

Each process forgets by itself. With a shared store, one of them also adds the invalidation to the
log in the store, which all gateways follow.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.errors import Code
from app.server.admin_access import MAX_BODY_BYTES, AdminAccess
from app.server.commands import Acknowledgement, InvalidateCache
from app.server.control import ControlListener
from app.server.responses import error_response
from app.sources.cache.feed import InvalidationFeed
from app.sources.cache.invalidation import (
    Invalidation,
    InvalidationError,
    Invalidations,
    read_invalidation,
)

PATH: Final = "/cache/invalidate"
"""The path of invalidations at the admin port."""

WITHIN = 3.0
"""Seconds in which all processes have to answer."""

NOBODY = "no process of this gateway runs: try again when it has started"

TOO_LONG = (
    f"the body is longer than the limit of {MAX_BODY_BYTES} bytes: expected several requests, or"
    " only sources and tags"
)

NOT_SHARED = (
    "the shared store could not be told ({kind}), so that only this gateway has forgotten: send the"
    " same again until all have"
)


def invalidation_route(
    control: ControlListener,
    access: AdminAccess,
    sources: Callable[[], Collection[str]],
) -> Route:
    """Make the route of invalidations.

    Args:
        control: Sends commands to the processes.
        access: The check of the token.
        sources: Returns the names of the sources.

    Returns:
        The route.
    """

    async def invalidate(request: Request) -> Response:
        body = await _body_of(request)
        if body is None:
            return error_response(413, Code.BAD_REQUEST, TOO_LONG)
        try:
            invalidation = read_invalidation(body, sources())
        except InvalidationError as error:
            return error_response(400, Code.BAD_REQUEST, str(error))
        answers, publisher = await asyncio.to_thread(_tell_all, control, invalidation)
        mistakes = [mistake for one in answers for mistake in one.mistakes]
        if publisher not in {one.pid for one in answers}:
            mistakes.append(NOBODY)
        if mistakes:
            return error_response(503, Code.GATEWAY_OVERLOADED, "; ".join(dict.fromkeys(mistakes)))
        done = orjson.dumps({"status": "ok", "processes": len(answers)})
        return Response(done, media_type="application/json")

    return Route(PATH, access.guarded(invalidate), methods=["POST"])


async def _body_of(request: Request) -> bytes | None:
    """Read the body of a request; ``None`` if it is too long. Then it is not read to its end."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _tell_all(
    control: ControlListener, invalidation: Invalidation
) -> tuple[Sequence[Acknowledgement], int]:
    """Tell all processes; return their answers, and which one was to tell the other gateways."""
    control.wait_for_processes(WITHIN)  # one that has just started has a cache, too
    # If the one that tells the others ends meanwhile, nobody may have told them.
    publisher = min(control.processes(), default=0)
    command = InvalidateCache(invalidation=invalidation, publisher=publisher)
    return control.send(command, within=WITHIN), publisher


async def carry_out(
    command: InvalidateCache,
    pid: int,
    invalidations: Invalidations,
    feed: InvalidationFeed | None,
) -> Sequence[str]:
    """Carry out an invalidation in one process.

    Args:
        command: The invalidation.
        pid: The number of this process.
        invalidations: What the process must no longer use.
        feed: Tells the other gateways; ``None`` without a shared store.

    Returns:
        Why it is not done, a sentence for each reason; empty if it is.
    """
    if feed is None or pid != command.publisher:
        invalidations.apply(command.invalidation)
        return ()
    failure = await feed.publish(command.invalidation)
    return () if failure is None else (NOT_SHARED.format(kind=failure.kind.value),)
