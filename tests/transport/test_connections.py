"""No answer is taken that nobody asked for, and no connection is used on which one came."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import orjson
import pytest
import uvloop

from app.auth.issuer import Issuer, connection_of
from app.errors import Code, SourceFailure
from app.fastpath.wire import Wire, wire_transport
from app.resilience.clock import SystemClock
from app.settings.auth import JwtCallers
from app.settings.source import SourceSettings
from app.sources.base import Page, PageRequest, UserId
from app.sources.failures import FOREIGN
from app.sources.lists.pages import RestPages
from app.sources.records import INVOICES
from app.transport.connections import UpstreamConnector
from tests.certificates import Certificates
from tests.fakes import invoice
from tests.fakes.raw_server import (
    RawConnection,
    RawServer,
    answered,
    chunked,
    echo,
    settle,
)
from tests.issuer import jwk, key_of
from tests.sources.login import until
from tests.sources.proxy import Proxy
from tests.sources.test_client import CALL, asking

HEADERS = (("Host", "service"),)
OTHER = answered(b"/other")

WAYS = ["plain", "tls", "proxy", "tunnel"]
"""How the upstream is reached; by ``proxy`` it is one itself."""

STRAYS = {
    "an answer": OTHER,
    "two answers": OTHER * 2,
    "an answer that ends the connection": answered(b"/other", "Connection: close"),
    "an answer in chunks": chunked(b"/other"),
    "half a head": OTHER[:20],
    "half a body": OTHER[:-3],
    "one byte of an answer": OTHER[:1],
    "an answer that announces another": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "a time-out": answered(b"", "Connection: close", status="408 Request Timeout"),
    "no HTTP": b"\x00\xff",
    "a body": b"/other",
    "a line end": b"\r\n",
    "a line feed": b"\n",
}
"""What comes without having been asked for."""


@asynccontextmanager
async def reached(
    way: str,
    behaviour: Callable[[RawConnection], None],
    certificates: Certificates,
    *,
    hasty: bool = False,
    **changes: Any,  # noqa: ANN401 # any setting of a source
) -> AsyncGenerator[tuple[RawServer, "WireClient"]]:
    """Run an upstream, and open a wire that leads to it."""
    encrypted = way in {"tls", "tunnel"}
    tls = certificates.server() if encrypted else None
    async with (
        RawServer(behaviour, hasty=hasty).listening(tls) as upstream,
        Proxy().listening() as proxy,
    ):
        settings: dict[str, Any] = {"base_url": upstream.base_url}
        if encrypted:
            settings["tls"] = {"ca_file": certificates.ca_file}
        if way == "tunnel":
            settings["proxy"] = {"url": proxy.base_url}
        if way == "proxy":
            settings |= {"base_url": "http://service", "proxy": {"url": upstream.base_url}}
        wire = Wire(SourceSettings.model_validate(settings | changes))
        try:
            yield upstream, WireClient(wire, settings["base_url"])
        finally:
            await wire.close()


class WireClient:
    """Asks by a wire, and tells what came of it."""

    def __init__(self, wire: Wire, base: str) -> None:
        self.wire = wire
        self._base = base

    async def get(self, target: str, method: str = "GET") -> bytes | None:
        """Have a request answered; gives the body, or nothing where it failed."""
        try:
            return await self.must(target, method)
        except FOREIGN:
            return None

    async def must(self, target: str, method: str = "GET", body: bytes = b"") -> bytes:
        """Have a request answered that must not fail."""
        sized = (*HEADERS, ("Content-Length", str(len(body)))) if body else HEADERS
        incoming = await self.wire.exchange(
            method, self._base, target, sized, body, repeatable=method != "POST"
        )
        try:
            return b"".join([piece async for piece in incoming])
        finally:
            await incoming.aclose()


def own(target: str) -> tuple[bytes, bytes]:
    """Tell which bodies are of the request for a target: a proxy is sent the whole address."""
    return target.encode(), f"http://service{target}".encode()


# What nobody asked for


@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
@pytest.mark.parametrize("way", WAYS)
async def test_what_follows_an_answer_in_the_same_read_is_never_the_next_one(
    way: str, stray: bytes, certificates: Certificates
) -> None:
    def behave(peer: RawConnection) -> None:
        peer.send(answered(peer.target.encode()) + (stray if peer.number == 0 else b""))

    async with reached(way, behave, certificates) as (upstream, asked):
        first = await asked.get("/1")
        assert await asked.get("/2") in own("/2")

    assert first is None or first in own("/1")
    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
@pytest.mark.parametrize("way", WAYS)
async def test_what_comes_while_a_connection_is_idle_closes_it(
    way: str, stray: bytes, certificates: Certificates
) -> None:
    async with reached(way, echo, certificates) as (upstream, asked):
        assert await asked.get("/1") in own("/1")
        upstream.peers[0].send(stray)
        await until(lambda: not upstream.peers[0].is_open)
        assert await asked.get("/2") in own("/2")
        assert asked.wire.take_strays() == 1

    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
@pytest.mark.parametrize("way", ["plain", "tls", "proxy"])
async def test_what_comes_in_the_tick_in_which_the_next_request_is_written_is_not_its_answer(
    way: str, stray: bytes, certificates: Certificates
) -> None:
    async with reached(way, echo, certificates) as (upstream, asked):
        assert await asked.get("/1") in own("/1")
        upstream.peers[0].send(stray)  # it waits in our socket now, and nobody has read it
        assert await asked.get("/2") in own("/2")

    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


async def test_the_rest_of_what_began_too_early_is_never_an_answer(
    certificates: Certificates,
) -> None:
    for cut in range(1, len(OTHER)):

        def behave(peer: RawConnection, cut: int = cut) -> None:
            if peer.number == 0 and len(peer.heads) == 1:
                peer.send(answered(peer.target.encode()) + OTHER[:cut])
            elif peer.number == 0:
                peer.send(OTHER[cut:])
            else:
                echo(peer)

        async with reached("plain", behave, certificates) as (_, asked):
            assert await asked.get("/1") in (b"/1", None)
            assert await asked.get("/2") == b"/2"


FRAMES = {
    "of a length": answered(b"[1]"),
    "empty": answered(b""),
    "with a line end in it": answered(b"[1]\r\n"),
    "of a line end alone": answered(b"\n"),
    "of line ends alone": answered(b"\r\n\r\n"),
    "in chunks": chunked(b"[", b"1]"),
    "in chunks that end with a line": chunked(b"[1]\n"),
    "in no chunk": chunked(),
    "in chunks with a trailer": chunked(b"[1]", trailer=b"X-Sum: 1\r\n"),
    "after others": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n"
    + answered(b"[1]"),
    "without content": answered(b"", status="204 No Content", sized=False),
    "not modified": answered(b"", "Content-Length: 9", status="304 Not Modified", sized=False),
}
"""Right answers, by what their body is like."""


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("pieces", ["in one piece", "byte by byte"])
async def test_a_connection_is_used_again_after_an_answer_that_has_ended(
    frame: bytes, pieces: str, certificates: Certificates
) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def drip(peer: RawConnection) -> None:
        for byte in frame:
            peer.send(bytes([byte]))
            await settle()

    def behave(peer: RawConnection) -> None:
        if pieces == "byte by byte":
            tasks.append(asyncio.create_task(drip(peer)))
        else:
            peer.send(frame)

    async with reached("plain", behave, certificates) as (upstream, asked):
        first = await asked.must("/1")
        assert await asked.must("/2") == first

    assert [len(peer.heads) for peer in upstream.peers] == [2]


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("stray", [b"x", b"\n", b"\r\n", OTHER, OTHER[:9]])
@pytest.mark.parametrize("when", ["while idle", "in the same read"])
async def test_a_connection_is_not_used_again_whatever_the_answer_was_like_that_something_follows(
    frame: bytes, stray: bytes, when: str, certificates: Certificates
) -> None:
    def behave(peer: RawConnection) -> None:
        peer.send(frame if when == "while idle" or peer.number else frame + stray)

    async with reached("plain", behave, certificates) as (upstream, asked):
        await asked.get("/1")
        if when == "while idle":
            upstream.peers[0].send(stray)
        await asked.must("/2")

    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


@pytest.mark.parametrize("stray", [b"", b"[1]", OTHER, b"\r\n"])
async def test_nothing_follows_an_answer_to_head_whatever_its_length_says(
    stray: bytes, certificates: Certificates
) -> None:
    def behave(peer: RawConnection) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
        if peer.number == 0:
            peer.send(stray)

    async with reached("plain", behave, certificates) as (upstream, asked):
        for _ in range(2):
            assert await asked.get("/1", "HEAD") in (b"", None)

    assert [len(peer.heads) for peer in upstream.peers] == ([1, 1] if stray else [2])


@pytest.mark.parametrize(
    "refusal",
    [
        answered(b"[1]", "Connection: close"),
        answered(b"[1]", "Connection: Keep-Alive, Close"),
        answered(b"[1]", "Connection: keep-alive", "Connection: close"),
        answered(b"[1]").replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
)
async def test_a_connection_is_not_used_again_where_the_answer_refuses_that(
    refusal: bytes, certificates: Certificates
) -> None:
    def behave(peer: RawConnection) -> None:  # which stays open for all that
        peer.send(refusal if peer.number == 0 else answered(b"[2]"))

    async with reached("plain", behave, certificates) as (upstream, asked):
        await asked.must("/1")
        assert await asked.must("/2") == b"[2]"

    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


@pytest.mark.parametrize("greeting", [OTHER, OTHER[:9], b"220 mail.internal ESMTP\r\n", b"\r\n"])
async def test_a_service_that_speaks_before_it_is_asked_is_not_listened_to(greeting: bytes) -> None:
    async with (
        RawServer(echo, greeting=greeting).listening() as upstream,
        asking(upstream.base_url) as service,
    ):
        told = await service.get("/1")

    assert isinstance(told, SourceFailure)
    assert told.code is Code.SOURCE_UNAVAILABLE
    assert told.detail == "UnaskedAnswerError"
    assert upstream.targets == []


# What did not end


@pytest.mark.parametrize("said", [b"", OTHER[:9], OTHER[:-2]], ids=["nothing", "a head", "a body"])
@pytest.mark.parametrize("way", WAYS)
async def test_the_late_answer_to_a_request_that_was_given_up_is_nobody_s(
    way: str, said: bytes, certificates: Certificates
) -> None:
    def behave(peer: RawConnection) -> None:
        if peer.number:
            echo(peer)
        else:
            peer.send(said)

    async with reached(way, behave, certificates, max_connections=1) as (upstream, asked):
        waiting = asyncio.ensure_future(asked.get("/1"))
        await until(lambda: bool(upstream.peers and upstream.peers[0].heads))
        await settle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        upstream.peers[0].send(OTHER[len(said) :])
        assert await asked.get("/2") in own("/2")

    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


async def test_an_answer_that_came_before_all_of_its_request_is_the_last_on_its_connection(
    certificates: Certificates,
) -> None:
    async with reached("plain", echo, certificates, hasty=True) as (upstream, asked):
        assert await asked.must("/1", "POST", b"x" * 50_000_000) == b"/1"
        assert await asked.must("/2") == b"/2"

    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(chunked(b"[1]")[:-5] + b"zz", id="no chunk"),
        pytest.param(answered(b"[1]", "X-A: \0"), id="no head"),
        pytest.param(answered(b"[1]", "Content-Length: 4"), id="two lengths"),
        pytest.param(
            chunked(b"[1]").replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"), id="both"
        ),
    ],
)
@pytest.mark.parametrize("cut", [None, 3, 40, -1, -2, -3, -4, -5])
async def test_an_answer_that_breaks_http_fails_at_once_and_ends_its_connection(
    broken: bytes, cut: int | None
) -> None:
    async def drip(peer: RawConnection) -> None:
        peer.send(broken[:cut])
        await settle()
        peer.send(broken[cut:])

    tasks: list[asyncio.Task[None]] = []

    def behave(peer: RawConnection) -> None:
        if peer.number:
            peer.send(answered(b"[2]"))
        else:
            tasks.append(asyncio.create_task(drip(peer)))

    async with (
        RawServer(behave).listening() as upstream,
        asking(upstream.base_url, timeout=30) as service,
    ):
        told = await service.get("/1")
        assert isinstance(told, SourceFailure)
        assert told.code is Code.SOURCE_MALFORMED
        assert await service.get("/2") == "[2]"

    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


# Others who use the connections


def everything(peer: RawConnection) -> None:
    """Answer whatever is asked, and send the answer to another user's request behind it."""
    parts = urlsplit(peer.target)
    user = parse_qs(parts.query).get("userId", [""])[0]
    said: dict[str, tuple[object, object]] = {
        "/users": ([1], ["other"]),
        "/invoices": ({"items": [invoice(int(user or 0))]}, {"items": [invoice(99)]}),
        "/token": (grant("right"), grant("other")),
        "/keys": (published("right"), published("other")),
    }
    right, other = map(orjson.dumps, said[parts.path])
    peer.send(answered(right))
    peer.send(answered(other))


