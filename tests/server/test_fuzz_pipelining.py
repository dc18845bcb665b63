"""Fuzzing of pipelined requests: any number, any cuts into reads, any end of the connection.

Each request gets its own response, in order, and there are no other responses. ``make fuzz`` does
the same for longer.
"""

import asyncio
import io
import logging
import socket
import struct
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.observability.logs import make_log
from tests.apps import make_app
from tests.fakes import FakeServices, settings_for_fakes, user_id
from tests.properties import examples
from tests.server.connection import CHUNKED, GARBAGE, HEAD, Received, read_responses
from tests.wire import HOST, PATIENCE, Address, served

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

EXAMPLES = examples(75, "FUZZ_EXAMPLES")
"""The number of conversations of each kind."""

LINES = st.lists(
    st.sampled_from(
        [
            *(b"Connection: Upgrade\r\n", b"Connection: keep-alive, Upgrade\r\n"),
            *(
                b"Upgrade: h2c\r\n",
                b"Upgrade: websocket\r\n",
                b"upgrade:\r\n",
                b"Upgrade: a, b\r\n",
            ),
            *(b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n", b"Proxy-Connection: upgrade\r\n"),
            *(b"Accept: text/html\r\nAccept: application/json\r\n", b"X-Empty:\r\n"),
            *(b"Expect: 100-continue\r\n", b"TE: trailers\r\n", b"Connection: keep-alive\r\n"),
        ]
    ),
    max_size=4,
).map(b"".join)

HIDDEN = HEAD % 32 + b'{"query": "{ hidden: __typename }"}'
"""A request inside a body, which must not be executed."""

INVALID_REQUESTS = st.sampled_from(
    [
        *(GARBAGE, b"\x00", b"GET /graphql HTTP/9.9\r\n\r\n", b"POST /graphql\r\n\r\n" + HIDDEN),
        *(b"GET / HTTP/1.1\r\nHost: gateway\r\n folded\r\n\r\n" + HIDDEN, b"A: b\r\n\r\n" + HIDDEN),
        CHUNKED + b"zz\r\n" + HIDDEN,
        CHUNKED + b"1\r\naa" + HIDDEN,
        CHUNKED.replace(b"chunked", b"identity, chunked") + b"0\r\n\r\n" + HIDDEN,
        CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n") + b"0\r\n\r\n" + HIDDEN,
        CHUNKED.replace(b"/1.1", b"/1.0") + b"0\r\n\r\n" + HIDDEN,
        HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n") % 1 + HIDDEN,
        b"CONNECT gateway:80 HTTP/1.1\r\nHost: gateway\r\n\r\n" + HIDDEN,
        b"CONNECT /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Length: 9\r\n\r\n" + HIDDEN,
    ]
)


@dataclass(frozen=True, slots=True)
class PipelinedRequest:
    """One request.

    Attributes:
        data: Its bytes.
        status: The status of its response.
        body: A name that only its response has.
        bodiless: Whether its response has no body.
    """

    data: bytes
    status: int
    body: bytes
    bodiless: bool = False


@st.composite
def pipelined_requests(draw: st.DrawFn, number: int) -> PipelinedRequest:
    """Make a request with a response of its own."""
    more = draw(LINES)
    kind = draw(st.sampled_from(["length", "chunks", "get", "head", "slow", "smuggler"]))
    name = b"a%d" % number
    if kind in {"get", "head"}:
        method = b"GET" if kind == "get" else b"HEAD"
        data = (
            b"%b /graphql?query=%%7B%b:__typename%%7D HTTP/1.1\r\nHost: gateway\r\n"
            b"GraphQL-Require-Preflight: 1\r\n%b\r\n" % (method, name, more)
        )
        return PipelinedRequest(data, 405 if kind == "head" else 200, name, bodiless=kind == "head")
    if kind == "smuggler":
        body = HIDDEN
    elif kind == "slow":
        body = b'{"query": "{ %b: user(id: \\"%b\\") { id plan } }"}' % (name, user_id(1).encode())
    else:
        body = b'{"query": "{ %b: __typename }"}' % name
    head = HEAD % len(body)
    if kind == "chunks" or draw(st.booleans()):
        head = CHUNKED
        at = draw(st.integers(1, len(body) - 1))
        pieces = (body[:at], body[at:])
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        trailer = draw(
            st.sampled_from([b"", b"Upgrade: x\r\nConnection: Upgrade\r\n", b"A: b\r\n"])
        )
        body += b"0\r\n" + trailer + b"\r\n"
    data = head[:-2] + more + b"\r\n" + body
    return PipelinedRequest(
        data, 200 if kind != "smuggler" else 400, name if kind != "smuggler" else b"errors"
    )


@st.composite
def conversations(draw: st.DrawFn) -> Sequence[PipelinedRequest]:
    """Make the requests of a connection."""
    return [draw(pipelined_requests(number)) for number in range(draw(st.integers(0, 6)))]


CUTS = st.lists(st.integers(0, 2_000), max_size=6)
"""The places where the bytes of a conversation are cut into reads of the server."""


def cut(data: bytes, at: Sequence[int]) -> Sequence[bytes]:
    """Cut bytes into pieces."""
    places = sorted({0, *(place for place in at if place < len(data)), len(data)})
    return [data[start:end] for start, end in pairwise(places)]


class PipelinedGateway:
    """The gateway on the wire, and its log."""

    def __init__(
        self, address: Address, log: io.StringIO, caplog: pytest.LogCaptureFixture
    ) -> None:
        self._address = address
        self._log = log
        self._caplog = caplog

    async def converse(self, pieces: Sequence[bytes], *, ends: bool) -> bytes:
        """Send pieces in separate reads of the server; return all received bytes.

        Args:
            pieces: The pieces.
            ends: Whether to end the sending side afterwards; else the server ends the connection.
        """
        loop = asyncio.get_running_loop()
        answer = bytearray()
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError), await self._connect() as made:
                sending = asyncio.create_task(self._send(made, pieces, ends=ends))
                try:
                    while piece := await loop.sock_recv(made, 65_536):
                        answer += piece
                finally:
                    await asyncio.wait([sending])
                    sending.exception()
        return bytes(answer)

    async def leave(self, pieces: Sequence[bytes], *, reset: bool) -> None:
        """Send pieces and disconnect; wait until all tasks of the connection have ended."""
        before = asyncio.all_tasks()
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionError), await self._connect() as made:
                await self._send(made, pieces, ends=False)
                if reset:
                    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            while left := asyncio.all_tasks() - before:
                await asyncio.wait(left)

    def check(self) -> None:
        """Check that neither the gateway nor its libraries have logged an error."""
        assert '"level":"error"' not in self._log.getvalue().replace(" ", "")
        assert not [one for one in self._caplog.records if one.levelno >= logging.WARNING]
        self._log.truncate(0)

    async def _connect(self) -> socket.socket:
        """Connect by a socket that returns all received bytes before it reports a reset."""
        made = socket.socket()
        made.settimeout(0)
        await asyncio.get_running_loop().sock_connect(made, (HOST, self._address.port))
        return made

    @staticmethod
    async def _send(made: socket.socket, pieces: Sequence[bytes], *, ends: bool) -> None:
        """Send pieces, and let the server read each of them."""
        for piece in pieces:
            await asyncio.get_running_loop().sock_sendall(made, piece)
            for _ in range(3):
                await asyncio.sleep(0)
        if ends:
            made.shutdown(socket.SHUT_WR)


