"""Pipelining: the requests of one connection are read by their framing, and answered in order.

Each test runs on both event loops.
"""

import asyncio
import gc
import logging
import socket
import weakref
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest
from starlette.types import Receive, Scope, Send

from tests.certificates import Certificates
from tests.fakes import FakeServices, user_id
from tests.server.connection import (
    BODY,
    CHUNKED,
    GARBAGE,
    HEAD,
    REQUEST,
    RESPONSE,
    Application,
    HeldSources,
    bodies,
    connections_left,
    listening,
    numbered,
    read_responses,
    refusal,
    response_to,
)
from tests.wire import HOST, PATIENCE

pytestmark = [
    pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"]),
    pytest.mark.usefixtures("only_what_is_new"),
]

SHORT_TIMEOUT = 0.2
"""Seconds of a time limit."""

SEND_INTERVAL = 0.02
"""Seconds between two bytes of a client that keeps sending."""

LONG = 4_000_000
"""Bytes that are more than the kernel takes at once."""

MORE_THAN_BUFFERS = 16_000_000
"""Bytes that are more than the kernel's buffers of one connection."""

ASKED = f'{{"query": "{{ user(id: \\"{user_id(1)}\\") {{ plan }} }}"}}'.encode()
SLOW = HEAD % len(ASKED) + ASKED
"""A request that calls a source."""
SLOW_RESPONSE = b'{"data":{"user":{"plan":"pro"}}}'

H2C = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
)
OFFERS = {
    "h2c": H2C,
    "anything": b"Connection: Upgrade\r\nUpgrade: x\r\n",
    "several protocols": b"Upgrade: TLS/1.0, h2c, websocket\r\nConnection: keep-alive, upgrade\r\n",
    "several lines": b"Connection: te\r\nConnection: Upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "nothing": b"Connection: Upgrade\r\nUpgrade:\r\n",
    "to a proxy": b"Proxy-Connection: Upgrade\r\nUpgrade: h2c\r\n",
    "without Connection": b"Upgrade: h2c\r\n",
    "upper case": b"CONNECTION: UPGRADE\r\nUPGRADE: H2C\r\n",
}


def get(number: int, more: bytes = b"") -> bytes:
    """Make a request without a body, with a response of its own."""
    return (
        b"GET /graphql?query=%%7Ba%d:__typename%%7D HTTP/1.1\r\nHost: gateway\r\n"
        b"GraphQL-Require-Preflight: 1\r\n%b\r\n" % (number, more)
    )


def requests_with_offer(offer: bytes) -> list[bytes]:
    """Make a request with an offer for each framing, and one request without an offer."""
    return [
        numbered(1, more=offer),
        numbered(2, more=offer, chunked=True),
        get(3, offer),
        numbered(4),
    ]


@pytest.fixture(autouse=True)
def no_warning_is_logged(caplog: pytest.LogCaptureFixture) -> Generator[None]:
    """Check that neither the server nor the event loop logs a warning."""
    yield
    warnings = [one for one in caplog.get_records("call") if one.levelno >= logging.WARNING]
    assert not warnings


# Requests that offer to upgrade the protocol.


@pytest.mark.parametrize("apart", [False, True], ids=["whole", "in two reads"])
async def test_requests_with_an_upgrade_offer_and_those_after_them_are_answered(
    services: FakeServices, *, apart: bool
) -> None:
    answers: dict[str, list[bytes]] = {}
    async with listening(services) as connect:
        for name, offer in OFFERS.items():
            client = await connect()
            answers[name] = []
            for number, request in enumerate(requests_with_offer(offer), 1):
                head, end, body = request.partition(b"\r\n\r\n")
                await client.send(head + end if apart else request)
                if apart:
                    await connect.settle()
                    await client.send(body)
                answers[name] += bodies(await client.until(response_to(number)))

    assert answers == {key: [response_to(number) for number in range(1, 5)] for key in OFFERS}


async def test_requests_with_upgrade_offers_may_be_pipelined(services: FakeServices) -> None:
    async with listening(services) as connect:
        answers = {
            name: bodies(await connect.exchange(*requests_with_offer(offer)))
            for name, offer in OFFERS.items()
        }

    assert answers == {key: [response_to(number) for number in range(1, 5)] for key in OFFERS}


