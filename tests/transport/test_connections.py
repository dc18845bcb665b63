"""Unsolicited data is never used as a response, and its connection is not used again."""

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
"""How the upstream is reached. With ``proxy``, the upstream is the proxy itself."""

STRAYS = {
    "a response": OTHER,
    "two responses": OTHER * 2,
    "a response that closes the connection": answered(b"/other", "Connection: close"),
    "a chunked response": chunked(b"/other"),
    "a part of a head": OTHER[:20],
    "a part of a body": OTHER[:-3],
    "one byte of a response": OTHER[:1],
    "an interim response": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "a response 408": answered(b"", "Connection: close", status="408 Request Timeout"),
    "not HTTP": b"\x00\xff",
    "a body without a head": b"/other",
    "a line end": b"\r\n",
    "a line feed": b"\n",
}
"""Data that the upstream sends without a request."""


@asynccontextmanager
async def reached(
    way: str,
    behaviour: Callable[[RawConnection], None],
    certificates: Certificates,
    *,
    hasty: bool = False,
    **changes: Any,  # noqa: ANN401 # any setting of a source
) -> AsyncGenerator[tuple[RawServer, "WireClient"]]:
    """Run an upstream, and open a wire to it."""
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
    """Sends requests over a wire, and returns the bodies of the responses."""

    def __init__(self, wire: Wire, base: str) -> None:
        self.wire = wire
        self._base = base

    async def get(self, target: str, method: str = "GET") -> bytes | None:
        """Send a request. Return the body, or ``None`` if the request fails."""
        try:
            return await self.send(target, method)
        except FOREIGN:
            return None

    async def send(self, target: str, method: str = "GET", body: bytes = b"") -> bytes:
        """Send a request that has to succeed, and return the body."""
        sized = (*HEADERS, ("Content-Length", str(len(body)))) if body else HEADERS
        incoming = await self.wire.exchange(
            method, self._base, target, sized, body, repeatable=method != "POST"
        )
        try:
            return b"".join([piece async for piece in incoming])
        finally:
            await incoming.aclose()


def bodies_of(target: str) -> tuple[bytes, bytes]:
    """Return the bodies that belong to a target: a proxy gets the whole URL."""
    return target.encode(), f"http://service{target}".encode()


# Unsolicited data


@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
@pytest.mark.parametrize("way", WAYS)
async def test_data_behind_a_response_is_not_taken_for_the_next_response(
    way: str, stray: bytes, certificates: Certificates
) -> None:
    def behave(peer: RawConnection) -> None:
        peer.send(answered(peer.target.encode()) + (stray if peer.number == 0 else b""))

    async with reached(way, behave, certificates) as (upstream, client):
        first = await client.get("/1")
        assert await client.get("/2") in bodies_of("/2")

    assert first is None or first in bodies_of("/1")
    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
@pytest.mark.parametrize("way", WAYS)
async def test_data_on_an_idle_connection_closes_it(
    way: str, stray: bytes, certificates: Certificates
) -> None:
    async with reached(way, echo, certificates) as (upstream, client):
        assert await client.get("/1") in bodies_of("/1")
        upstream.peers[0].send(stray)
        await until(lambda: not upstream.peers[0].is_open)
        assert await client.get("/2") in bodies_of("/2")
        assert client.wire.take_unsolicited() == 1

    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


@pytest.mark.parametrize("stray", STRAYS.values(), ids=STRAYS)
@pytest.mark.parametrize("way", ["plain", "tls", "proxy"])
async def test_data_before_the_next_request_is_not_taken_for_its_response(
    way: str, stray: bytes, certificates: Certificates
) -> None:
    async with reached(way, echo, certificates) as (upstream, client):
        assert await client.get("/1") in bodies_of("/1")
        upstream.peers[0].send(stray)  # it is in our socket now, and still unread
        assert await client.get("/2") in bodies_of("/2")

    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


