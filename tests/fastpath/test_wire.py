"""The wire does the work of aiohttp's session: requests, responses and kept connections."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from app.errors import Code, SourceFailure
from app.fastpath.wire import Wire, WireResponse
from app.settings.source import SourceSettings
from app.sources.failures import FOREIGN
from app.transport.body import read_body
from tests.certificates import Certificates
from tests.fakes.http_server import Answer, HttpExchange, HttpServer, saying, serving, writing
from tests.fakes.raw_server import RawConnection, RawServer, answered, echo, settle
from tests.sources.proxy import Proxy
from tests.sources.test_client import asking
from tests.transport.test_connections import WAYS, bodies_of, reached

HEADERS = (("Host", "profile"),)
BASIC = "Basic Z2F0ZXdheTpzZWNyZXQ="
BIG = b"[" + b" " * 3_000_000 + b"]"


@asynccontextmanager
async def wired(server: HttpServer, **changes: object) -> AsyncGenerator[Wire]:
    """Open a wire to a server."""
    wire = Wire(SourceSettings.model_validate({"base_url": server.base_url} | changes))
    try:
        yield wire
    finally:
        await wire.close()


async def response_to(
    wire: Wire, base: str, target: str = "/users", method: str = "GET"
) -> WireResponse:
    """Send a request without a body."""
    return await wire.exchange(method, base, target, HEADERS, b"")


async def read(incoming: WireResponse) -> bytes:
    """Read a response to its end."""
    pieces = [piece async for piece in incoming]
    await incoming.aclose()
    return b"".join(pieces)


def after_bytes(first: bytes, then: Answer) -> Answer:
    """Write some bytes before a response."""

    async def answer(exchange: HttpExchange) -> None:
        await exchange.write(first)
        await exchange.server.clock.sleep(0.01)  # so that it is read by itself
        await then(exchange)

    return answer


@pytest.mark.parametrize(
    ("path", "target", "sent"),
    [
        ("", "/users?id=%2F", "/users?id=%2F"),
        ("/api", "/users", "/api/users"),
        ("/token", "", "/token"),
        ("", "", "/"),
        ("?a=b", "", "/?a=b"),
        ("/token?a=b#c", "", "/token?a=b"),
        ("/%7Eapi//x", "/../users", "/%7Eapi//x/../users"),
    ],
)
async def test_a_target_is_sent_unchanged_below_the_path_of_the_address(
    path: str, target: str, sent: str
) -> None:
    async with serving(saying()) as server, wired(server) as wire:
        assert await read(await response_to(wire, server.base_url + path, target)) == b"[]"

    assert [seen.target for seen in server.requests] == [sent]
    assert server.requests[0].headers == (("host", "profile"),)


@pytest.mark.parametrize("text", ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "a\x7fb", "\x1b[0m"])
@pytest.mark.parametrize("place", ["target", "name", "value"])
async def test_a_request_with_control_characters_is_not_sent(text: str, place: str) -> None:
    target = f"/{text}" if place == "target" else "/"
    header = (text if place == "name" else "x", text if place == "value" else "y")
    async with serving(saying()) as server, wired(server) as wire:
        with pytest.raises(ValueError, match="control characters"):
            await wire.exchange("GET", server.base_url, target, (*HEADERS, header), b"")

    assert not server.requests


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/a", "//127.0.0.1/a", "/a", "", "http:///a"])
async def test_an_address_that_is_not_http_is_refused(address: str) -> None:
    async with serving(saying()) as server, wired(server) as wire:
        with pytest.raises(FOREIGN):
            await response_to(wire, address, "")


async def test_a_password_in_an_address_is_sent_to_the_service_not_to_the_proxy() -> None:
    async with serving(saying()) as server, Proxy().listening() as proxy:
        address = server.base_url.replace("//", "//gateway:secret@")
        for changes in ({}, {"proxy": {"url": proxy.base_url}}):
            async with wired(server, **changes) as wire:
                await read(await response_to(wire, address))

    assert [seen.header("authorization") for seen in server.requests] == [[BASIC], [BASIC]]
    assert proxy.lines == [f"GET {server.base_url}/users HTTP/1.1"]


async def test_interim_responses_are_skipped() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    async with serving(after_bytes(early, saying(b"[1]"))) as server, wired(server) as wire:
        for _ in range(2):
            incoming = await response_to(wire, server.base_url)
            assert incoming.status == 200
            assert await read(incoming) == b"[1]"

    assert server.accepted == 1


async def test_a_connection_that_switches_protocols_is_closed() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nxxx"
    async with serving(after_bytes(head, write_nothing)) as server, wired(server) as wire:
        incoming = await response_to(wire, server.base_url)
        await incoming.aclose()
        server.answer = saying(b"[2]")
        assert await read(await response_to(wire, server.base_url)) == b"[2]"

    assert incoming.status == 101
    assert server.accepted == 2


async def test_a_response_to_head_has_no_body_despite_its_content_length() -> None:
    async with (
        serving(
            after_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", write_nothing)
        ) as server,
        wired(server) as wire,
    ):
        for _ in range(2):
            assert await read(await response_to(wire, server.base_url, method="HEAD")) == b""

    assert server.accepted == 1


async def write_nothing(_: HttpExchange) -> None:
    """Write nothing."""


@pytest.mark.parametrize(
    "head",
    ["", "Transfer-Encoding: chunked\r\n", f"Content-Length: {len(BIG)}\r\n"],
    ids=["until the connection closes", "chunked", "with a content length"],
)
async def test_a_long_response_is_read_to_its_end(head: str) -> None:
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BIG), BIG) if "chunked" in head else BIG
    async with (
        serving(writing(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body)) as server,
        wired(server) as wire,
    ):
        assert await read(await response_to(wire, server.base_url)) == BIG


async def test_a_connection_is_kept_only_after_a_complete_response() -> None:
    async with serving(saying(BIG)) as server, wired(server) as wire:
        await (await response_to(wire, server.base_url)).aclose()  # not read to its end
        server.answer = saying(b"[1]", headers={"Connection": "close"})
        await read(await response_to(wire, server.base_url))
        server.answer = saying(b"[1]")
        await read(await response_to(wire, server.base_url))
        await read(await response_to(wire, server.base_url))

    assert server.accepted == 3


# Connections that the service closes while they are used


ENDS: list[Callable[[RawConnection], None]] = [
    RawConnection.close,
    RawConnection.reset,
]


def closing(
    end: Callable[[RawConnection], None], *, after: int = 1, first_bytes: bytes = b""
) -> Callable[[RawConnection], None]:
    """End each connection at a request, after some answered requests."""

    def behave(peer: RawConnection) -> None:
        if len(peer.heads) <= after:
            echo(peer)
            return
        peer.send(first_bytes)
        end(peer)

    return behave


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("way", WAYS)
async def test_a_request_on_a_kept_connection_that_closes_is_retried(
    way: str, end: Callable[[RawConnection], None], certificates: Certificates
) -> None:
    async with reached(way, closing(end), certificates, max_connections=1) as (upstream, asked):
        for number in range(1, 5):
            assert await asked.get(f"/{number}") in bodies_of(f"/{number}")

    assert [len(peer.heads) for peer in upstream.peers] == [2, 2, 2, 1]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("read", [True, False], ids=["read", "not read yet"])
async def test_a_kept_connection_that_the_service_has_closed_is_not_used(
    end: Callable[[RawConnection], None], *, read: bool, certificates: Certificates
) -> None:
    async with reached("plain", echo, certificates) as (upstream, asked):
        await asked.send("/1")
        end(upstream.peers[0])
        if read:
            await settle()
        assert await asked.send("/2") == b"/2"

    assert upstream.targets == ["/1", "/2"]


@pytest.mark.parametrize("end", ENDS)
async def test_a_request_that_is_not_idempotent_is_not_retried(
    end: Callable[[RawConnection], None], certificates: Certificates
) -> None:
    async with reached("plain", closing(end), certificates) as (upstream, asked):
        await asked.send("/1")
        with pytest.raises(httpx.HTTPError, match=r"ServerDisconnectedError|ClientOSError"):
            await asked.send("/2", "POST", b"{}")

    assert upstream.targets == ["/1", "/2"]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    "first_bytes", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n"]
)
async def test_a_request_is_not_retried_after_a_byte_of_the_response(
    end: Callable[[RawConnection], None], first_bytes: bytes, certificates: Certificates
) -> None:
    async def drip(peer: RawConnection) -> None:
        peer.send(first_bytes)
        await settle()  # a reset discards unread bytes
        end(peer)

    tasks: list[asyncio.Task[None]] = []

    def behave(peer: RawConnection) -> None:
        if len(peer.heads) == 1:
            echo(peer)
        else:
            tasks.append(asyncio.create_task(drip(peer)))

    async with reached("plain", behave, certificates) as (upstream, asked):
        await asked.send("/1")
        assert await asked.get("/2") is None

    assert upstream.targets == ["/1", "/2"]


@pytest.mark.parametrize("end", ENDS)
async def test_the_first_request_on_a_connection_is_not_retried(
    end: Callable[[RawConnection], None], certificates: Certificates
) -> None:
    async with reached("plain", closing(end, after=0), certificates) as (upstream, asked):
        assert await asked.get("/1") is None

    assert upstream.targets == ["/1"]


@pytest.mark.parametrize("end", ENDS)
async def test_a_request_is_retried_at_most_once(
    end: Callable[[RawConnection], None], certificates: Certificates
) -> None:
    def behave(peer: RawConnection) -> None:
        closing(end, after=1 if peer.number == 0 else 0)(peer)

    async with reached("plain", behave, certificates) as (upstream, asked):
        await asked.send("/1")
        assert await asked.get("/2") is None

    assert upstream.targets == ["/1", "/2", "/2"]


async def test_a_request_is_retried_on_a_new_connection_not_on_a_kept_one(
    certificates: Certificates,
) -> None:
    async with reached("plain", closing(RawConnection.reset), certificates) as (
        upstream,
        asked,
    ):
        await asyncio.gather(*(asked.send(f"/{number}") for number in range(5)))
        assert await asked.send("/again") == b"/again"

    assert len(upstream.peers) == 6
    assert upstream.targets.count("/again") == 2


# The head of a response


def response_with(*lines: str, status: str = "200 OK") -> bytes:
    """Write a response with some lines in its head."""
    return answered(b"[1]", *lines, status=status)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(response_with("X-A: " + "a" * 9_000), id="a long line"),
        pytest.param(response_with(*["X-A: b"] * 1_000), id="many lines"),
        pytest.param(response_with(status="200 " + "a" * 9_000), id="a long reason"),
        pytest.param(response_with("X-A: " + "a" * 65_000), id="the longest allowed"),
    ],
)
async def test_the_head_of_a_response_may_be_long(head: bytes) -> None:
    async with serving(writing(head)) as server, wired(server) as wire:
        assert await read(await response_to(wire, server.base_url)) == b"[1]"


LONG_HEADS = {
    "a long line": response_with("X-A: " + "a" * 2_000),
    "a long name": response_with("a" * 2_000 + ": b"),
    "long lines": response_with(*["X-A: " + "a" * 500] * 5),
    "many lines": response_with(*["a:"] * 500),
    "a long reason": response_with(status="200 " + "a" * 2_000),
    "many interim responses": b"HTTP/1.1 103 Hints\r\nX-A: b\r\n\r\n" * 100,
    "no end": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 500,
}


@pytest.mark.parametrize("head", LONG_HEADS.values(), ids=LONG_HEADS)
@pytest.mark.parametrize("pieces", ["in one piece", "in pieces"])
async def test_a_head_longer_than_the_setting_is_a_failure_with_a_log_event(
    head: bytes, pieces: str
) -> None:
    async def drip(peer: RawConnection) -> None:
        for start in range(0, len(head), 300):
            peer.send(head[start : start + 300])
            await settle()

    tasks: list[asyncio.Task[None]] = []

    def behave(peer: RawConnection) -> None:
        if peer.number:
            peer.send(response_with())
        elif pieces == "in pieces":
            tasks.append(asyncio.create_task(drip(peer)))
        else:
            peer.send(head)

    async with (
        RawServer(behave).listening() as upstream,
        asking(upstream.base_url, max_head_bytes=1_024, timeout=30) as service,
    ):
        failure = await service.get("/1")
        assert await service.get("/2") == "[1]"

    assert isinstance(failure, SourceFailure)
    assert failure.code is Code.SOURCE_MALFORMED
    assert failure.detail == (
        "LongHeadError: the head of the answer is longer than max_head_bytes (1,024)"
    )
    assert failure.detail in service.log
    assert "aaaa" not in service.log


async def test_the_connection_of_a_cancelled_request_is_closed() -> None:
    asked = asyncio.Event()

    async def hang(exchange: HttpExchange) -> None:
        asked.set()
        await exchange.wait()

    async with serving(hang) as server, wired(server, max_connections=1) as wire:
        waiting = asyncio.ensure_future(response_to(wire, server.base_url))
        await asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        server.answer = saying(b"[1]")
        assert await read(await response_to(wire, server.base_url)) == b"[1]"

    assert server.accepted == 2


async def test_there_are_at_most_max_connections() -> None:
    async with serving(saying(b"[1]")) as server, wired(server, max_connections=2) as wire:

        async def ask() -> bytes:
            incoming = await response_to(wire, server.base_url)
            await asyncio.sleep(0.01)
            return await read(incoming)

        assert await asyncio.gather(*(ask() for _ in range(7))) == [b"[1]"] * 7

    assert server.accepted == 2


async def test_requests_through_a_proxy_with_a_password_share_one_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[object] = []
    open_one = asyncio.StreamReaderProtocol.connection_made

    def connection_made(self: asyncio.StreamReaderProtocol, made: asyncio.BaseTransport) -> None:
        opened.append(made.get_extra_info("sockname"))
        open_one(self, made)

    async with serving(saying(b"[1]")) as server, Proxy().listening() as proxy:
        there = {"url": proxy.base_url, "username": "gateway", "password": "secret"}
        async with wired(server, proxy=there) as wire:
            monkeypatch.setattr(asyncio.StreamReaderProtocol, "connection_made", connection_made)
            for _ in range(3):
                await read(await response_to(wire, server.base_url))

    port = int(proxy.base_url.rpartition(":")[2])
    assert len(proxy.lines) == 3
    assert [one for one in opened if one == ("127.0.0.1", port)] == [("127.0.0.1", port)]


async def test_a_body_is_sent_after_the_head() -> None:
    async with serving(saying()) as server, wired(server) as wire:
        sized = (*HEADERS, ("Content-Length", "200000"))
        await read(await wire.exchange("POST", server.base_url, "/a", sized, b"x" * 200_000))

    [seen] = server.requests
    assert (seen.method, seen.body) == ("POST", b"x" * 200_000)


async def test_a_body_of_the_longest_allowed_size_is_read() -> None:
    async with serving(saying(b"[1, 2]")) as server, wired(server) as wire:
        incoming = await response_to(wire, server.base_url)
        response = httpx.Response(incoming.status, stream=incoming)
        assert await read_body(response, 6) == b"[1, 2]"
        await response.aclose()
