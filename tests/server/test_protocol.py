"""Time limits and size limits of connections, with slow, silent and endless clients."""

import asyncio
import pickle
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.types import Receive, Scope, Send

from app.server.protocol import BoundedProtocol, protocol_for
from app.settings.server import ConnectionSettings
from tests.fakes import FakeServices, settings_for_fakes
from tests.server.connection import (
    BODY,
    CHUNKED,
    HEAD,
    REQUEST,
    RESPONSE,
    RawClient,
    listening,
    refusal,
)
from tests.wire import HOST, PATIENCE, served

SHORT_TIMEOUT = 0.2
"""Seconds of a time limit."""

LONG = 33_554_432
"""Bytes of a body that is longer than the buffers of any kernel."""


async def test_a_silent_connection_is_closed(services: FakeServices) -> None:
    async with listening(services, head_timeout=SHORT_TIMEOUT) as connect:
        client = await connect()

        assert await client.rest() == b""


@pytest.mark.parametrize("sent", [b"P", b"POST /graphql HTTP/1.1\r\nHost: gate", HEAD[:-2] % 1])
async def test_a_request_with_a_head_that_arrives_too_late_is_refused(
    services: FakeServices, sent: bytes
) -> None:
    async with listening(services, head_timeout=SHORT_TIMEOUT) as connect:
        client = await connect()
        await client.send(sent)
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert "the head of the request did not arrive within 0.2 s: expected" in refusal(answer)


async def test_single_bytes_do_not_extend_the_time_limit_of_the_head(
    services: FakeServices,
) -> None:
    async with listening(services, head_timeout=SHORT_TIMEOUT) as connect:
        client = await connect()

        await client.send(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        answer = b""
        while not answer:
            await client.send(b"a")
            with suppress(TimeoutError):
                answer = await asyncio.wait_for(client.reader.read(65_536), SHORT_TIMEOUT / 10)

    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_each_head_of_a_connection_has_its_own_time_limit(services: FakeServices) -> None:
    async with listening(services, head_timeout=SHORT_TIMEOUT) as connect:
        client = await connect()
        await client.send(REQUEST + REQUEST[:20])
        first = await client.until(RESPONSE)
        answer = await client.rest()

    assert first.startswith(b"HTTP/1.1 200 ")
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_connection_with_only_empty_lines_after_a_request_is_closed(
    services: FakeServices,
) -> None:
    async with listening(services, body_timeout=SHORT_TIMEOUT, idle_timeout=3_600) as connect:
        client = await connect()
        await client.send(REQUEST)
        await client.until(RESPONSE)
        await client.send(b"\r\n")

        assert await client.rest() == b""


@pytest.mark.parametrize(
    "sent", [HEAD % 100, HEAD % 100 + BODY, CHUNKED, CHUNKED + b"5\r\n{", CHUNKED + b"0\r\nA: "]
)
async def test_a_request_with_a_body_that_arrives_too_late_is_refused(
    services: FakeServices, sent: bytes
) -> None:
    async with listening(services, body_timeout=SHORT_TIMEOUT) as connect:
        client = await connect()
        await client.send(sent)
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert "the body of the request did not arrive within 0.2 s: expected" in refusal(answer)


async def test_a_request_sent_byte_by_byte_within_the_limits_is_answered(
    services: FakeServices,
) -> None:
    async with listening(services, head_timeout=PATIENCE, body_timeout=PATIENCE) as connect:
        client = await connect()
        for _ in range(2):  # the second request reuses the connection
            for at in range(len(REQUEST)):
                await client.send(REQUEST[at : at + 1])
            assert (await client.until(RESPONSE)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("lines", [b"\n", b"\r\n", b"\r\n\r\n", b"\n" * 100])
async def test_empty_lines_before_the_first_request_are_ignored(
    services: FakeServices, lines: bytes
) -> None:
    async with listening(services, head_timeout=PATIENCE) as connect:
        client = await connect()
        for at in range(len(lines)):
            await client.send(lines[at : at + 1])
        await client.send(REQUEST)
        answer = await client.until(RESPONSE)

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_endless_empty_lines_are_refused(services: FakeServices) -> None:
    async with listening(services, head_timeout=PATIENCE, max_head_bytes=1_024) as connect:
        client = await connect()
        await client.send(b"\n" * 2_048)
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert "the headers are longer than 1024 bytes" in refusal(answer)


class Server:
    """An application with a response of a given length, sent when a test allows it.

    Attributes:
        go: Set when it may respond.
        gone: Set when its client has disconnected.
    """

    def __init__(self, length: int, *, ends: bool = True) -> None:
        self.go = asyncio.Event()
        self.gone = asyncio.Event()
        self._length = length
        self._ends = ends

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        await self.go.wait()
        body = b"x" * self._length
        length = self._length if self._ends else self._length + 1
        headers = [(b"content-length", str(length).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": not self._ends})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()


async def test_a_client_is_not_closed_while_the_gateway_is_slow(
    services: FakeServices,
) -> None:
    app = Server(4)
    async with listening(
        services, app, head_timeout=SHORT_TIMEOUT, body_timeout=SHORT_TIMEOUT
    ) as connect:
        client, big, late = await connect(), await connect(), await connect()
        await client.send(REQUEST + REQUEST[:20])
        big.writer.write(HEAD % LONG + b" " * LONG)  # the application reads only its start
        await late.send(REQUEST[:20])
        assert b" 408 " in await late.rest()  # the time limit has passed for all three
        app.go.set()
        answers = [await one.until(b"xxxx") for one in (client, big)]
        rest = await client.rest()

    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert rest.startswith(b"HTTP/1.1 408 ")


async def test_each_time_limit_can_be_switched_off(services: FakeServices) -> None:
    async with listening(services, head_timeout=0, body_timeout=SHORT_TIMEOUT) as connect:
        silent, slow, other = await connect(), await connect(), await connect()
        await slow.send(REQUEST[:20])
        await other.send(HEAD % 1)
        assert b" 408 " in await other.rest()
        await silent.send(REQUEST)
        await slow.send(REQUEST[20:])
        answers = [await one.until(RESPONSE) for one in (silent, slow)]
    async with listening(services, head_timeout=SHORT_TIMEOUT, body_timeout=0) as connect:
        slow, other = await connect(), await connect()
        await slow.send(REQUEST[:-5])
        assert await other.rest() == b""
        await slow.send(REQUEST[-5:])
        answers.append(await slow.until(RESPONSE))

    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)


async def test_the_rest_of_a_refused_body_has_a_time_limit(services: FakeServices) -> None:
    async with listening(services, body=1_024, body_timeout=SHORT_TIMEOUT) as connect:
        client = await connect()
        await client.send(HEAD % 4_096 + b" " * 1_500)
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 600, 414),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 1_200, 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200, 431),
    ],
    ids=["address", "one header", "headers"],
)
async def test_an_endless_head_is_refused_before_its_end(
    services: FakeServices, sent: bytes, status: int
) -> None:
    async with listening(services, max_url_bytes=500, max_head_bytes=1_000) as connect:
        client = await connect()
        await client.send(sent)
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert "expected" in refusal(answer)


