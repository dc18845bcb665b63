"""A client that reads the payloads of a response as they arrive, without a library."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import ASGIApp, Message

PATIENCE = 10.0
"""Seconds after which a missing payload fails its test."""

CURRENT = "multipart/mixed;incrementalSpec=v0.2,application/graphql-response+json"
OF_2022 = "multipart/mixed;deferSpec=20220824,application/graphql-response+json"
EVENTS = "text/event-stream"

Json = dict[str, Any]


@dataclass
class Conversation:
    """One request, and the part of its response that has arrived.

    Attributes:
        status: The status of the response, once its head has arrived.
        headers: Its headers.
        pieces: The pieces of its body that are not read yet.
        body: The body as far as it has arrived.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    pieces: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue[bytes])
    body: bytes = b""
    _begun: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _left: asyncio.Event = field(default_factory=asyncio.Event)
    _read: bytes = b""

    async def take(self, message: Message) -> None:
        """Take a part of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {
                name.decode(): value.decode("latin-1") for name, value in message["headers"]
            }
            self._begun.set()
            return
        self.body += message.get("body", b"")
        self.pieces.put_nowait(message.get("body", b""))
        if not message.get("more_body", False):
            self.end()

    def end(self) -> None:
        """Note that the response has ended."""
        self._ended.set()
        self.pieces.put_nowait(b"")

    def leave(self) -> None:
        """Disconnect."""
        self._left.set()

    async def disconnected(self) -> Message:
        """Wait until the client has disconnected."""
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def next(self) -> Json:
        """Read the next payload."""
        while (found := self._next()) is None:
            async with asyncio.timeout(PATIENCE):
                self._read += await self.pieces.get()
            assert self._read or not self._ended.is_set(), "no payload is left"
        return found

    async def all(self) -> list[Json]:
        """Read all payloads."""
        payloads = [await self.next()]
        while payloads[-1].get("hasNext", False):
            payloads.append(await self.next())
        return payloads

    async def is_whole(self) -> bool:
        """Wait for the head, and return whether the response is one JSON body."""
        await asyncio.wait_for(self._begun.wait(), PATIENCE)
        return self.headers["content-type"].startswith("application/")

    async def whole(self) -> Json:
        """Read the whole body, which is JSON."""
        await asyncio.wait_for(self._ended.wait(), PATIENCE)
        response: Json = orjson.loads(self.body)
        return response

    def _next(self) -> Json | None:
        """Take the next payload, if it has arrived completely."""
        text = self._read
        if self.headers.get("content-type", "").startswith(EVENTS):
            event, end, rest = text.partition(b"\n\n")
            if not end:
                return None
            kind, data = event.split(b"\n")
            assert kind == b"event: next", event
        else:
            text = text.removeprefix(b"\r\n---\r\n")
            part, end, rest = text.partition(b"\r\n---")
            if not end:
                return None
            rest = rest.removeprefix(b"\r\n")
            head, _, data = part.partition(b"\r\n\r\n")
            assert head == b"Content-Type: application/json; charset=utf-8", part
        self._read = rest
        payload: Json = orjson.loads(data.removeprefix(b"data: "))
        return payload


@asynccontextmanager
async def asking(
    app: ASGIApp,
    query: str | Sequence[str],
    variables: Mapping[str, object] | None = None,
    *,
    accept: str | None = CURRENT,
    headers: Mapping[str, str] | None = None,
    on_error: str | None = None,
    version: str = "1.1",
) -> AsyncGenerator[Conversation]:
    """Send an operation, or a batch of them, and read its response.

    Args:
        app: The application.
        query: The document, or one for each operation of a batch.
        variables: The variables.
        accept: The ``Accept`` header.
        headers: Further headers.
        on_error: The value of ``onError``, if any.
        version: The version of HTTP.

    Yields:
        The conversation. At its end the client disconnects.
    """
    texts = [query] if isinstance(query, str) else query
    chosen = {} if on_error is None else {"onError": on_error}
    bodies = [{"query": text, "variables": variables or {}, **chosen} for text in texts]
    parts = [orjson.dumps(bodies[0] if isinstance(query, str) else bodies)]
    talk = Conversation()

    async def receive() -> Message:
        if parts:
            return {"type": "http.request", "body": parts.pop(), "more_body": False}
        return await talk.disconnected()

    sent = {"host": "gateway", "content-type": "application/json", **(headers or {})}
    if accept is not None:
        sent["accept"] = accept
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": version,
        "method": "POST",
        "scheme": "http",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "query_string": b"",
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()
        ],
        "client": ("127.0.0.1", 1),
        "server": ("gateway", 80),
        "state": {},
    }

    async def serve() -> None:
        try:
            await app(scope, receive, talk.take)
        finally:
            talk.end()

    serving = asyncio.ensure_future(serve())
    try:
        yield talk
    finally:
        talk.leave()
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(serving, PATIENCE)


def applied(payloads: Sequence[Json]) -> Json:
    """Apply payloads of the current form in their order, by the draft of the specification.

    Args:
        payloads: The payloads; a single response is one payload.

    Returns:
        The response: its data, and the errors of all payloads.
    """
    first = payloads[0]
    if "hasNext" not in first:
        return first
    data, errors = first.get("data"), [*first.get("errors", ())]
    pending: dict[str, Json] = {}
    for payload in payloads:
        pending |= {one["id"]: one for one in payload.get("pending", ())}
        for part in payload.get("incremental", ()):
            place = at(data, [*pending[part["id"]]["path"], *part.get("subPath", ())])
            errors += part.get("errors", ())
            if "items" in part:
                place += part["items"]
            else:
                assert place.keys().isdisjoint(part["data"]), "a field was sent twice"
                place |= part["data"]
        for done in payload.get("completed", ()):
            errors += done.get("errors", ())
            del pending[done["id"]]
    assert not pending
    return {"data": data, "errors": errors} if errors else {"data": data}


def applied_2022(payloads: Sequence[Json]) -> Json:
    """Apply payloads of the form of August 2022 in their order.

    Args:
        payloads: The payloads.

    Returns:
        The response: its data, and the errors of all payloads.
    """
    first = payloads[0]
    if "hasNext" not in first:
        return first
    data, errors = first.get("data"), [*first.get("errors", ())]
    for payload in payloads[1:]:
        for part in payload.get("incremental", ()):
            errors += part.get("errors", ())
            if part.get("items") is not None:
                *path, number = part["path"]
                place = at(data, path)
                assert len(place) == number
                place += part["items"]
            elif part.get("data") is not None:
                at(data, part["path"]).update(part["data"])
    return {"data": data, "errors": errors} if errors else {"data": data}


def at(data: Any, path: Sequence[str | int]) -> Any:  # noqa: ANN401 # JSON
    """Find the value at a path."""
    for part in path:
        data = data[part]
    return data