async def test_a_response_that_began_before_its_request_is_never_used(
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

        async with reached("plain", behave, certificates) as (_, client):
            assert await client.get("/1") in (b"/1", None)
            assert await client.get("/2") == b"/2"


FRAMES = {
    "with a length": answered(b"[1]"),
    "empty": answered(b""),
    "ending with a line end": answered(b"[1]\r\n"),
    "only a line feed": answered(b"\n"),
    "only line ends": answered(b"\r\n\r\n"),
    "chunked": chunked(b"[", b"1]"),
    "chunked, ending with a line feed": chunked(b"[1]\n"),
    "chunked and empty": chunked(),
    "chunked, with a trailer": chunked(b"[1]", trailer=b"X-Sum: 1\r\n"),
    "after interim responses": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n"
    + answered(b"[1]"),
    "204 without content": answered(b"", status="204 No Content", sized=False),
    "304 not modified": answered(b"", "Content-Length: 9", status="304 Not Modified", sized=False),
}
"""Valid responses, by the framing of their bodies."""


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("pieces", ["in one piece", "byte by byte"])
async def test_a_connection_is_reused_after_a_complete_response(
    frame: bytes, pieces: str, certificates: Certificates
) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def send_slowly(peer: RawConnection) -> None:
        for byte in frame:
            peer.send(bytes([byte]))
            await settle()

    def behave(peer: RawConnection) -> None:
        if pieces == "byte by byte":
            tasks.append(asyncio.create_task(send_slowly(peer)))
        else:
            peer.send(frame)

    async with reached("plain", behave, certificates) as (upstream, client):
        first = await client.send("/1")
        assert await client.send("/2") == first

    assert [len(peer.heads) for peer in upstream.peers] == [2]


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("stray", [b"x", b"\n", b"\r\n", OTHER, OTHER[:9]])
@pytest.mark.parametrize("when", ["while idle", "in the same read"])
async def test_a_connection_is_not_reused_after_data_behind_a_response(
    frame: bytes, stray: bytes, when: str, certificates: Certificates
) -> None:
    def behave(peer: RawConnection) -> None:
        peer.send(frame if when == "while idle" or peer.number else frame + stray)

    async with reached("plain", behave, certificates) as (upstream, client):
        await client.get("/1")
        if when == "while idle":
            upstream.peers[0].send(stray)
        await client.send("/2")

    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


@pytest.mark.parametrize("stray", [b"", b"[1]", OTHER, b"\r\n"])
async def test_a_response_to_head_has_no_body_despite_its_content_length(
    stray: bytes, certificates: Certificates
) -> None:
    def behave(peer: RawConnection) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
        if peer.number == 0:
            peer.send(stray)

    async with reached("plain", behave, certificates) as (upstream, client):
        for _ in range(2):
            assert await client.get("/1", "HEAD") in (b"", None)

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
async def test_a_connection_is_not_reused_when_the_response_forbids_it(
    refusal: bytes, certificates: Certificates
) -> None:
    def behave(peer: RawConnection) -> None:  # it leaves the connection open
        peer.send(refusal if peer.number == 0 else answered(b"[2]"))

    async with reached("plain", behave, certificates) as (upstream, client):
        await client.send("/1")
        assert await client.send("/2") == b"[2]"

    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


@pytest.mark.parametrize("greeting", [OTHER, OTHER[:9], b"220 mail.internal ESMTP\r\n", b"\r\n"])
async def test_data_before_the_first_request_makes_the_source_unavailable(greeting: bytes) -> None:
    async with (
        RawServer(echo, greeting=greeting).listening() as upstream,
        asking(upstream.base_url) as service,
    ):
        result = await service.get("/1")

    assert isinstance(result, SourceFailure)
    assert result.code is Code.SOURCE_UNAVAILABLE
    assert result.detail == "UnsolicitedResponseError"
    assert upstream.targets == []


# Incomplete exchanges


@pytest.mark.parametrize(
    "begun", [b"", OTHER[:9], OTHER[:-2]], ids=["nothing", "part of a head", "part of a body"]
)
@pytest.mark.parametrize("way", WAYS)
async def test_the_late_response_to_a_cancelled_request_is_not_used(
    way: str, begun: bytes, certificates: Certificates
) -> None:
    def behave(peer: RawConnection) -> None:
        if peer.number:
            echo(peer)
        else:
            peer.send(begun)

    async with reached(way, behave, certificates, max_connections=1) as (upstream, client):
        waiting = asyncio.ensure_future(client.get("/1"))
        await until(lambda: bool(upstream.peers and upstream.peers[0].heads))
        await settle()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        upstream.peers[0].send(OTHER[len(begun) :])
        assert await client.get("/2") in bodies_of("/2")

    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


async def test_a_response_before_the_end_of_its_request_ends_the_connection(
    certificates: Certificates,
) -> None:
    async with reached("plain", echo, certificates, hasty=True) as (upstream, client):
        assert await client.send("/1", "POST", b"x" * 50_000_000) == b"/1"
        assert await client.send("/2") == b"/2"

    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(chunked(b"[1]")[:-5] + b"zz", id="invalid chunk"),
        pytest.param(answered(b"[1]", "X-A: \0"), id="invalid head"),
        pytest.param(answered(b"[1]", "Content-Length: 4"), id="two lengths"),
        pytest.param(
            chunked(b"[1]").replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n"),
            id="chunks and a length",
        ),
    ],
)
@pytest.mark.parametrize("cut", [None, 3, 40, -1, -2, -3, -4, -5])
async def test_a_response_that_breaks_http_fails_at_once_and_ends_its_connection(
    broken: bytes, cut: int | None
) -> None:
    async def send_slowly(peer: RawConnection) -> None:
        peer.send(broken[:cut])
        await settle()
        peer.send(broken[cut:])

    tasks: list[asyncio.Task[None]] = []

    def behave(peer: RawConnection) -> None:
        if peer.number:
            peer.send(answered(b"[2]"))
        else:
            tasks.append(asyncio.create_task(send_slowly(peer)))

    async with (
        RawServer(behave).listening() as upstream,
        asking(upstream.base_url, timeout=30) as service,
    ):
        result = await service.get("/1")
        assert isinstance(result, SourceFailure)
        assert result.code is Code.SOURCE_MALFORMED
        assert await service.get("/2") == "[2]"

    assert [len(peer.heads) for peer in upstream.peers] == [1, 1]