@pytest.fixture
async def wire(
    services: FakeServices, caplog: pytest.LogCaptureFixture
) -> AsyncGenerator[PipelinedGateway]:
    """Serve the gateway over sources with delays."""
    services.know(1)
    calls = 0

    async def delay(_: httpx.Request) -> None:
        nonlocal calls
        calls += 1
        for _turn in range(calls % 7):
            await asyncio.sleep(0)

    services.before = delay
    log = io.StringIO()
    chosen = settings_for_fakes()
    app = make_app(chosen, make_log(chosen.log, stream=log), transports=services.transport)
    async with served(app) as address:
        yield PipelinedGateway(address, log, caplog)


def check_responses(answer: bytes, conversation: Sequence[PipelinedRequest]) -> Sequence[Received]:
    """Check that each request has its response, in order; return the responses after them."""
    heads = {number for number, one in enumerate(conversation) if one.bodiless}
    answers = read_responses(answer, heads)
    for got, one in zip(answers, conversation, strict=False):
        assert got.status == one.status
        assert one.bodiless or b'"%b":' % one.body in got.body
    assert len(answers) >= len(conversation)
    return answers[len(conversation) :]


fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@fuzz
@given(conversation=conversations(), cuts=CUTS)
async def test_each_request_gets_its_response_after_the_sending_side_has_ended(
    wire: PipelinedGateway, conversation: Sequence[PipelinedRequest], cuts: Sequence[int]
) -> None:
    sent = b"".join(one.data for one in conversation)

    answer = await wire.converse(cut(sent, cuts), ends=True)

    assert not check_responses(answer, conversation)
    wire.check()


