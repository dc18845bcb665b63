"""Responses have the same bytes as uvicorn's, and a usual response is sent by one write."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.fastpath.responses import whole_response
from app.server.protocol import BoundedProtocol
from app.settings.server import ConnectionSettings

DEFAULTS = [(b"date", b"Tue, 24 Nov 2026 00:00:00 GMT"), (b"server", b"uvicorn")]


class RecordingTransport(asyncio.Transport):
    """A transport that records what is written."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 4_321)})
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Record some bytes."""
        self.written.append(bytes(data))

    def close(self) -> None:
        """Close it."""
        self.closed = True

    def is_closing(self) -> bool:
        """Return whether it is closed."""
        return self.closed

    def get_write_buffer_size(self) -> int:
        """Return 0: nothing is buffered."""
        return 0


@dataclass(frozen=True)
class ResponseCase:
    """A request, and the response of the application."""

    method: str = "POST"
    version: str = "1.1"
    more: str = ""
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ((b"content-type", b"application/json"),)
    length: int | None = 4
    body: tuple[bytes, ...] = (b"body",)
    reads: bool = True

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if self.reads:
            await receive()
        length = [] if self.length is None else [(b"content-length", b"%d" % self.length)]
        await send(
            {
                "type": "http.response.start",
                "status": self.status,
                "headers": [*self.headers, *length],
            }
        )
        parts: Sequence[Message] = [
            {"type": "http.response.body", "body": part, "more_body": number < len(self.body)}
            for number, part in enumerate(self.body, 1)
        ]
        for part in parts:
            await send(part)

    @property
    def request(self) -> bytes:
        """The bytes of the request."""
        head = f"{self.method} /graphql HTTP/{self.version}\r\nHost: gateway\r\n{self.more}"
        return head.encode() + b"Content-Length: 2\r\n\r\n{}"


@dataclass(frozen=True)
class SentResponse:
    """The bytes that were sent, and the state of the connection."""

    writes: Sequence[bytes]
    closed: bool
    total: int

    @property
    def data(self) -> bytes:
        """All written bytes."""
        return b"".join(self.writes)


async def exchange(case: ResponseCase, *, ours: bool, times: int = 1) -> SentResponse:
    """Run a case with our protocol or with uvicorn's own."""
    config = Config(case, log_config=None, access_log=False, lifespan="off")
    config.load()
    config.loaded_app = case
    state = ServerState()
    state.default_headers = DEFAULTS
    protocol = (
        BoundedProtocol(
            config=config,
            server_state=state,
            app_state={},
            limits=ConnectionSettings(),
            max_body_bytes=1_000,
            write_whole=whole_response,
        )
        if ours
        else HttpToolsProtocol(config=config, server_state=state, app_state={})
    )
    transport = RecordingTransport()
    protocol.connection_made(transport)
    for _ in range(times):
        protocol.data_received(case.request)
        while state.tasks:
            await asyncio.wait(state.tasks)
    protocol.connection_lost(None)
    return SentResponse(transport.written, transport.closed, state.total_requests)


USUAL = ResponseCase()


async def test_a_usual_response_is_sent_by_one_write_on_an_open_connection() -> None:
    sent = await exchange(USUAL, ours=True, times=3)

    assert len(sent.writes) == 3
    assert sent.data == (await exchange(USUAL, ours=False, times=3)).data
    assert sent.data.count(b"\r\n\r\nbody") == 3
    assert sent.total == 3


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(replace(USUAL, method="HEAD"), id="HEAD"),
        pytest.param(replace(USUAL, version="1.0"), id="HTTP/1.0"),
        pytest.param(replace(USUAL, more="Connection: close\r\n"), id="a last request"),
        pytest.param(
            replace(USUAL, more="Expect: 100-continue\r\n", reads=False), id="unread 100-continue"
        ),
        pytest.param(replace(USUAL, status=204, length=None, body=(b"",)), id="no content"),
        pytest.param(replace(USUAL, status=304, body=(b"",)), id="not modified"),
        pytest.param(replace(USUAL, length=None), id="chunked"),
        pytest.param(replace(USUAL, body=(b"bo", b"dy")), id="in parts"),
        pytest.param(replace(USUAL, body=(b"bod",)), id="shorter than Content-Length"),
        pytest.param(replace(USUAL, body=(b"bodys",)), id="longer than Content-Length"),
        pytest.param(replace(USUAL, headers=((b"connection", b"close"),)), id="the last response"),
        pytest.param(replace(USUAL, headers=((b"Upper", b"case"),)), id="upper case"),
        pytest.param(replace(USUAL, headers=((b"bad name", b"x"),)), id="a bad name"),
        pytest.param(replace(USUAL, headers=((b"bad", b"a\r\nb: c"),)), id="a bad value"),
        pytest.param(replace(USUAL, headers=((b"long", b"x" * 1_000),)), id="a long value"),
    ],
)
async def test_an_unusual_response_is_sent_as_by_uvicorn(case: ResponseCase) -> None:
    assert await exchange(case, ours=True) == await exchange(case, ours=False)


SOME_HEADERS = st.lists(
    st.tuples(
        st.one_of(
            st.sampled_from([b"x-request-id", b"vary", b"connection", b"transfer-encoding"]),
            st.binary(min_size=1, max_size=3),
        ),
        st.one_of(st.sampled_from([b"chunked", b"close", b"", b" "]), st.binary(max_size=3)),
    ),
    max_size=3,
).map(tuple)

CASES = st.builds(
    ResponseCase,
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    version=st.sampled_from(["1.0", "1.1"]),
    more=st.sampled_from(["", "Connection: close\r\n", "Expect: 100-continue\r\n"]),
    status=st.sampled_from([200, 204, 294, 304, 400, 503]),
    headers=SOME_HEADERS,
    length=st.sampled_from([None, 0, 4]),
    body=st.lists(st.sampled_from([b"", b"body", b"bo"]), min_size=1, max_size=3).map(tuple),
    reads=st.booleans(),
).filter(lambda case: case.version == "1.1" or "Expect" not in case.more)
"""uvicorn also sends an interim response to HTTP/1.0 clients, which do not understand it."""


@given(case=CASES)
def test_any_response_has_the_same_bytes_as_from_uvicorn(case: ResponseCase) -> None:
    ours, theirs = (asyncio.run(exchange(case, ours=ours)) for ours in (True, False))

    assert ours.data == theirs.data
    assert (ours.closed, ours.total) == (theirs.closed, theirs.total)


async def test_an_application_that_fails_after_the_head_sends_status_500() -> None:
    async def fails(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("no body")

    @dataclass(frozen=True)
    class Failing(ResponseCase):
        """Fails between the head and the body."""

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            """Fail."""
            await fails(scope, receive, send)

    sent = await exchange(Failing(), ours=True)

    assert sent.data.startswith(b"HTTP/1.1 500 ")
    assert sent.closed
