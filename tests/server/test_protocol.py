"""Clients that are slow, silent, or never come to an end, on the wire."""

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
    ANSWER,
    BODY,
    CHUNKED,
    HEAD,
    REQUEST,
    RawClient,
    listening,
    refusal,
)
from tests.wire import HOST, PATIENCE, served

SOON = 0.2
"""Seconds that a limit has here."""

LONG = 33_554_432
"""Bytes of a body, more than any kernel takes off the gateway's hands."""


async def test_whoever_connects_and_says_nothing_is_closed(services: FakeServices) -> None:
    async with listening(services, head_timeout=SOON) as connect:
        client = await connect()

        assert await client.rest() == b""


@pytest.mark.parametrize("sent", [b"P", b"POST /graphql HTTP/1.1\r\nHost: gate", HEAD[:-2] % 1])
async def test_a_head_that_is_not_whole_in_time_is_refused(
    services: FakeServices, sent: bytes
) -> None:
    async with listening(services, head_timeout=SOON) as connect:
        client = await connect()
        await client.send(sent)
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert "the head of the request did not arrive within 0.2 s: expected" in refusal(answer)


async def test_a_byte_now_and_then_does_not_help(services: FakeServices) -> None:
    async with listening(services, head_timeout=SOON) as connect:
        client = await connect()

        await client.send(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        answer = b""
        while not answer:
            await client.send(b"a")
            with suppress(TimeoutError):
                answer = await asyncio.wait_for(client.reader.read(65_536), SOON / 10)

    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_the_head_of_a_later_request_has_its_own_time(services: FakeServices) -> None:
    async with listening(services, head_timeout=SOON) as connect:
        client = await connect()
        await client.send(REQUEST + REQUEST[:20])
        first = await client.until(ANSWER)
        answer = await client.rest()

    assert first.startswith(b"HTTP/1.1 200 ")
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_empty_lines_between_requests_keep_no_connection(services: FakeServices) -> None:
    async with listening(services, body_timeout=SOON, idle_timeout=3_600) as connect:
        client = await connect()
        await client.send(REQUEST)
        await client.until(ANSWER)
        await client.send(b"\r\n")

        assert await client.rest() == b""


@pytest.mark.parametrize(
    "sent", [HEAD % 100, HEAD % 100 + BODY, CHUNKED, CHUNKED + b"5\r\n{", CHUNKED + b"0\r\nA: "]
)
async def test_a_body_that_is_not_whole_in_time_is_refused(
    services: FakeServices, sent: bytes
) -> None:
    async with listening(services, body_timeout=SOON) as connect:
        client = await connect()
        await client.send(sent)
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert "the body of the request did not arrive within 0.2 s: expected" in refusal(answer)


async def test_what_comes_in_pieces_but_in_time_is_answered(services: FakeServices) -> None:
    async with listening(services, head_timeout=PATIENCE, body_timeout=PATIENCE) as connect:
        client = await connect()
        for _ in range(2):  # the second time on a connection that was used
            for at in range(len(REQUEST)):
                await client.send(REQUEST[at : at + 1])
            assert (await client.until(ANSWER)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("lines", [b"\n", b"\r\n", b"\r\n\r\n", b"\n" * 100])
async def test_empty_lines_before_the_first_request_are_passed_over(
    services: FakeServices, lines: bytes
) -> None:
    async with listening(services, head_timeout=PATIENCE) as connect:
        client = await connect()
        for at in range(len(lines)):
            await client.send(lines[at : at + 1])
        await client.send(REQUEST)
        answer = await client.until(ANSWER)

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_empty_lines_without_an_end_are_refused(services: FakeServices) -> None:
    async with listening(services, head_timeout=PATIENCE, max_head_bytes=1_024) as connect:
        client = await connect()
        await client.send(b"\n" * 2_048)
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert "the headers are longer than 1024 bytes" in refusal(answer)


class Server:
    """An application that answers when it is told to, as long as it is told to.

    Attributes:
        go: Set when it may answer.
        gone: Set when its client has gone.
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


async def test_where_the_gateway_takes_long_it_is_not_the_client_who_is_closed(
    services: FakeServices,
) -> None:
    app = Server(4)
    async with listening(services, app, head_timeout=SOON, body_timeout=SOON) as connect:
        client, big, late = await connect(), await connect(), await connect()
        await client.send(REQUEST + REQUEST[:20])
        big.writer.write(HEAD % LONG + b" " * LONG)  # of which nobody reads more than a little
        await late.send(REQUEST[:20])
        assert b" 408 " in await late.rest()  # by now the time of all three is over
        app.go.set()
        answers = [await one.until(b"xxxx") for one in (client, big)]
        rest = await client.rest()

    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    assert rest.startswith(b"HTTP/1.1 408 ")


async def test_each_limit_of_time_can_be_switched_off(services: FakeServices) -> None:
    async with listening(services, head_timeout=0, body_timeout=SOON) as connect:
        silent, slow, other = await connect(), await connect(), await connect()
        await slow.send(REQUEST[:20])
        await other.send(HEAD % 1)
        assert b" 408 " in await other.rest()
        await silent.send(REQUEST)
        await slow.send(REQUEST[20:])
        answers = [await one.until(ANSWER) for one in (silent, slow)]
    async with listening(services, head_timeout=SOON, body_timeout=0) as connect:
        slow, other = await connect(), await connect()
        await slow.send(REQUEST[:-5])
        assert await other.rest() == b""
        await slow.send(REQUEST[-5:])
        answers.append(await slow.until(ANSWER))

    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)


async def test_the_rest_of_a_body_that_was_refused_ends_in_time(services: FakeServices) -> None:
    async with listening(services, body=1_024, body_timeout=SOON) as connect:
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
async def test_a_head_without_an_end_is_refused_while_it_comes(
    services: FakeServices, sent: bytes, status: int
) -> None:
    async with listening(services, max_url_bytes=500, max_head_bytes=1_000) as connect:
        client = await connect()
        await client.send(sent)
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert "expected" in refusal(answer)


async def test_trailers_without_an_end_are_refused_while_they_come(services: FakeServices) -> None:
    async with listening(services, body=1_024) as connect:
        client = await connect()
        await client.send(CHUNKED + b"1\r\n{\r\n0\r\nA: ")
        await client.send(b"a" * 1_048_576)  # more than is read at once
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert "expected Content-Length" in refusal(answer)


@asynccontextmanager
async def deaf(port: int, data: bytes) -> AsyncGenerator[socket.socket]:
    """Send some bytes on a connection on which nothing is ever read; gives its socket."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        made.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(made, (HOST, port))
        await loop.sock_sendall(made, data)
        yield made


async def test_whoever_takes_nothing_of_an_answer_is_closed() -> None:
    app = Server(LONG, ends=False)
    app.go.set()
    chosen = settings_for_fakes(connections=ConnectionSettings(write_timeout=SOON))
    async with served(app, chosen) as address, deaf(address.port, REQUEST):
        await asyncio.wait_for(app.gone.wait(), PATIENCE)


class Filler(Server):
    """An application that finds out what a deaf client takes, and then sends a little more."""

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
                await asyncio.wait_for(send(piece), SOON / 2)
                self._pieces += 1
        self._pieces -= 2  # so many that the server was ready for more
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"], ids=["idle", "last"])
async def test_what_is_left_of_an_answer_keeps_no_connection_that_has_to_end(more: bytes) -> None:
    app = Filler()
    limits = ConnectionSettings(write_timeout=SOON, idle_timeout=1, max_connections=1)
    chosen = settings_for_fakes(connections=limits)
    request = REQUEST.replace(b"Host", more + b"Host")
    async with served(app, chosen) as address, asyncio.timeout(PATIENCE):
        async with deaf(address.port, request):
            await app.gone.wait()
        async with deaf(address.port, request):
            answer = b""
            while not answer.startswith(b"HTTP/1.1 400 "):  # as long as that one is open
                client = RawClient(*await asyncio.open_connection(HOST, address.port))
                await client.send(b"no HTTP at all\r\n\r\n")
                answer = await client.rest()
                client.writer.close()


async def test_an_answer_that_nobody_takes_keeps_no_connection_whose_client_says_no_more() -> None:
    app = Filler()
    limits = ConnectionSettings(write_timeout=SOON, idle_timeout=600, max_connections=1)
    async with (
        served(app, settings_for_fakes(connections=limits)) as address,
        asyncio.timeout(PATIENCE),
    ):
        async with deaf(address.port, REQUEST):
            await app.gone.wait()
        async with deaf(address.port, REQUEST) as client:
            await app.answered.wait()
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while not answer.startswith(b"HTTP/1.1 400 "):  # as long as that one is open
                other = RawClient(*await asyncio.open_connection(HOST, address.port))
                await other.send(b"no HTTP at all\r\n\r\n")
                answer = await other.rest()
                other.writer.close()


async def test_an_idle_connection_is_closed(services: FakeServices) -> None:
    async with listening(services, idle_timeout=1) as connect:
        client = await connect()
        await client.send(REQUEST)
        await client.until(ANSWER)

        assert await client.rest() == b""


@pytest.mark.parametrize(("limit", "refused"), [(2, 1), (3, 0), (0, 0)])
async def test_so_many_connections_may_be_open_and_no_more(
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


async def test_what_is_no_http_is_told_what_is(services: FakeServices) -> None:
    async with listening(services) as connect:
        client = await connect()
        await client.send(b"\x16\x03\x01 this was meant to be TLS\r\n\r\n")
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert "not an HTTP request: expected" in refusal(answer)


async def test_what_is_no_http_is_not_answered_where_its_request_is_answered_already(
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


async def test_what_came_with_the_request_before_does_not_count(services: FakeServices) -> None:
    long = HEAD % 5_000 + BODY + b" " * (5_000 - len(BODY))
    async with listening(services, max_head_bytes=1_000) as connect:
        client = await connect()
        await client.send(long + REQUEST[:20])
        first = await client.until(ANSWER)
        await client.send(REQUEST[20:])
        second = await client.until(ANSWER)

    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 200 ")


def test_it_can_be_handed_to_other_processes() -> None:
    made = pickle.loads(pickle.dumps(protocol_for(ConnectionSettings(), 1_000)))  # noqa: S301 # our own

    assert made.func is BoundedProtocol
