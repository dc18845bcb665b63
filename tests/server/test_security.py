"""Security headers of responses."""

import pytest

from app.server.responses import SECURITY_HEADERS, security_headers
from tests.conftest import GatewayClient

EXPECTED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}


async def test_a_gateway_without_a_certificate_sends_no_hsts_header(gateway: GatewayClient) -> None:
    response = await gateway.client.get("/healthz")

    assert "strict-transport-security" not in response.headers


@pytest.mark.parametrize(("hsts", "more"), [(0, ()), (60, ("max-age=60",))])
def test_the_max_age_of_hsts_is_a_setting(hsts: int, more: tuple[str, ...]) -> None:
    sent = dict(security_headers(hsts))

    assert tuple(sent[name].decode() for name in sent if name.startswith(b"strict")) == more
    assert sent.keys() >= dict(SECURITY_HEADERS).keys()


@pytest.mark.parametrize(
    ("method", "path", "accept"),
    [
        ("POST", "/graphql", "application/json"),
        ("PUT", "/graphql", "application/json"),
        ("GET", "/graphql", "text/html"),
        ("GET", "/graphiql/assets/nothing.js", "*/*"),
        ("GET", "/nothing", "*/*"),
        ("GET", "/", "*/*"),
        ("GET", "/healthz", "*/*"),
        ("GET", "/readyz", "*/*"),
    ],
)
async def test_every_response_has_each_security_header_once(
    gateway: GatewayClient, method: str, path: str, accept: str
) -> None:
    response = await gateway.client.request(
        method, path, json={"query": "{ __typename }"}, headers={"Accept": accept}
    )

    for name, value in EXPECTED.items():
        assert response.headers.get_list(name) == [value]
    assert len(response.headers.get_list("x-request-id")) == 1
