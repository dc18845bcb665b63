"""Connections to the gateway on which tests send and read raw bytes."""

import asyncio
import gc
import io
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpx
import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.observability.logs import make_log
from app.server.protocol import BoundedProtocol
from app.settings.server import ConnectionSettings
from tests.apps import make_app
from tests.certificates import Certificates
from tests.fakes import FakeServices, settings_for_fakes
from tests.fakes.http_server import Changes
from tests.wire import HOST, PATIENCE, Address, served

BODY = b'{"query": "{ __typename }"}'
HEAD = (
    b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
)
REQUEST = HEAD % len(BODY) + BODY
RESPONSE = b'{"data":{"__typename":"Query"}}'
CHUNKED = (
    b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)

GARBAGE = b"\x16\x03\x01 this was meant to be TLS\r\n\r\n"


def numbered(number: int, *, more: bytes = b"", chunked: bool = False) -> bytes:
    """Make a request with a response of its own.

    Args:
        number: The number in its response.
        more: Further lines of its head.
        chunked: Whether its body comes in chunks.
    """
    body = b'{"query": "{ a%d: __typename }"}' % number
    head = CHUNKED if chunked else HEAD % len(body)
    if chunked:
        pieces = (body[:7], body[7:], b"")
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head.replace(b"\r\n\r\n", b"\r\n%b\r\n" % more) + body


def response_to(number: int) -> bytes:
    """Return the body of the response to a numbered request."""
    return b'{"data":{"a%d":"Query"}}' % number


@dataclass(frozen=True, slots=True)
class Received:
    """One response.

    Attributes:
        status: Its status.
        headers: Its headers, in lower case.
        body: Its body.
    """

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


def read_responses(data: bytes, bodiless: Collection[int] = ()) -> Sequence[Received]:
    """Read responses in sequence, as a client does, and skip interim ones.

    Args:
        data: All bytes received on a connection.
        bodiless: The indexes of the HEAD requests, from 0.
    """
    answers: list[Received] = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        assert end, data
        start, *lines = head.split(b"\r\n")
        version, status, _ = start.split(b" ", 2)
        assert version == b"HTTP/1.1", data
        headers = {name.lower(): value for name, _, value in (x.partition(b": ") for x in lines)}
        length = int(headers.get(b"content-length", b"0"))
        length = 0 if len(answers) in bodiless else length
        assert len(rest) >= length, data
        if int(status) >= 200:
            answers.append(Received(int(status), headers, rest[:length]))
        data = rest[length:]
    return answers


def bodies(data: bytes) -> Sequence[bytes]:
    """Return the bodies of responses, which all have status 200."""
    answers = read_responses(data)
    assert all(answer.status == 200 for answer in answers), data
    return [answer.body for answer in answers]


def refusal(answer: bytes) -> str:
    """Return the message of the only error of a refusal by the connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    for header in (b"connection: close", b"x-content-type-options: nosniff", b"date: "):
        assert header in head
    assert f"content-length: {len(body)}".encode() in head
    [error] = orjson.loads(body)["errors"]
    assert error["extensions"]["code"] in {"BAD_REQUEST", "GATEWAY_OVERLOADED"}
    message: str = error["message"]
    return message


@dataclass(frozen=True, slots=True)
class RawClient:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send some bytes; the server may have closed the connection."""
        with suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def until(self, end: bytes) -> bytes:
        """Read until the given bytes."""
        return await asyncio.wait_for(self.reader.readuntil(end), PATIENCE)

    async def rest(self) -> bytes:
        """Read until the server closes the connection."""
        answer = bytearray()
        with suppress(ConnectionError):
            while piece := await asyncio.wait_for(self.reader.read(65_536), PATIENCE):
                answer += piece
        return bytes(answer)

    def end(self) -> None:
        """Close the sending side only."""
        self.writer.write_eof()

    async def leave(self, *, reset: bool = False) -> None:
        """Close the connection.

        Args:
            reset: Whether the connection is reset, so that the server notices at once.
        """
        if reset:
            made: socket.socket = self.writer.get_extra_info("socket")
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


