"""An HTTP proxy on 127.0.0.1: it forwards plain requests, and tunnels the others."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

from tests.fakes.http_server import HttpExchange, HttpServer


class Proxy(HttpServer):
    """The proxy.

    Attributes:
        credentials: The required value of ``Proxy-Authorization``, or ``None``.
    """

    def __init__(self) -> None:
        super().__init__(self._serve_one)
        self.credentials: str | None = None

    @property
    def lines(self) -> list[str]:
        """The first line of each request."""
        return [request.line for request in self.requests]

    async def _serve_one(self, exchange: HttpExchange) -> None:
        """Answer a request, or make the connection a tunnel."""
        request = exchange.request
        if self.credentials not in {None, *request.header("proxy-authorization")}:
            await exchange.say(b"", "407 Who")
        elif request.method == "CONNECT":
            await self._tunnel(exchange)
        else:
            await self._forward(exchange)

    async def _tunnel(self, exchange: HttpExchange) -> None:
        """Carry bytes both ways until one side closes."""
        host, _, port = exchange.request.target.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        exchange.writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(_carry(exchange.reader, writer), _carry(reader, exchange.writer))

    async def _forward(self, exchange: HttpExchange) -> None:
        """Forward a request without its proxy headers, and send the response back."""
        request = exchange.request
        there = urlsplit(request.target)
        target = request.target.partition("://")[2].partition("/")[2]
        lines = [f"{request.method} /{target} HTTP/1.1", *request.head.split("\r\n")[1:]]
        kept = [line for line in lines if not line.lower().startswith("proxy-")]
        reader, writer = await asyncio.open_connection(there.hostname, there.port)
        writer.write("\r\n".join(kept).encode("latin-1") + request.body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await exchange.write(head + await reader.readexactly(length))
        writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes one way."""
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