async def test_the_body_of_a_request_with_an_upgrade_offer_is_not_read_as_a_request(
    services: FakeServices,
) -> None:
    hidden = numbered(666)
    head = HEAD.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n") % len(hidden)
    async with listening(services) as connect:
        client = await connect()
        await client.send(head)
        await connect.settle()
        await client.send(hidden)
        await client.send(numbered(1))
        client.end()
        answers = read_responses(await client.rest())

    assert [answer.status for answer in answers] == [400, 200]
    assert b"cannot be read as JSON" in answers[0].body
    assert answers[1].body == response_to(1)


async def test_many_pipelined_upgrade_offers_are_all_answered(services: FakeServices) -> None:
    count = 400
    async with listening(services) as connect:
        sent = b"".join(get(number, H2C) for number in range(count))
        answers = bodies(await connect.exchange(sent))

    assert answers == [response_to(number) for number in range(count)]


async def test_the_application_receives_a_request_with_an_upgrade_offer_unchanged(
    services: FakeServices,
) -> None:
    app = Application(answers=1)
    async with listening(services, app) as connect:
        answer = await connect.exchange(
            b"PUT /a%%20b?c HTTP/1.1\r\nHost: gateway\r\n%bA:\r\nContent-Length: 2\r\n\r\nok" % H2C
        )
        [scope] = app.scopes

    assert bodies(answer) == [b"/a b ok"]
    assert (scope["method"], scope["raw_path"], scope["query_string"]) == ("PUT", b"/a%20b", b"c")
    assert scope["headers"] == [
        (b"host", b"gateway"),
        (b"connection", b"Upgrade, HTTP2-Settings"),
        (b"upgrade", b"h2c"),
        (b"http2-settings", b"AAMAAABkAAQAoAAAAAIAAAAA"),
        (b"a", b""),
        (b"content-length", b"2"),
    ]


async def test_data_after_a_connect_request_is_ignored(services: FakeServices) -> None:
    tunnels = [
        b"CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n",
        numbered(2).replace(b"POST", b"CONNECT"),
        numbered(2, more=H2C, chunked=True).replace(b"POST", b"CONNECT"),
    ]
    async with listening(services) as connect:
        for tunnel in tunnels:
            answers = read_responses(await connect.exchange(numbered(1) + tunnel + numbered(3)))

            assert [answer.status for answer in answers] == [200, 405]
            assert answers[1].headers[b"connection"] == b"close"
            assert answers[1].headers[b"allow"] == b"GET, POST"


# Bytes that are not HTTP.


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "later"])
async def test_valid_requests_are_answered_before_invalid_data_is_refused(
    services: FakeServices, *, apart: bool
) -> None:
    sources = HeldSources(services)
    async with listening(services) as connect:
        client = await connect()
        await client.send(SLOW + numbered(2) + (b"" if apart else GARBAGE))
        await sources.until(asked=1)
        if apart:
            await client.send(GARBAGE)
        await client.send(numbered(3))
        await connect.settle()
        sources.go.set()
        slow = await client.until(SLOW_RESPONSE)
        quick = await client.until(response_to(2))
        refused = await client.rest()

    assert bodies(slow + quick) == [SLOW_RESPONSE, response_to(2)]
    assert refused.startswith(b"HTTP/1.1 400 ")
    assert "not an HTTP request: expected" in refusal(refused)


