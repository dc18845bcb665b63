"""A small real HTTP proxy on 127.0.0.1: it forwards plain requests, and tunnels the others."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

HEAD_ENDS = b"\r\n\r\n"


@dataclass
class Proxy:
    """The proxy.

    Attributes:
        url: Where it is.
        credentials: What it wants in ``Proxy-Authorization``, if it wants anything.
        heads: First line and headers of each request that it was sent, as they came.
    """

    url: str = ""
    credentials: str | None = None
    heads: list[str] = field(default_factory=list[str])

    @property
    def lines(self) -> list[str]:
        """The first line of each request."""
        return [head.partition("\r\n")[0] for head in self.heads]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: a tunnel, or one request after another."""
        try:
            while True:
                head = (await reader.readuntil(HEAD_ENDS)).decode("latin-1")
                self.heads.append(head)
                first, _, headers = head.partition("\r\n")
                named = headers.replace("proxy-authorization", "Proxy-Authorization")
                if self.credentials is not None and self.credentials not in named:
                    writer.write(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n")
                    continue
                method, target, version = first.split(" ")
                if method == "CONNECT":
                    await self._tunnel(target, reader, writer)
                    return
                await self._forward(method, target, version, headers, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side has gone
        finally:
            writer.close()

    async def _tunnel(
        self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry bytes both ways until one side closes."""
        host, _, port = target.rpartition(":")
        other_reader, other_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(_carry(reader, other_writer), _carry(other_reader, writer))

    async def _forward(
        self, method: str, target: str, version: str, headers: str, writer: asyncio.StreamWriter
    ) -> None:
        """Send a request on, and its answer back; without a body, and with what is not for us."""
        parts = urlsplit(target)
        there = target.partition("://")[2].partition("/")[2]
        kept = [line for line in headers.split("\r\n") if not line.lower().startswith("proxy-")]
        reader, other = await asyncio.open_connection(parts.hostname, parts.port)
        other.write(f"{method} /{there} {version}\r\n".encode("latin-1"))
        other.write("\r\n".join(kept).encode("latin-1"))
        head = await reader.readuntil(HEAD_ENDS)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        writer.write(head + await reader.readexactly(length))
        other.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way."""
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxying() -> AsyncGenerator[Proxy]:
    """Run a proxy; every connection of it ends with the context."""
    proxy = Proxy()
    connections: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as group:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(group.create_task(proxy.serve(reader, writer)))

        listener = await asyncio.start_server(accept, "127.0.0.1", 0)
        proxy.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        try:
            yield proxy
        finally:
            listener.close()
            for connection in connections:
                connection.cancel()