class Listening:
    """A server that listens.

    Attributes:
        address: Its address.
    """

    def __init__(
        self, address: Address, log: io.StringIO, tls: ssl.SSLContext | None = None
    ) -> None:
        self.address = address
        self.clients: list[RawClient] = []
        self._log = log
        self._tls = tls

    async def __call__(self) -> RawClient:
        """Connect to it."""
        port = self.address.port
        client = RawClient(*await asyncio.open_connection(HOST, port, ssl=self._tls))
        self.clients.append(client)
        return client

    async def exchange(self, *pieces: bytes) -> bytes:
        """Send bytes on a new connection, end the sending side, and read all responses."""
        client = await self()
        for piece in pieces:
            await client.send(piece)
        client.end()
        return await client.rest()

    async def settle(self) -> None:
        """Wait until the server has read all bytes sent so far, by a later exchange."""
        assert await self.exchange(GARBAGE)

    @property
    def errors(self) -> Sequence[str]:
        """The errors that the gateway has logged."""
        lines = self._log.getvalue().splitlines()
        return [line for line in lines if orjson.loads(line)["level"] in {"error", "critical"}]


@asynccontextmanager
async def listening(
    services: FakeServices,
    app: ASGIApp | None = None,
    *,
    body: int = 1_048_576,
    certificates: Certificates | None = None,
    **limits: float,
) -> AsyncGenerator[Listening]:
    """Serve the gateway, or another application, with limits.

    Fails if the gateway logs an error, whatever the clients do.

    Args:
        services: The sources of the gateway.
        app: The other application.
        body: The maximum length of a body in bytes.
        certificates: The certificates of server and clients, for HTTPS.
        limits: The settings of connections.
    """
    chosen = settings_for_fakes(
        connections=ConnectionSettings.model_validate(limits), max_body_bytes=body
    )
    log = io.StringIO()
    gateway = make_app(chosen, make_log(chosen.log, stream=log), transports=services.transport)
    ours = theirs = None
    if certificates is not None:
        ours = certificates.server()
        theirs = ssl.create_default_context(cafile=certificates.ca_file)
    async with served(app or gateway, chosen, ours) as address:
        server = Listening(address, log, theirs)
        try:
            yield server
        finally:
            for client in server.clients:
                client.writer.close()
    assert not server.errors


def connections_left() -> Sequence[BoundedProtocol]:
    """Find connections that are still in memory: a timer, a task or a set has them."""
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, BoundedProtocol)]


class Application:
    """An application that records its requests, and responds to each when a test allows it.

    Attributes:
        scopes: The heads of the requests, in the order in which they were begun.
        go: Allows one response for each release.
        gone: The paths of requests whose client disconnected before the response.
        changes: Notifies of changes of these.
    """

    def __init__(self, *, answers: int = 0) -> None:
        self.scopes: list[Scope] = []
        self.go = asyncio.Semaphore(answers)
        self.gone: list[str] = []
        self.changes = Changes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the lifespan or a request."""
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        self.scopes.append(scope)
        self.changes.tell()
        body = bytearray()
        message: Message = {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                self._lose(scope)
                return
            body += message["body"]
        leaving = asyncio.ensure_future(receive())
        going = asyncio.ensure_future(self.go.acquire())
        await asyncio.wait((leaving, going), return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        going.cancel()
        await asyncio.wait((leaving, going))
        if not leaving.cancelled():
            self._lose(scope)
            return
        answer = b"%b %b" % (scope["path"].encode(), bytes(body))
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def begun(self, count: int) -> None:
        """Wait until a number of requests have begun."""
        async with asyncio.timeout(PATIENCE):
            await self.changes.until(lambda: len(self.scopes) >= count)

    def _lose(self, scope: Scope) -> None:
        """Record that a client has disconnected."""
        self.gone.append(scope["path"])
        self.changes.tell()


class HeldSources:
    """Holds the calls to the fakes of the sources until a test releases them.

    Attributes:
        asked: The paths of all calls.
        cancelled: The paths of the cancelled calls.
        go: Set when the calls may be answered.
        changes: Notifies of changes of these.
    """

    def __init__(self, services: FakeServices) -> None:
        services.know(1)
        services.before = self._hold
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.go = asyncio.Event()
        self.changes = Changes()

    async def until(self, *, asked: int = 0, cancelled: int = 0) -> None:
        """Wait for a number of calls, and of cancelled calls."""
        async with asyncio.timeout(PATIENCE):
            await self.changes.until(
                lambda: len(self.asked) >= asked and len(self.cancelled) >= cancelled
            )

    async def _hold(self, request: httpx.Request) -> None:
        """Hold one call."""
        self.asked.append(request.url.path)
        self.changes.tell()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(request.url.path)
            self.changes.tell()
            raise
