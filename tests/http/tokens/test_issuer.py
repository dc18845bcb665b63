"""What an issuer may answer when it is asked for its keys."""

from collections.abc import Mapping

import httpx
import pytest

from tests.conftest import OpenGateway
from tests.fakes import Behaviour, FakeServices, failing, saying
from tests.http.tokens.conftest import ask
from tests.issuer import HOST, ISSUER, FakeIssuer, knowing


@pytest.mark.parametrize(
    ("said", "detail"),
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
async def test_a_discovery_document_that_does_not_fit_is_not_followed(
    open_gateway: OpenGateway,
    services: FakeServices,
    issuer: FakeIssuer,
    said: Mapping[str, object],
    detail: str,
) -> None:
    issuer.discovery = dict(said)

    async with open_gateway(knowing(issuer, services)) as gateway:
        response = await ask(gateway, issuer.token())

        [line] = gateway.events("auth.keys")

    assert response.status_code == 503
    assert line["outcome"] == "SOURCE_MALFORMED"
    assert detail in line["detail"]
    assert not issuer.fetches


async def test_with_the_address_of_the_keys_nothing_is_discovered(
    open_gateway: OpenGateway, services: FakeServices, issuer: FakeIssuer
) -> None:
    changes = {"jwks_url": f"https://{HOST}/keys"}

    async with open_gateway(knowing(issuer, services, changes)) as gateway:
        response = await ask(gateway, issuer.token())

    assert response.status_code == 200
    assert issuer.asked == ["/keys"]


def redirecting(_: httpx.Request) -> httpx.Response:
    """Lead elsewhere."""
    return httpx.Response(302, headers={"location": f"{ISSUER}elsewhere"})


@pytest.mark.parametrize(
    ("answer", "outcome"),
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
async def test_an_answer_that_has_no_keys_is_none(
    open_gateway: OpenGateway,
    services: FakeServices,
    issuer: FakeIssuer,
    answer: Behaviour,
    outcome: str,
) -> None:
    settings = knowing(issuer, services, {"jwks_url": f"https://{HOST}/keys"})
    services.others[HOST] = answer

    async with open_gateway(settings) as gateway:
        response = await ask(gateway, issuer.token())

        [line] = gateway.events("auth.keys")

    assert response.status_code == 503
    assert line["outcome"] == outcome
