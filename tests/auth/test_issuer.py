"""Responses of an issuer to requests for its keys."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import httpx
import pytest

from app.auth.issuer import Issuer
from app.errors import Code, SourceFailure
from app.settings.auth import JwtCallers
from tests.auth.conftest import ask
from tests.clock import ManualClock
from tests.conftest import OpenGateway
from tests.fakes import Behaviour, FakeServices, FakeTransport, failing, saying
from tests.issuer import AUDIENCE, HOST, ISSUER, FakeIssuer, knowing


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"issuer": "https://login.example.com"}, "its issuer is not the one of the settings"),
        ({"issuer": "https://evil.example.com/"}, "its issuer is not the one of the settings"),
        ({"issuer": None}, "discovery: issuer"),
        ({"jwks_uri": None}, "discovery: jwks_uri"),
        ({"jwks_uri": "keys"}, "discovery: jwks_uri"),
        ({"jwks_uri": "file:///etc/passwd"}, "discovery: jwks_uri"),
        ({"jwks_uri": f"https://{'a' * 64}.example.com/keys"}, "discovery: jwks_uri"),
        ({"jwks_uri": "https://a..b/keys"}, "discovery: jwks_uri"),
        ({"jwks_uri": f"http://{HOST}/keys"}, "its jwks_uri is not https"),
    ],
)
async def test_an_invalid_discovery_document_is_not_followed(
    open_gateway: OpenGateway,
    services: FakeServices,
    issuer: FakeIssuer,
    changes: Mapping[str, object],
    detail: str,
) -> None:
    issuer.discovery = dict(changes)

    async with open_gateway(knowing(issuer, services)) as gateway:
        response = await ask(gateway, issuer.token())

        [line] = gateway.events("auth.keys")

    assert response.status_code == 503
    assert line["outcome"] == "SOURCE_MALFORMED"
    assert detail in line["detail"]
    assert not issuer.fetches


async def test_discovery_is_skipped_when_the_url_of_the_keys_is_set(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    changes = {"jwks_url": f"https://{HOST}/keys"}

    async with open_gateway(knowing(issuer, services, changes)) as gateway:
        response = await ask(gateway, issuer.token())

    assert response.status_code == 200
    assert issuer.asked == ["/keys"]


class WatchedBody(httpx.AsyncByteStream):
    """A response body in pieces that counts how often it is closed."""

    def __init__(self, pieces: Sequence[bytes], error: Exception | None) -> None:
        self.closed = 0
        self._pieces = pieces
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if self._error is not None:
            raise self._error

    async def aclose(self) -> None:
        """Count the call."""
        self.closed += 1


@pytest.mark.parametrize("at", ["discovery", "keys"])
@pytest.mark.parametrize(
    ("status", "headers", "pieces", "error"),
    [
        (200, {}, [b"{}"], None),
        (200, {}, [b"[", b"]"], None),
        (200, {}, [b"x" * 300_000, b"x"], None),
        (200, {}, [b"{"], httpx.ReadError("lost")),
        (200, {"content-type": "text/html"}, [b"<html>"], None),
        (200, {"content-encoding": "br"}, [b"x"], None),
        (200, {"content-encoding": "gzip"}, [b"x"], None),
        (302, {"location": "/"}, [], None),
        (500, {}, [b"x"], None),
    ],
)
async def test_each_response_of_an_issuer_is_closed_once(
    at: str, status: int, headers: Mapping[str, str], pieces: Sequence[bytes], error: Exception
) -> None:
    bodies: list[WatchedBody] = []

    def respond(request: httpx.Request) -> httpx.Response:
        valid = b'{"issuer": "%b", "jwks_uri": "%bkeys"}' % ((ISSUER.encode(),) * 2)
        is_valid = at == "keys" and request.url.path != "/keys"
        bodies.append(WatchedBody([valid], None) if is_valid else WatchedBody(pieces, error))
        if is_valid:
            return httpx.Response(200, stream=bodies[-1])
        return httpx.Response(status, headers=dict(headers), stream=bodies[-1])

    settings = JwtCallers.model_validate({"mode": "jwt", "issuer": ISSUER, "audience": AUDIENCE})
    found = await Issuer(settings, FakeTransport(respond), ManualClock()).keys()

    assert isinstance(found, SourceFailure)
    assert [one.closed for one in bodies] == [1] * (2 if at == "keys" else 1)


async def test_a_response_is_closed_after_a_timeout_or_a_cancellation(
    clock: ManualClock,
) -> None:
    class Endless(WatchedBody):
        """A body that never ends."""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

    body = Endless([], None)
    settings = JwtCallers.model_validate(
        {"mode": "jwt", "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": f"{ISSUER}keys"}
    )
    issuer = Issuer(settings, FakeTransport(lambda _: httpx.Response(200, stream=body)), clock)
    late = asyncio.create_task(issuer.keys())
    await clock.settle()
    clock.advance(2)
    found = await late
    cancelled = asyncio.create_task(issuer.keys())
    await clock.settle()
    cancelled.cancel()
    await asyncio.wait([cancelled])

    assert isinstance(found, SourceFailure)
    assert found.code is Code.SOURCE_TIMEOUT
    assert body.closed == 2


def redirecting(_: httpx.Request) -> httpx.Response:
    """Redirect to another address."""
    return httpx.Response(302, headers={"location": f"{ISSUER}elsewhere"})


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (redirecting, "SOURCE_MALFORMED"),
        (failing(500), "SOURCE_UNAVAILABLE"),
        (failing(404), "SOURCE_REJECTED"),
        (saying(b"<h1>Sign in</h1>"), "SOURCE_MALFORMED"),
        (saying(b"[" * 100_000), "SOURCE_MALFORMED"),
        (saying(b'{"keys": {}}'), "SOURCE_MALFORMED"),
        (saying(b'{"keys": []}'), "SOURCE_MALFORMED"),
        (saying(b" " * 262_145), "SOURCE_MALFORMED"),
    ],
)
async def test_authentication_is_unavailable_after_a_response_without_keys(
    open_gateway: OpenGateway,
    services: FakeServices,
    issuer: FakeIssuer,
    behaviour: Behaviour,
    outcome: str,
) -> None:
    settings = knowing(issuer, services, {"jwks_url": f"https://{HOST}/keys"})
    services.others[HOST] = behaviour

    async with open_gateway(settings) as gateway:
        response = await ask(gateway, issuer.token())

        [line] = gateway.events("auth.keys")

    assert response.status_code == 503
    assert line["outcome"] == outcome