def grant(token: str) -> dict[str, object]:
    """Make the answer of an authorization server, whose token lasts for one call."""
    return {"access_token": token, "token_type": "Bearer", "expires_in": 0}


def published(name: str) -> dict[str, object]:
    """Make the answer of an issuer that is asked for its keys."""
    return {"keys": [jwk(key_of("ES256"), kid=name)]}


async def test_lists_tokens_and_keys_are_those_that_were_asked_for_too() -> None:
    async with RawServer(everything).listening() as upstream:
        auth = {
            "kind": "client_credentials",
            "token_url": f"{upstream.base_url}/token",
            "client_id": "gateway",
            "client_secret": "secret",
        }
        async with asking(upstream.base_url, auth=auth) as service:
            pages = RestPages(INVOICES, service.client)
            for number in range(1, 6):
                request = PageRequest(UserId(str(number)), 3)
                [page] = (await pages.fetch_pages([request], CALL)).results
                assert isinstance(page, Page)
                assert [one.item.id for one in page.items] == [f"inv-{number}"]
                assert await service.get("/users") == "[1]"
        callers = JwtCallers.model_validate(
            {
                "mode": "jwt",
                "issuer": upstream.base_url,
                "audience": "gateway",
                "jwks_url": f"{upstream.base_url}/keys",
            }
        )
        async with wire_transport(connection_of(callers)) as transport:
            issuer = Issuer(callers, transport, SystemClock())
            for _ in range(5):
                keys = await issuer.keys()
                assert not isinstance(keys, SourceFailure)
                assert keys.names == {"right"}

    heads = "".join(head for peer in upstream.peers for head in peer.heads)
    assert heads.count("Bearer right") == 10
    assert "Bearer other" not in heads


