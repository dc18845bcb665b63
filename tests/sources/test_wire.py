"""What aiohttp's session did for a call: what is written, what is read, what is kept open."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest

from app.shapes.source import SourceSettings
from app.sources.body import read_body
from app.sources.failures import FOREIGN
from app.sources.wire import Incoming, Wire
from tests.sources.proxy import proxying
from tests.sources.raw_server import Answer, RawServer, saying, serving, writing

HEADERS = (("Host", "profile"),)
BASIC = "Basic Z2F0ZXdheTpzZWNyZXQ="
BIG = b"[" + b" " * 3_000_000 + b"]"


@asynccontextmanager
async def wired(server: RawServer, **changes: object) -> AsyncGenerator[Wire]:
    """Open a wire to a server."""
    wire = Wire(SourceSettings.model_validate({"base_url": server.base_url} | changes))
    try:
        yield wire
    finally:
        await wire.close()


async def got(wire: Wire, base: str, target: str = "/users", method: str = "GET") -> Incoming:
    """Have a request without a body answered."""
    return await wire.exchange(method, base, target, HEADERS, b"")


async def read(incoming: Incoming) -> bytes:
    """Read an answer to its end."""
    pieces = [piece async for piece in incoming]
    await incoming.aclose()
    return b"".join(pieces)


def after(first: bytes, then: Answer) -> Answer:
    """Write something before an answer."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await writer.drain()
        await asyncio.sleep(0.01)
        await then(writer)

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
async def test_a_target_is_written_as_it_is_below_the_path_of_its_address(
    path: str, target: str, sent: str
) -> None:
    async with serving(saying()) as server, wired(server) as wire:
        assert await read(await got(wire, server.base_url + path, target)) == b"[]"

    assert [seen.target for seen in server.seen] == [sent]
    assert server.seen[0].headers == (("host", "profile"),)


@pytest.mark.parametrize("text", ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "a\x7fb", "\x1b[0m"])
@pytest.mark.parametrize("place", ["target", "name", "value"])
async def test_nothing_is_sent_that_would_end_a_line(text: str, place: str) -> None:
    target = f"/{text}" if place == "target" else "/"
    header = (text if place == "name" else "x", text if place == "value" else "y")
    async with serving(saying()) as server, wired(server) as wire:
        with pytest.raises(ValueError, match="control characters"):
            await wire.exchange("GET", server.base_url, target, (*HEADERS, header), b"")

    assert not server.seen


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/a", "//127.0.0.1/a", "/a", "", "http:///a"])
async def test_only_http_is_asked_for(address: str) -> None:
    async with serving(saying()) as server, wired(server) as wire:
        with pytest.raises(FOREIGN):
            await got(wire, address, "")


async def test_a_password_in_an_address_is_for_the_service_and_not_for_the_proxy() -> None:
    async with serving(saying()) as server, proxying() as proxy:
        address = server.base_url.replace("//", "//gateway:secret@")
        for changes in ({}, {"proxy": {"url": proxy.url}}):
            async with wired(server, **changes) as wire:
                await read(await got(wire, address))

    assert [seen.header("authorization") for seen in server.seen] == [[BASIC], [BASIC]]
    assert proxy.lines == [f"GET {server.base_url}/users HTTP/1.1"]


async def test_what_comes_before_an_answer_is_passed_over() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    async with serving(after(early, saying(b"[1]"))) as server, wired(server) as wire:
        for _ in range(2):
            incoming = await got(wire, server.base_url)
            assert incoming.status == 200
            assert await read(incoming) == b"[1]"

    assert server.accepted == 1


async def test_a_service_that_speaks_another_protocol_from_now_on_is_left_alone() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nxxx"
    async with serving(after(head, no_more)) as server, wired(server) as wire:
        incoming = await got(wire, server.base_url)
        await incoming.aclose()
        server.answer = saying(b"[2]")
        assert await read(await got(wire, server.base_url)) == b"[2]"

    assert incoming.status == 101
    assert server.accepted == 2