async def test_endless_trailers_are_refused_before_their_end(services: FakeServices) -> None:
    async with listening(services, body=1_024) as connect:
        client = await connect()
        await client.send(CHUNKED + b"1\r\n{\r\n0\r\nA: ")
        await client.send(b"a" * 1_048_576)  # more than one read of the gateway
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert "expected Content-Length" in refusal(answer)


@asynccontextmanager
async def connect_without_reading(port: int, data: bytes) -> AsyncGenerator[socket.socket]:
    """Send some bytes on a new connection that is never read; yield its socket."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        made.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(made, (HOST, port))
        await loop.sock_sendall(made, data)
        yield made


async def test_a_client_that_does_not_read_its_response_is_disconnected() -> None:
    app = Server(LONG, ends=False)
    app.go.set()
    chosen = settings_for_fakes(connections=ConnectionSettings(write_timeout=SHORT_TIMEOUT))
    async with served(app, chosen) as address, connect_without_reading(address.port, REQUEST):
        await asyncio.wait_for(app.gone.wait(), PATIENCE)


class BufferFiller(Server):
    """An application that measures the buffers of a client, and then sends a little more."""

    def __init__(self) -> None:
        super().__init__(0)
        self.answered = asyncio.Event()
        self._pieces = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        piece = {"type": "http.response.body", "body": b"x" * 16_384, "more_body": True}
        await send({"type": "http.response.start", "status": 200})
        if self._pieces:
            for _ in range(self._pieces):
                await send(piece)
            await send({"type": "http.response.body"})
            self.answered.set()
            return
        with suppress(TimeoutError):
            while True:
                await asyncio.wait_for(send(piece), SHORT_TIMEOUT / 2)
                self._pieces += 1
        self._pieces -= 2  # with so many pieces, the server was ready for more
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"], ids=["idle", "last"])
async def test_an_unread_rest_of_a_response_does_not_keep_a_connection_open(more: bytes) -> None:
    app = BufferFiller()
    limits = ConnectionSettings(write_timeout=SHORT_TIMEOUT, idle_timeout=1, max_connections=1)
    chosen = settings_for_fakes(connections=limits)
    request = REQUEST.replace(b"Host", more + b"Host")
    async with served(app, chosen) as address, asyncio.timeout(PATIENCE):
        async with connect_without_reading(address.port, request):
            await app.gone.wait()
        async with connect_without_reading(address.port, request):
            answer = b""
            while not answer.startswith(b"HTTP/1.1 400 "):  # while the other connection is open
                client = RawClient(*await asyncio.open_connection(HOST, address.port))
                await client.send(b"no HTTP at all\r\n\r\n")
                answer = await client.rest()
                client.writer.close()


async def test_a_client_that_has_ended_its_sending_side_and_reads_nothing_is_closed() -> None:
    app = BufferFiller()
    limits = ConnectionSettings(write_timeout=SHORT_TIMEOUT, idle_timeout=600, max_connections=1)
    async with (
        served(app, settings_for_fakes(connections=limits)) as address,
        asyncio.timeout(PATIENCE),
    ):
        async with connect_without_reading(address.port, REQUEST):
            await app.gone.wait()
        async with connect_without_reading(address.port, REQUEST) as client:
            await app.answered.wait()
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while not answer.startswith(b"HTTP/1.1 400 "):  # while the other connection is open
                other = RawClient(*await asyncio.open_connection(HOST, address.port))
                await other.send(b"no HTTP at all\r\n\r\n")
                answer = await other.rest()
                other.writer.close()


async def test_an_idle_connection_is_closed(services: FakeServices) -> None:
    async with listening(services, idle_timeout=1) as connect:
        client = await connect()
        await client.send(REQUEST)
        await client.until(RESPONSE)

        assert await client.rest() == b""


@pytest.mark.parametrize(("limit", "refused"), [(2, 1), (3, 0), (0, 0)])
async def test_connections_over_the_limit_are_refused(
    services: FakeServices, limit: int, refused: int
) -> None:
    async with listening(services, max_connections=limit) as connect:
        clients = [await connect() for _ in range(3)]
        for client in clients[: 3 - refused]:
            await client.send(REQUEST)
        heads = [await client.until(b"\r\n") for client in clients]
        rests = [
            await client.rest()
            for client, head in zip(clients, heads, strict=True)
            if b"503" in head
        ]
        clients[0].writer.close()
        await clients[0].writer.wait_closed()

    assert sum(b" 503 " in head for head in heads) == refused
    for rest in rests:
        assert b"retry-after: 1" in rest
        assert "2 connections are open" in refusal(rest)


async def test_bytes_that_are_not_http_are_refused_with_a_message(services: FakeServices) -> None:
    async with listening(services) as connect:
        client = await connect()
        await client.send(b"\x16\x03\x01 this was meant to be TLS\r\n\r\n")
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert "not an HTTP request: expected" in refusal(answer)


async def test_an_invalid_chunk_after_the_response_gets_no_second_response(
    services: FakeServices,
) -> None:
    async with listening(services, body=1_024) as connect:
        client = await connect()
        await client.send(CHUNKED + b"800\r\n" + b" " * 2_048)
        first = await client.until(b"}")
        await client.send(b"\r\nno length\r\n")
        rest = await client.rest()

    assert first.startswith(b"HTTP/1.1 413 ")
    assert b"HTTP/1.1" not in rest


async def test_the_size_of_a_head_does_not_include_the_request_before_it(
    services: FakeServices,
) -> None:
    long = HEAD % 5_000 + BODY + b" " * (5_000 - len(BODY))
    async with listening(services, max_head_bytes=1_000) as connect:
        client = await connect()
        await client.send(long + REQUEST[:20])
        first = await client.until(RESPONSE)
        await client.send(REQUEST[20:])
        second = await client.until(RESPONSE)

    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 200 ")


def test_the_protocol_factory_can_be_pickled_for_other_processes() -> None:
    made = pickle.loads(pickle.dumps(protocol_for(ConnectionSettings(), 1_000)))  # noqa: S301 # our own

    assert made.func is BoundedProtocol