async def test_a_session_of_aiohttp_takes_no_answer_either_that_nobody_asked_for() -> None:
    for stray in STRAYS.values():
        async with RawServer(echo).listening() as upstream:
            pool = UpstreamConnector(limit=1, keepalive_timeout=15, head_limit=65_536)
            async with aiohttp.ClientSession(connector=pool) as session:
                for target in ("/1", "/2", "/3"):
                    async with session.get(f"{upstream.base_url}{target}") as response:
                        assert await response.text() == target
                    upstream.peers[-1].send(stray)
                    if target == "/2":
                        await settle()

        assert upstream.targets == ["/1", "/2", "/3"]
        assert len(upstream.peers) == 3


def test_with_uvloop_nothing_comes_between_the_look_at_the_socket_and_the_request() -> None:
    async def run() -> None:
        async with RawServer(echo).listening() as server:
            wire = Wire(SourceSettings(base_url=server.base_url))
            asked = WireClient(wire, server.base_url)
            assert await asked.must("/1") == b"/1"
            [peer] = server.peers

            def stray() -> None:  # in the turn of the loop in which the request is written
                came.append(peer.has_unread)
                if not peer.has_unread:
                    peer.send(OTHER)

            came: list[bool] = []
            second = asyncio.ensure_future(asked.get("/2"))
            asyncio.get_running_loop().call_soon(stray)
            assert await second == b"/2"
            assert came == [True]
            await wire.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