async def test_an_answer_to_head_has_no_body_however_long_it_says_that_is() -> None:
    async with (
        serving(after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", no_more)) as server,
        wired(server) as wire,
    ):
        for _ in range(2):
            assert await read(await got(wire, server.base_url, method="HEAD")) == b""

    assert server.accepted == 1


async def no_more(_: asyncio.StreamWriter) -> None:
    """Write nothing."""


@pytest.mark.parametrize(
    "head",
    ["", "Transfer-Encoding: chunked\r\n", f"Content-Length: {len(BIG)}\r\n"],
    ids=["until the end", "in chunks", "of a length"],
)
async def test_a_long_answer_is_read_to_its_end_however_that_is_said(head: str) -> None:
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BIG), BIG) if "chunked" in head else BIG
    async with (
        serving(writing(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body)) as server,
        wired(server) as wire,
    ):
        assert await read(await got(wire, server.base_url)) == BIG


async def test_a_connection_is_kept_only_where_both_sides_are_through_with_the_answer() -> None:
    async with serving(saying(BIG)) as server, wired(server) as wire:
        await (await got(wire, server.base_url)).aclose()  # not read to its end
        server.answer = saying(b"[1]", headers={"Connection": "close"})
        await read(await got(wire, server.base_url))
        server.answer = saying(b"[1]")
        await read(await got(wire, server.base_url))
        await read(await got(wire, server.base_url))

    assert server.accepted == 3


async def test_a_request_on_a_connection_that_the_server_has_closed_is_not_repeated() -> None:
    async with serving(saying()) as server, wired(server) as wire:
        await read(await got(wire, server.base_url))
        server.answer = writing(b"")
        with pytest.raises(httpx.HTTPError, match="ServerDisconnectedError"):
            await got(wire, server.base_url)

    assert len(server.seen) == 2


async def test_a_request_that_is_given_up_takes_its_connection_with_it() -> None:
    asked = asyncio.Event()

    async def hang(_: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with serving(hang) as server, wired(server, max_connections=1) as wire:
        waiting = asyncio.ensure_future(got(wire, server.base_url))
        await asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        server.answer = saying(b"[1]")
        assert await read(await got(wire, server.base_url)) == b"[1]"

    assert server.accepted == 2


async def test_there_are_no_more_connections_than_may_be() -> None:
    async with serving(saying(b"[1]")) as server, wired(server, max_connections=2) as wire:

        async def ask() -> bytes:
            incoming = await got(wire, server.base_url)
            await asyncio.sleep(0.01)
            return await read(incoming)

        assert await asyncio.gather(*(ask() for _ in range(7))) == [b"[1]"] * 7

    assert server.accepted == 2


async def test_a_proxy_with_a_password_is_reached_by_one_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[object] = []
    open_one = asyncio.StreamReaderProtocol.connection_made

    def connection_made(self: asyncio.StreamReaderProtocol, made: asyncio.BaseTransport) -> None:
        opened.append(made.get_extra_info("sockname"))
        open_one(self, made)

    async with serving(saying(b"[1]")) as server, proxying() as proxy:
        there = {"url": proxy.url, "username": "gateway", "password": "secret"}
        async with wired(server, proxy=there) as wire:
            monkeypatch.setattr(asyncio.StreamReaderProtocol, "connection_made", connection_made)
            for _ in range(3):
                await read(await got(wire, server.base_url))

    port = int(proxy.url.rpartition(":")[2])
    assert len(proxy.lines) == 3
    assert [one for one in opened if one == ("127.0.0.1", port)] == [("127.0.0.1", port)]


async def test_a_body_is_sent_behind_the_head() -> None:
    async with serving(saying()) as server, wired(server) as wire:
        sized = (*HEADERS, ("Content-Length", "200000"))
        await read(await wire.exchange("POST", server.base_url, "/a", sized, b"x" * 200_000))

    [seen] = server.seen
    assert (seen.method, seen.body) == ("POST", b"x" * 200_000)


async def test_a_body_is_no_longer_than_it_may_be() -> None:
    async with serving(saying(b"[1, 2]")) as server, wired(server) as wire:
        incoming = await got(wire, server.base_url)
        response = httpx.Response(incoming.status, stream=incoming)
        assert await read_body(response, 6) == b"[1, 2]"
        await response.aclose()
