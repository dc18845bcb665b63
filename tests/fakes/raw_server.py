"""A server on 127.0.0.1 that writes the bytes that a test says, when the test says so.

All of it runs in the test's own event loop. What is sent on 127.0.0.1 waits in the socket of the
receiver at once, so a test decides in which order things happen.
"""

import asyncio
import select
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self, cast


def reset(transport: asyncio.WriteTransport) -> None:
    """Close a connection by a reset: the other side's bytes are lost, and ours that it has not."""
    own: socket.socket = transport.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def answered(body: bytes, *lines: str, status: str = "200 OK", sized: bool = True) -> bytes:
    """Write an answer.

    Args:
        body: Its body.
        lines: Further lines of its head.
        status: Its status.
        sized: Whether its head says how long the body is.
    """
    length = [f"Content-Length: {len(body)}"] if sized else []
    head = "\r\n".join([f"HTTP/1.1 {status}", *length, *lines, "", ""])
    return head.encode() + body


def chunked(*pieces: bytes, trailer: bytes = b"") -> bytes:
    """Write an answer in chunks."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head + body + b"0\r\n" + trailer + b"\r\n"


class RawConnection(asyncio.Protocol):
    """One connection, as the server has it.

    Attributes:
        number: Which one it is.
        heads: The head of each request that came on it.
    """

    def __init__(self, server: "RawServer") -> None:
        self.number = len(server.peers)
        self.heads: list[str] = []
        self._server = server
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._socket = select.poll()

    @property
    def is_open(self) -> bool:
        """Whether neither side has closed it."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def has_unread(self) -> bool:
        """Whether something has come that was not read yet: a request that is on its way."""
        return bool(self._socket.poll(0))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._socket.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._server.peers.append(self)
        if self._server.greeting:
            self.send(self._server.greeting)

    def data_received(self, data: bytes) -> None:
        """Take requests, and have each answered. Of bodies only the length is read."""
        self._received += data
        while b"\r\n\r\n" in self._received and self.is_open:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            if len(rest) < length and not self._server.hasty:
                return
            self._received = rest[length:]
            self.heads.append(head.decode())
            try:
                self._server.behaviour(self)
            except Exception as error:  # noqa: BLE001 # the context raises it at its end
                self._server.errors.append(error)
                self.reset()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        del exc
        self._transport = None

    @property
    def targets(self) -> list[str]:
        """The target of each request that came on it."""
        return [head.split(" ")[1] for head in self.heads]

    @property
    def target(self) -> str:
        """The target of the last of them."""
        return self.targets[-1]

    def send(self, data: bytes) -> None:
        """Send bytes, if the connection is still open."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Send the end."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Have the other side's bytes, and what it sends from now on, be lost."""
        if self._transport is not None:
            reset(self._transport)


@dataclass
class RawServer:
    """The server.

    Attributes:
        behaviour: What it does with each request; an error of it is raised when the context ends.
        greeting: What it sends on each new connection before it is asked.
        hasty: Whether it answers a request before its body has come.
        base_url: Where it is.
        peers: Every connection that was opened.
        errors: What ``behaviour`` raised.
    """

    behaviour: Callable[[RawConnection], None]
    greeting: bytes = b""
    hasty: bool = False
    base_url: str = ""
    peers: list[RawConnection] = field(default_factory=list[RawConnection])
    errors: list[Exception] = field(default_factory=list[Exception])

    @property
    def targets(self) -> list[str]:
        """The target of each request, connection by connection."""
        return [target for peer in self.peers for target in peer.targets]

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Self]:
        """Serve, over TLS if that is given; every connection ends with the context."""
        server = await asyncio.get_running_loop().create_server(
            lambda: RawConnection(self), "127.0.0.1", 0, ssl=tls
        )
        scheme = "http" if tls is None else "https"
        self.base_url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for peer in self.peers:
                peer.reset()
            await asyncio.sleep(0)
            for error in self.errors:
                raise error


def echo(peer: RawConnection) -> None:
    """Answer a request with its target, so that it tells whose answer it is."""
    peer.send(answered(peer.target.encode()))


async def settle() -> None:
    """Let what waits in sockets be read, by both sides."""
    for _ in range(20):
        await asyncio.sleep(0)