@fuzz
@given(conversation=conversations(), cuts=CUTS, last=pipelined_requests(99))
async def test_each_request_up_to_connection_close_gets_its_response(
    wire: PipelinedGateway,
    conversation: Sequence[PipelinedRequest],
    cuts: Sequence[int],
    last: PipelinedRequest,
) -> None:
    head, end, body = last.data.partition(b"\r\n")
    closing = replace(last, data=head + b"\r\nConnection: close" + end + body)
    sent = b"".join(one.data for one in (*conversation, closing))

    answer = await wire.converse(cut(sent + HIDDEN, cuts), ends=False)

    assert not check_responses(answer, [*conversation, closing])
    wire.check()


@fuzz
@given(conversation=conversations(), cuts=CUTS, invalid=INVALID_REQUESTS, ends=st.booleans())
async def test_an_invalid_request_is_the_last_one_that_is_answered(
    wire: PipelinedGateway,
    conversation: Sequence[PipelinedRequest],
    cuts: Sequence[int],
    invalid: bytes,
    *,
    ends: bool,
) -> None:
    sent = b"".join(one.data for one in conversation)

    answer = await wire.converse(cut(sent + invalid + HIDDEN, cuts), ends=ends)

    [refused] = check_responses(answer, conversation)
    assert refused.status in {400, 405}
    assert refused.headers[b"connection"] == b"close"
    wire.check()


@fuzz
@given(conversation=conversations(), cuts=CUTS, until=st.integers(0, 1_500), reset=st.booleans())
async def test_a_disconnected_client_leaves_no_tasks(
    wire: PipelinedGateway,
    conversation: Sequence[PipelinedRequest],
    cuts: Sequence[int],
    until: int,
    *,
    reset: bool,
) -> None:
    sent = b"".join(one.data for one in conversation)[:until]

    await wire.leave(cut(sent, cuts), reset=reset)

    wire.check()


@fuzz
@given(conversation=conversations(), cuts=CUTS, until=st.integers(0, 1_500))
async def test_only_complete_requests_are_answered(
    wire: PipelinedGateway,
    conversation: Sequence[PipelinedRequest],
    cuts: Sequence[int],
    until: int,
) -> None:
    sent = b"".join(one.data for one in conversation)[:until]
    ends = accumulate(len(one.data) for one in conversation)
    whole = [one for one, end in zip(conversation, ends, strict=True) if end <= until]

    answer = await wire.converse(cut(sent, cuts), ends=True)

    assert not check_responses(answer, whole)
    wire.check()