# Other users of the connections


def respond_twice(peer: RawConnection) -> None:
    """Respond to any request, and send the response for another user behind it."""
    parts = urlsplit(peer.target)
    user = parse_qs(parts.query).get("userId", [""])[0]
    bodies: dict[str, tuple[object, object]] = {
        "/users": ([1], ["other"]),
        "/invoices": ({"items": [invoice(int(user or 0))]}, {"items": [invoice(99)]}),
        "/token": (grant("right"), grant("other")),
        "/keys": (published("right"), published("other")),
    }
    right, other = map(orjson.dumps, bodies[parts.path])
    peer.send(answered(right))
    peer.send(answered(other))


def grant(token: str) -> dict[str, object]:
    """Make the response of an authorization server with a token that expires at once."""
    return {"access_token": token, "token_type": "Bearer", "expires_in": 0}


def published(name: str) -> dict[str, object]:
    """Make the response of an issuer with its keys."""
    return {"keys": [jwk(key_of("ES256"), kid=name)]}


async def test_lists_tokens_and_keys_ignore_unsolicited_responses() -> None:
    async with RawServer(respond_twice).listening() as upstream:
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


async def test_an_aiohttp_session_never_uses_an_unsolicited_response() -> None:
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


def test_uvloop_writes_a_request_in_the_turn_of_the_socket_check() -> None:
    async def run() -> None:
        async with RawServer(echo).listening() as server:
            wire = Wire(SourceSettings(base_url=server.base_url))
            client = WireClient(wire, server.base_url)
            assert await client.send("/1") == b"/1"
            [peer] = server.peers

            def stray() -> None:  # in the turn of the loop in which the request is written
                unread.append(peer.has_unread)
                if not peer.has_unread:
                    peer.send(OTHER)

            unread: list[bool] = []
            second = asyncio.ensure_future(client.get("/2"))
            asyncio.get_running_loop().call_soon(stray)
            assert await second == b"/2"
            assert unread == [True]
            await wire.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