async def test_a_started_response_is_finished_before_invalid_data_is_refused(
    services: FakeServices,
) -> None:
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await Application()(scope, receive, send)
            return
        headers = [(b"content-length", b"6")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await go.wait()
        await send({"type": "http.response.body", "body": b"two"})

    async with listening(services, app) as connect:
        client = await connect()
        await client.send(REQUEST)
        begun = await client.until(b"one")
        await client.send(GARBAGE)
        await connect.settle()
        go.set()
        answers = read_responses(begun + await client.rest())

    assert [answer.status for answer in answers] == [200, 400]
    assert answers[0].body == b"onetwo"


async def test_a_request_with_an_invalid_chunk_is_refused_once(
    services: FakeServices,
) -> None:
    app = Application(answers=2)
    async with listening(services, app) as connect:
        client = await connect()
        await client.send(CHUNKED + b"1\r\na\r\n")
        await app.begun(1)
        await client.send(b"no length\r\n")
        alone = await client.rest()
        behind = read_responses(
            await connect.exchange(REQUEST + CHUNKED + b"1\r\na\r\nno length\r\n")
        )

    assert alone.startswith(b"HTTP/1.1 400 ")
    assert "not an HTTP request" in refusal(alone)
    assert [answer.status for answer in behind] == [200, 400]
    assert app.gone == ["/graphql"]


async def test_the_refusal_of_a_head_request_has_no_body(services: FakeServices) -> None:
    async with listening(services, Application()) as connect:
        answer = await connect.exchange(CHUNKED.replace(b"POST", b"HEAD") + b"no length\r\n")

    [refused] = read_responses(answer, {0})
    assert (refused.status, refused.headers[b"connection"]) == (400, b"close")


@pytest.mark.parametrize("more", [b"", b"Expect: 100-continue\r\n"], ids=["", "expecting"])
async def test_the_application_reads_a_disconnect_from_a_refused_request(
    services: FakeServices, more: bytes
) -> None:
    reads = asyncio.Event()
    read: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await Application()(scope, receive, send)
            return
        await reads.wait()
        read.append((await receive())["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})

    async with listening(services, app) as connect:
        client = await connect()
        await client.send(CHUNKED.replace(b"\r\n\r\n", b"\r\n" + more + b"\r\n") + b"no length\r\n")
        first = await client.until(b"}]}")
        reads.set()
        rest = await client.rest()

    assert first.startswith(b"HTTP/1.1 400 ")
    assert (rest, read) == (b"", ["http.disconnect"])


WHOLE = numbered(9, chunked=True)
AMBIGUOUS = {
    "both framings": WHOLE.replace(b"Transfer", b"Content-Length: 43\r\nTransfer"),
    "two lengths": REQUEST.replace(b"Host", b"Content-Length: 1\r\nHost"),
    "a coding": WHOLE.replace(b" chunked", b" gzip, chunked"),
    "a coding in a line": WHOLE.replace(b"Transfer", b"Transfer-Encoding: identity\r\nTransfer"),
    "a coding at the end": WHOLE.replace(b" chunked", b" chunked, identity"),
    "chunks in 1.0": WHOLE.replace(b"/1.1", b"/1.0"),
    "a later version": REQUEST.replace(b"/1.1", b"/2.0"),
    "an earlier version": REQUEST.replace(b"/1.1", b"/0.9"),
    "a scheme": REQUEST.replace(b"/graphql", b"ftp://gateway/graphql"),
    "an authority": REQUEST.replace(b"/graphql", b"gateway:80"),
    "bytes in the target": REQUEST.replace(b"/graphql", b"/\xff"),
    "line feeds alone": REQUEST.replace(b"\r\n", b"\n"),
    "a folded line": REQUEST.replace(b"Content-Type", b" Content-Type"),
    "a space before a colon": REQUEST.replace(b"Content-Length", b"Content-Length "),
}
"""Requests with one ambiguous part each."""


@pytest.mark.parametrize("offer", [b"", H2C], ids=["", "with an offer"])
async def test_data_after_an_ambiguous_request_is_ignored(
    services: FakeServices, offer: bytes
) -> None:
    statuses: dict[str, list[int]] = {}
    async with listening(services) as connect:
        for name, ambiguous in AMBIGUOUS.items():
            sent = numbered(1) + ambiguous.replace(b"Host", offer + b"Host") + numbered(2)
            answers = read_responses(await connect.exchange(sent))
            statuses[name] = [answer.status for answer in answers]
            assert b"not an HTTP request" in answers[-1].body

    assert statuses == {key: [200, 400] for key in AMBIGUOUS}


async def test_data_after_the_last_request_of_a_connection_is_ignored(
    services: FakeServices,
) -> None:
    last = numbered(1, more=b"Connection: close\r\n")
    async with listening(services) as connect:
        answers = [
            bodies(await connect.exchange(*sent))
            for sent in (
                [last + numbered(2)],
                [last, numbered(2)],
                [last + GARBAGE],
                [numbered(1).replace(b"/1.1", b"/1.0") + numbered(2)],
                [
                    numbered(1, more=b"Connection: keep-alive\r\n").replace(b"/1.1", b"/1.0")
                    + numbered(2)
                ],
            )
        ]

    assert answers == [[response_to(1)]] * 5


async def test_a_client_that_keeps_sending_can_read_the_responses(services: FakeServices) -> None:
    async with listening(services) as connect:
        client = await connect()
        sending = asyncio.create_task(client.send(REQUEST + GARBAGE + b"x" * LONG))
        answers = read_responses(await client.rest())
        await client.leave()
        await sending

    assert [answer.status for answer in answers] == [200, 400]
    assert not connections_left()


async def test_the_connection_of_a_refused_client_that_keeps_sending_is_closed(
    services: FakeServices,
) -> None:
    async with listening(services) as connect, asyncio.timeout(PATIENCE):
        client = await connect()
        await client.send(GARBAGE)
        await client.rest()
        while not client.writer.is_closing():  # until the server resets it
            client.writer.write(b"x")
            await asyncio.sleep(SEND_INTERVAL)


# Heads and bodies.


async def test_trailers_are_not_headers(services: FakeServices) -> None:
    app = Application(answers=1)
    async with listening(services, app) as connect:
        trailers = b"Authorization: Bearer a\r\nHost: other\r\nUpgrade: x\r\nConnection: Upgrade"
        answer = await connect.exchange(
            CHUNKED + b"2\r\nab\r\n1\r\nc\r\n0\r\n" + trailers + b"\r\n\r\n"
        )
        [scope] = app.scopes

    assert bodies(answer) == [b"/graphql abc"]
    assert [name for name, _ in scope["headers"]] == [
        b"host",
        b"content-type",
        b"transfer-encoding",
    ]


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://other/a?b", "/a", b"other"),
        (b"http://other:81/a?b", "/a", b"other:81"),
        (b"HTTPS://[::1]:81/a?b", "/a", b"[::1]:81"),
        (b"http://[::1]?b", "/", b"[::1]"),
        (b"/a?b", "/a", b"gateway"),
    ],
)
async def test_the_host_of_an_absolute_target_replaces_the_host_header(
    services: FakeServices, target: bytes, path: str, host: bytes
) -> None:
    app = Application(answers=2)
    request = b"GET %b HTTP/1.1\r\nA: b\r\n%bHost: gateway\r\n\r\n"
    async with listening(services, app) as connect:
        await connect.exchange(request % (target, b"") + request % (target, H2C))

    assert len(app.scopes) == 2
    for scope in app.scopes:
        assert (scope["path"], scope["query_string"]) == (path, b"b")
        assert (scope["headers"][0], scope["headers"][-1]) == ((b"a", b"b"), (b"host", host))


async def test_an_http_1_0_client_gets_no_interim_response(services: FakeServices) -> None:
    request = numbered(1, more=b"Expect: 100-continue\r\n").replace(b"/1.1", b"/1.0")
    async with listening(services) as connect:
        answer = await connect.exchange(request)

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_expects_100_continue_gets_it(services: FakeServices) -> None:
    head, end, body = numbered(1, more=b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    async with listening(services) as connect:
        client = await connect()
        await client.send(head + end)
        interim = await client.until(b"\r\n\r\n")
        await client.send(body + numbered(2))
        client.end()
        answers = bodies(await client.rest())

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answers == [response_to(1), response_to(2)]


async def test_a_request_refused_before_its_body_is_the_last_of_its_connection(
    services: FakeServices,
) -> None:
    waits = HEAD.replace(b"application/json", b"text/plain\r\nExpect: 100-continue") % len(BODY)
    async with listening(services) as connect:
        client = await connect()
        await client.send(waits)
        refused = read_responses(await client.rest())
        whole = read_responses(await connect.exchange(waits + BODY + numbered(1)))

    assert [answer.status for answer in refused] == [415]
    assert refused[0].headers[b"connection"] == b"close"
    assert [answer.status for answer in whole] == [415, 200]


async def test_the_idle_timeout_does_not_end_a_slow_request(
    services: FakeServices,
) -> None:
    sources = HeldSources(services)
    async with listening(services, idle_timeout=1) as connect:
        client, other = await connect(), await connect()
        await client.send(numbered(1))
        await client.until(response_to(1))
        await client.send(SLOW)
        await other.send(numbered(2))
        await other.rest()  # the idle timeout has passed
        sources.go.set()
        answered = await client.until(SLOW_RESPONSE)

    assert bodies(answered) == [SLOW_RESPONSE]


async def test_a_connection_stays_open_after_a_response_before_the_whole_body(
    services: FakeServices,
) -> None:
    plain = HEAD.replace(b"application/json", b"text/plain") % 10
    async with listening(services, body_timeout=SHORT_TIMEOUT, idle_timeout=1) as connect:
        client, other = await connect(), await connect()
        await client.send(plain)
        refused = await client.until(b"}]}")
        await client.send(b" " * 10)
        await other.send(HEAD % 10)
        await other.rest()  # the body timeout has passed
        await client.send(numbered(1))
        answered = await client.until(response_to(1))
        rest = await client.rest()

    assert refused.startswith(b"HTTP/1.1 415 ")
    assert bodies(answered) == [response_to(1)]
    assert rest == b""


# The order of responses.


@pytest.mark.parametrize("size", [1, 7, 1_000, 1_000_000])
async def test_pipelined_requests_are_answered_in_order_for_each_size_of_reads(
    services: FakeServices, size: int
) -> None:
    count = 40 if size < 10 else 400
    sent = b"".join(get(n) if n % 2 else numbered(n, chunked=n % 4 == 0) for n in range(count))
    async with listening(services) as connect:
        pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
        answers = bodies(await connect.exchange(*pieces))

    assert answers == [response_to(number) for number in range(count)]


async def test_only_one_request_of_a_connection_runs_at_a_time(services: FakeServices) -> None:
    app = Application()
    async with listening(services, app) as connect:
        client = await connect()
        await client.send(REQUEST + REQUEST.replace(b"/graphql", b"/second"))
        await connect.settle()
        before = len(app.scopes)
        app.go.release()
        first = await client.until(BODY)
        await app.begun(2)
        app.go.release()
        second = await client.until(BODY)

    assert before == 1
    assert bodies(first + second) == [b"/graphql " + BODY, b"/second " + BODY]


async def test_a_long_pipelined_body_is_read_whole_after_the_first_response(
    services: FakeServices,
) -> None:
    body = b"x" * 900_000
    app = Application()
    async with listening(services, app) as connect:
        client = await connect()
        await client.send(REQUEST + HEAD % len(body) + body[:-1])
        await connect.settle()
        app.go.release()
        await client.until(BODY)
        await client.send(body[-1:] + REQUEST)
        app.go.release()
        app.go.release()
        client.end()
        answers = bodies(await client.rest())

    assert answers == [b"/graphql " + body, b"/graphql " + BODY]


async def test_clients_may_pipeline_more_than_the_gateway_buffers(services: FakeServices) -> None:
    body = b"x" * 60_000
    count = 40
    async with listening(services, Application(answers=count), body=100_000) as connect:
        answers = bodies(await connect.exchange((HEAD % len(body) + body) * count))

    assert answers == [b"/graphql " + body] * count


async def test_the_next_request_is_answered_after_a_long_unread_body(
    services: FakeServices,
) -> None:
    unread = HEAD.replace(b"application/json", b"text/plain") % 900_000 + b" " * 900_000
    async with listening(services) as connect:
        client = await connect()
        sending = asyncio.create_task(client.send(unread + numbered(1)))
        answer = await client.until(response_to(1))
        await sending

    assert [one.status for one in read_responses(answer)] == [415, 200]


VALUE: ContextVar[str] = ContextVar("kept", default="nothing")


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "later"])
async def test_context_variables_do_not_reach_the_next_request(
    services: FakeServices, *, apart: bool
) -> None:
    found: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            found.append(VALUE.get())
            VALUE.set("something")
        await Application(answers=1)(scope, receive, send)

    async with listening(services, app) as connect:
        client = await connect()
        for _ in range(3):
            await client.send(REQUEST * (1 if apart else 20))
            for _ in range(1 if apart else 20):
                await client.until(BODY)

    assert set(found) == {"nothing"}


