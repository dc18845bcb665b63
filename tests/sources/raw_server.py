"""A small real server on 127.0.0.1 that speaks raw HTTP/1.1, so that it can also misbehave."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""Writes the answer to one request; the connection stays open afterwards unless it closes it."""


@dataclass(frozen=True)
class RawRequest:
    """A request as it came over the wire.

    Attributes:
        target: The request target, byte for byte.
        headers: Name in lower case and value of each header, in their order.
        method: The method.
        body: The body.
    """

    target: str
    headers: tuple[tuple[str, str], ...]
    method: str
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """The query, as a server reads it."""
        return parse_qsl(self.target.partition("?")[2], keep_blank_values=True, strict_parsing=True)

    def header(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for found, value in self.headers if found == name]


@dataclass
class RawServer:
    """The server.

    Attributes:
        answer: What it does with each request.
        base_url: Where it is.
        seen: Every request.
        accepted: How many connections it accepted.
    """

    answer: Answer
    base_url: str = ""
    seen: list[RawRequest] = field(default_factory=list[RawRequest])
    accepted: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side closes it."""
        self.accepted += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").split("\r\n")[:-2]
                pairs = (line.partition(":") for line in lines)
                headers = tuple((name.lower(), value.strip()) for name, _, value in pairs)
                method, target, _ = first.split(" ")
                length = int(dict(headers).get("content-length", "0"))
                body = await reader.readexactly(length)
                self.seen.append(RawRequest(target, headers, method, body))
                await self.answer(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone, as clients do
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncGenerator[RawServer]:
    """Run a server, over TLS if that is given; every connection of it ends with the context."""
    server = RawServer(answer)
    connections: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as group:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(group.create_task(server.serve(reader, writer)))

        listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
        scheme = "http" if tls is None else "https"
        server.base_url = f"{scheme}://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        try:
            yield server
        finally:
            listener.close()
            for connection in connections:
                connection.cancel()


def saying(
    body: bytes = b"[]", status: str = "200 OK", headers: Mapping[str, str] | None = None
) -> Answer:
    """Make an answer that is right by HTTP."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return answer


def writing(data: bytes) -> Answer:
    """Make an answer of any bytes, after which the server closes the connection."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return answer


async def hanging(_: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def dripping(writer: asyncio.StreamWriter) -> None:
    """Answer a byte at a time: no single read is slow, but the whole takes seconds."""
    body = b"[" + b" " * 1000 + b"]"
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    for byte in body:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.003)
