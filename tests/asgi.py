"""A client without a library: those leave garbage and caches of their own in the process."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Sent:
    """A request that is sent.

    Attributes:
        body: Its body.
        headers: Its headers beside ``Host`` and ``Content-Type``, or in place of them.
    """

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


async def send(app: ASGIApp, request: Sent) -> bytes:
    """Send a request to the application.

    Args:
        app: The application.
        request: The request.

    Returns:
        The body of the answer.
    """
    parts = [request.body]
    answer: list[bytes] = []
    headers = {"host": "gateway", "content-type": "application/json", **request.headers}

    async def receive() -> Message:
        if parts:
            return {"type": "http.request", "body": parts.pop(), "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError("nobody goes away")

    async def take(message: Message) -> None:
        answer.append(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("gateway", 80),
        "state": {},
    }
    await app(scope, receive, take)
    return b"".join(answer)