async def send_until_full(made: socket.socket, data: bytes, taken: int = 0) -> int:
    """Send until neither the server nor the kernel takes more; return the number of bytes."""
    refused = 0
    while taken < len(data) and refused < 20:
        try:
            taken += made.send(data[taken : taken + 262_144])
            refused = 0
        except BlockingIOError:
            refused += 1
        await asyncio.sleep(0)
    return taken


@asynccontextmanager
async def connected(port: int) -> AsyncGenerator[socket.socket]:
    """Connect by a socket that does not block."""
    with socket.socket() as made:
        made.settimeout(0)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        await asyncio.get_running_loop().sock_connect(made, (HOST, port))
        yield made


async def test_the_gateway_bounds_the_bytes_that_it_buffers_for_a_client(
    services: FakeServices,
) -> None:
    app = Application()
    data = REQUEST * 400_000
    async with (
        listening(services, app, body=100_000) as connect,
        connected(connect.address.port) as made,
    ):
        taken = await send_until_full(made, data)
        for count in range(1, 100):
            await app.begun(count)
            app.go.release()
            taken = await send_until_full(made, data, taken)

    assert taken < MORE_THAN_BUFFERS


async def test_the_gateway_bounds_the_ignored_bytes_of_a_client(services: FakeServices) -> None:
    sources = HeldSources(services)
    async with listening(services) as connect, connected(connect.address.port) as made:
        taken = await send_until_full(made, SLOW + GARBAGE + b"x" * 3 * MORE_THAN_BUFFERS)
        sources.go.set()
        answer = bytearray()
        while b"not an HTTP request" not in answer:
            answer += await asyncio.get_running_loop().sock_recv(made, 65_536)

    assert taken < MORE_THAN_BUFFERS
    assert [one.status for one in read_responses(bytes(answer))] == [200, 400]


