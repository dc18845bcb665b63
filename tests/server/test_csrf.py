"""CSRF: only requests that a page of another site cannot send are executed."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import RequestError
from app.server.cross_site import PREFLIGHT_HEADERS, check_get
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, settings_for_fakes, user_id

QUERY = f'{{ user(id: "{user_id(1)}") {{ plan }} }}'
RESPONSE = {"data": {"user": {"plan": "pro"}}}

SAFELISTED = ("accept", "accept-language", "content-language", "range")
"""Headers that a page may set without a preflight (Fetch Standard, "CORS-safelisted")."""

ADDED_BY_BROWSERS = ("cookie", "origin", "referer", "sec-fetch-site", "user-agent", "host", "dnt")


async def get(gateway: GatewayClient, **headers: str) -> httpx.Response:
    """Send a query by GET."""
    return await gateway.client.get("/graphql", params={"query": QUERY}, headers=headers)


@pytest.mark.parametrize("name", PREFLIGHT_HEADERS)
async def test_a_get_with_a_header_that_needs_a_preflight_is_executed(
    gateway: GatewayClient, services: FakeServices, name: str
) -> None:
    services.know(1)

    assert (await get(gateway, **{name: "1"})).json() == RESPONSE
    assert (await get(gateway, **{name.upper(): "anything"})).json() == RESPONSE


async def test_a_get_with_the_content_type_json_is_executed(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    assert (await get(gateway, **{"Content-Type": "application/json"})).json() == RESPONSE


async def test_a_get_with_a_bearer_token_is_executed(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    assert (await get(gateway, Authorization="Bearer a.b.c")).json() == RESPONSE


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic YTpi"},
        {"Cookie": "session=1", "Origin": "https://evil.example"},
        {"GraphQL-Require-Preflight": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "text/plain; application/json"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
    ],
)
async def test_a_get_without_a_preflight_is_refused_without_a_call(
    gateway: GatewayClient, services: FakeServices, headers: dict[str, str]
) -> None:
    response = await get(gateway, **headers)

    assert response.status_code == 400
    message = response.json()["errors"][0]["message"]
    assert "GraphQL-Require-Preflight: 1" in message
    assert "POST" in message
    assert "in urql" in message
    assert not any(services.calls.values())


@given(
    headers=st.lists(
        st.tuples(st.sampled_from((*SAFELISTED, *ADDED_BY_BROWSERS)), st.text(max_size=20))
    )
)
def test_headers_that_need_no_preflight_are_never_enough(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(RequestError):
        check_get([(name.encode(), value.encode()) for name, value in headers])


async def test_csrf_prevention_can_be_switched_off(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    async with open_gateway(settings_for_fakes(csrf_prevention=False)) as gateway:
        response = await get(gateway)

    assert response.json() == RESPONSE


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", f"query={QUERY}"),
        ("text/plain", f'{{"query": "{QUERY}"}}'),
        ("multipart/form-data; boundary=x", "--x\r\n\r\n--x--"),
        ("", '{"query": "{ __typename }"}'),
    ],
)
async def test_a_post_with_a_content_type_of_forms_is_refused(
    gateway: GatewayClient, services: FakeServices, content_type: str, body: str
) -> None:
    headers = {"Content-Type": content_type, "GraphQL-Require-Preflight": "1"}

    response = await gateway.client.post("/graphql", content=body.encode(), headers=headers)

    assert response.status_code == 415
    assert not any(services.calls.values())
