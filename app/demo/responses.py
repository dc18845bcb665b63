"""Responses of the demo's services: JSON with a strong entity tag, or a problem in JSON.

Each response has the request id of the caller.
"""

import re
from hashlib import blake2b
from http import HTTPStatus

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ENTITY_TAG = re.compile(r'"[^"]*"')


def answer(request: Request, body: bytes) -> Response:
    """The body with its entity tag, or 304 when the caller has it already (RFC 9110, 13.1.2).

    Args:
        request: Its `If-None-Match` is heeded.
        body: JSON.
    """
    tag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
    held = request.headers.get("if-none-match", "")
    if held.strip() == "*" or tag in _ENTITY_TAG.findall(held):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"etag": tag})
    return Response(body, headers={"etag": tag}, media_type="application/json")


def problem(status: int, detail: str) -> Response:
    """A failure as problem details (RFC 9457).

    Args:
        status: 400 to 599; one without a registered name is allowed.
        detail: What is wrong and, where it helps, what would be right.
    """
    known = status in HTTPStatus.__members__.values()
    title = HTTPStatus(status).phrase if known else "Error"
    body = orjson.dumps({"title": title, "status": status, "detail": detail})
    return Response(body, status_code=status, media_type="application/problem+json")


async def http_problem(_request: Request, error: Exception) -> Response:
    """What Starlette or a handler refuses, as a problem."""
    if not isinstance(error, HTTPException):
        raise error
    answered = problem(error.status_code, error.detail)
    answered.headers.update(error.headers or {})
    return answered


async def server_problem(_request: Request, _error: Exception) -> Response:
    """A mistake of ours, as a problem that shows nothing of it."""
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the service made a mistake")


_HEADER = b"x-request-id"


class EchoRequestId:
    """Gives a request's `X-Request-ID` back in its response, so that both logs can be joined.

    Args:
        app: The application to wrap.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan, which has no headers."""
        found = [value for name, value in scope.get("headers", ()) if name == _HEADER]
        if not found:
            await self._app(scope, receive, send)
            return

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (_HEADER, found[0])]
            await send(message)

        await self._app(scope, receive, send_with_id)