# The end of a connection.


@pytest.mark.parametrize(("count", "version"), [(1, b"1.1"), (2, b"1.1"), (5, b"1.1"), (1, b"1.0")])
async def test_a_client_that_ends_its_sending_side_gets_its_responses(
    services: FakeServices, count: int, version: bytes
) -> None:
    sources = HeldSources(services)
    async with listening(services) as connect:
        client = await connect()
        await client.send(SLOW.replace(b"1.1", version) * count)
        client.end()
        await sources.until(asked=1)
        await connect.settle()
        sources.go.set()
        answers = bodies(await client.rest())
        await client.leave()

    assert answers == [SLOW_RESPONSE] * count
    assert not sources.cancelled
    assert not connections_left()


async def test_interim_responses_probe_a_client_that_has_ended_its_sending_side(
    services: FakeServices,
) -> None:
    sources = HeldSources(services)
    async with listening(services) as connect:
        client = await connect()
        await client.send(SLOW + numbered(2))
        client.end()
        asked = [await client.until(b"\r\n\r\n") for _ in range(3)]
        sources.go.set()
        rest = await client.rest()

    assert asked == [b"HTTP/1.1 100 Continue\r\n\r\n"] * 3
    assert bodies(rest) == [SLOW_RESPONSE, response_to(2)]


