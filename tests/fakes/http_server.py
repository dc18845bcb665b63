"""An HTTP server on 127.0.0.1: a test scripts its answers, its delays and its faults."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from app.resilience.clock import Clock, SystemClock
from tests.fakes.raw_server import reset

NUMBER = "x-number"
"""The header by which a test tells which of its calls a request is."""


class ClientLeftError(Exception):
    """The client went away while it was kept waiting."""


class Changes:
    """Wakes whoever waits for something to become true. Nothing is remembered."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def tell(self) -> None:
        """Say that something has changed."""
        now, self._next = self._next, asyncio.Event()
        now.set()

    async def wait(self) -> None:
        """Wait for the next change."""
        await self._next.wait()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so."""
        while not condition():
            await self.wait()


@dataclass(frozen=True)
class HttpRequest:
    """A request as it came over the wire.

    Attributes:
        head: Its first line and its headers, as they came.
        body: The body.
    """

    head: str
    body: bytes = b""

    @property
    def line(self) -> str:
        """The first line."""
        return self.head.partition("\r\n")[0]

    @property
    def method(self) -> str:
        """The method."""
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        """The request target, byte for byte."""
        return self.line.split(" ")[1]

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """The query, as a server reads it."""
        query = self.target.partition("?")[2]
        return parse_qsl(query, keep_blank_values=True, strict_parsing=True)

    @property
    def keys(self) -> list[str]:
        """The users that are asked for, by the contract of the three services."""
        return [value for name, value in self.parameters if name in {"id", "userId"}]

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Name in lower case and value of each header, in their order."""
        pairs = (line.partition(":") for line in self.head.split("\r\n")[1:] if line)
        return tuple((name.lower(), value.strip()) for name, _, value in pairs)

    def header(self, name: str) -> list[str]:
        """List all values of a header."""
        return [value for found, value in self.headers if found == name]


@dataclass
class HttpExchange:
    """One request, and the ways to answer it.

    Attributes:
        request: The request.
        server: Whose it is.
        reader: What the client sends further; nothing, until it leaves.
        writer: The way to the client.
    """

    request: HttpRequest
    server: "HttpServer"
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(
        self,
        body: bytes = b"[]",
        status: str = "200 OK",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with a body, rightly by HTTP."""
        self.head(status, {"Content-Length": str(len(body)), **(headers or {})})
        await self.write(body)

    async def drip(self, body: bytes, seconds: float) -> None:
        """Answer a byte at a time: no single read is slow, but the whole takes long."""
        self.head(headers={"Content-Length": str(len(body))})
        for byte in body:
            await self.wait(seconds)  # never after the last: the client may ask again then
            await self.write(bytes([byte]))

    def head(self, status: str = "200 OK", headers: Mapping[str, str] | None = None) -> None:
        """Begin an answer; JSON unless the headers say another type."""
        all_headers = {"Content-Type": "application/json", **(headers or {})}
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {all_headers[name]}" for name in all_headers)]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def write(self, data: bytes) -> None:
        """Send some bytes, as fast as the client takes them."""
        self.writer.write(data)
        await self.writer.drain()

    async def wait(self, seconds: float | None = None) -> None:
        """Keep the client waiting, for ever or for a while; raises when it leaves meanwhile."""
        number = "".join(self.request.header(NUMBER))
        leaving = asyncio.create_task(self.reader.read(1))
        waiting: set[asyncio.Task[object]] = {leaving}
        if seconds is not None:
            waiting.add(asyncio.create_task(self.server.clock.sleep(seconds)))
        self.server.held[number] += 1
        self.server.changes.tell()
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                assert not leaving.result(), "the client goes on before it has its answer"
                raise ClientLeftError
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
            self.server.held -= Counter([number])
            self.server.changes.tell()

    def close(self) -> None:
        """Close the connection in an orderly way."""
        self.writer.close()

    def reset(self) -> None:
        """Tear the connection down: the client gets a reset instead of an end."""
        reset(self.writer.transport)


Answer = Callable[[HttpExchange], Awaitable[None]]
"""Answers one request; the connection stays open afterwards unless it closes it."""


@dataclass
class HttpServer:
    """The server.

    An error of ``answer`` ends the context in which it listens: so a request that a test does not
    expect fails the test.

    Attributes:
        answer: What it does with each request.
        clock: Passes the time for which it keeps clients waiting.
        changes: Tells when it begins or ends to serve or to hold a request.
        base_url: Where it is.
        requests: Every request.
        accepted: How many connections it accepted.
        open: How many connections are open.
        busy: How many requests are being served.
        held: The requests that it keeps waiting, by their numbers.
        tasks: What serves the open connections.
    """

    answer: Answer
    clock: Clock = field(default_factory=SystemClock)
    changes: Changes = field(default_factory=Changes)
    base_url: str = ""
    requests: list[HttpRequest] = field(default_factory=list[HttpRequest])
    accepted: int = 0
    open: int = 0
    busy: int = 0
    held: Counter[str] = field(default_factory=Counter[str])
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    @asynccontextmanager
    async def listening(
        self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> AsyncGenerator[Self]:
        """Serve, over TLS if that is given; every connection ends with the context."""
        async with asyncio.TaskGroup() as group:

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = group.create_task(self._serve(reader, writer))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

            listener = await asyncio.start_server(accept, host, 0, backlog=1024, ssl=tls)
            scheme = "http" if tls is None else "https"
            self.base_url = f"{scheme}://{host}:{listener.sockets[0].getsockname()[1]}"
            try:
                yield self
            finally:
                listener.close()
                for task in list(self.tasks):
                    task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side closes it."""
        self.accepted += 1
        self.open += 1
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.busy += 1
                self.changes.tell()
                try:
                    length = HttpRequest(head).header("content-length")
                    body = await reader.readexactly(int(length[0]) if length else 0)
                    self.requests.append(HttpRequest(head, body))
                    await self.answer(HttpExchange(self.requests[-1], self, reader, writer))
                    await writer.drain()
                finally:
                    self.busy -= 1
                    self.changes.tell()
        except (asyncio.IncompleteReadError, ConnectionError, ClientLeftError):
            pass  # the client has gone, as clients do
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self.open -= 1
            self.changes.tell()


def serving(
    answer: Answer, tls: ssl.SSLContext | None = None
) -> AbstractAsyncContextManager[HttpServer]:
    """Run a server."""
    return HttpServer(answer).listening(tls)


def saying(
    body: bytes = b"[]", status: str = "200 OK", headers: Mapping[str, str] | None = None
) -> Answer:
    """Make an answer that is right by HTTP."""
    return lambda exchange: exchange.say(body, status, headers)


def writing(data: bytes) -> Answer:
    """Make an answer of any bytes, after which the server closes the connection."""

    async def answer(exchange: HttpExchange) -> None:
        await exchange.write(data)
        exchange.close()

    return answer


async def hanging(exchange: HttpExchange) -> None:
    """Never answer."""
    await exchange.wait()
