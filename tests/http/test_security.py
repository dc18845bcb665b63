"""Headers that keep an answer from being taken for something else."""

import pytest

from tests.conftest import Gateway

EXPECTED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}


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
async def test_every_answer_has_each_header_once(
    gateway: Gateway, method: str, path: str, accept: str
) -> None:
    response = await gateway.client.request(
        method, path, json={"query": "{ __typename }"}, headers={"Accept": accept}
    )

    for name, value in EXPECTED.items():
        assert response.headers.get_list(name) == [value]
    assert len(response.headers.get_list("x-request-id")) == 1