@pytest.mark.parametrize(
    "sent", [REQUEST[:20], REQUEST[:-5], CHUNKED + b"1\r\n{"], ids=["head", "body", "chunk"]
)
async def test_an_incomplete_request_gets_no_response(services: FakeServices, sent: bytes) -> None:
    async with listening(services) as connect:
        client = await connect()
        await client.send(sent)
        await connect.settle()
        client.end()
        alone = await client.rest()
        answers = bodies(await connect.exchange(numbered(1) + numbered(2) + sent))

    assert alone == b""
    assert answers == [response_to(1), response_to(2)]


class LongResponse:
    """An application with one long response, in one part or several."""

    def __init__(self, parts: int) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "lifespan":
            await Application()(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % LONG)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(1, self._parts + 1):
            part = b"x" * (LONG // self._parts)
            more = number < self._parts
            await send({"type": "http.response.body", "body": part, "more_body": more})


@pytest.mark.parametrize("parts", [1, 40])
@pytest.mark.parametrize("behind", [b"", GARBAGE, REQUEST], ids=["alone", "garbage", "another"])
async def test_a_client_that_has_ended_its_sending_side_may_read_slowly(
    services: FakeServices, parts: int, behind: bytes
) -> None:
    async with listening(services, LongResponse(parts)) as connect:
        client = await connect()
        await client.send(REQUEST + behind)
        client.end()
        for _ in range(5):
            await connect.settle()
        answers = read_responses(await client.rest())

    lengths = [len(answer.body) for answer in answers if answer.status == 200]
    assert lengths == [LONG] * (2 if behind == REQUEST else 1)
    assert [answer.status for answer in answers][1:] == {GARBAGE: [400], REQUEST: [200]}.get(
        behind, []
    )


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("behind", [b"", GARBAGE, REQUEST[:-5], b"x" * 300_000], ids=len)
async def test_the_requests_of_a_disconnected_client_are_cancelled(
    services: FakeServices, behind: bytes, *, reset: bool
) -> None:
    sources = HeldSources(services)
    async with listening(services) as connect:
        before = asyncio.all_tasks()
        clients = [await connect() for _ in range(3)]
        for count, client in enumerate(clients, 1):
            # Each client asks for another user, because clients share a call for the same user.
            slow = SLOW.replace(user_id(1).encode(), user_id(count).encode())
            await client.send(slow * count + behind)
            await sources.until(asked=count)
        for client in clients:
            await client.leave(reset=reset)
        await sources.until(cancelled=3)
        await connect.settle()
        left = asyncio.all_tasks() - before

    assert sources.asked == ["/accounts"] * 3
    assert sources.cancelled == ["/accounts"] * 3
    assert not left
    assert not connections_left()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("sent", [b"", REQUEST, REQUEST + REQUEST[:20], HEAD % 9], ids=len)
async def test_a_connection_closed_by_its_waiting_client_leaves_no_objects(
    services: FakeServices, sent: bytes, *, reset: bool
) -> None:
    async with listening(services) as connect:
        client = await connect()
        await client.send(sent)
        if sent.startswith(REQUEST):
            await client.until(RESPONSE)
        await connect.settle()
        theirs = [weakref.ref(one) for one in connections_left()]
        await client.leave(reset=reset)
        await connect.settle()
        gc.collect()
        left = [one() for one in theirs]

    assert left
    assert not any(left)


async def test_the_disconnect_of_an_http_1_0_client_is_noticed(
    services: FakeServices,
) -> None:
    sources = HeldSources(services)
    async with listening(services) as connect:
        client = await connect()
        await client.send(SLOW.replace(b"/1.1", b"/1.0"))
        await sources.until(asked=1)
        await client.leave()
        await sources.until(cancelled=1)

    assert not connections_left()


async def test_the_disconnect_of_a_client_during_a_response_in_parts_is_noticed(
    services: FakeServices,
) -> None:
    app = Application()
    gone = asyncio.Event()

    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    async with listening(services, streaming) as connect, asyncio.timeout(PATIENCE):
        client = await connect()
        await client.send(REQUEST)
        await client.until(b"one")
        await client.leave()
        await gone.wait()

    assert not connections_left()


# TLS.


async def test_pipelined_requests_over_tls_are_answered_in_order(
    services: FakeServices, certificates: Certificates
) -> None:
    sources = HeldSources(services)
    async with listening(services, certificates=certificates) as connect:
        client = await connect()
        await client.send(SLOW + numbered(2, more=H2C) + GARBAGE)
        await sources.until(asked=1)
        sources.go.set()
        answers = read_responses(await client.rest())

    assert [answer.status for answer in answers] == [200, 200, 400]
    assert [answer.body for answer in answers[:2]] == [SLOW_RESPONSE, response_to(2)]


@pytest.mark.parametrize("count", [1, 3])
async def test_the_request_of_a_tls_client_is_cancelled_when_the_client_disconnects(
    services: FakeServices, certificates: Certificates, count: int
) -> None:
    sources = HeldSources(services)
    async with listening(services, certificates=certificates) as connect:
        client = await connect()
        await client.send(SLOW * count)
        await sources.until(asked=1)
        await client.leave()
        await sources.until(cancelled=1)

    assert sources.asked == ["/accounts"]
    assert not connections_left()
