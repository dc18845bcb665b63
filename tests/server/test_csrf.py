"""Executing only what a page of another site cannot have sent."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import RequestError
from app.server.cross_site import PREFLIGHT_HEADERS, check_get
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, settings_for_fakes, user_id

QUERY = f'{{ user(id: "{user_id(1)}") {{ plan }} }}'
ANSWER = {"data": {"user": {"plan": "pro"}}}

SAFELISTED = ("accept", "accept-language", "content-language", "range")
"""Headers that a page may set without being asked about (Fetch Standard, "CORS-safelisted")."""

ADDED_BY_BROWSERS = ("cookie", "origin", "referer", "sec-fetch-site", "user-agent", "host", "dnt")


async def get(gateway: GatewayClient, **headers: str) -> httpx.Response:
    """Send a query by GET."""
    return await gateway.client.get("/graphql", params={"query": QUERY}, headers=headers)


@pytest.mark.parametrize("name", PREFLIGHT_HEADERS)
async def test_a_get_that_a_browser_would_ask_about_is_executed(
    gateway: GatewayClient, services: FakeServices, name: str
) -> None:
    services.know(1)

    assert (await get(gateway, **{name: "1"})).json() == ANSWER
    assert (await get(gateway, **{name.upper(): "anything"})).json() == ANSWER


async def test_a_get_that_says_it_is_json_is_executed(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    assert (await get(gateway, **{"Content-Type": "application/json"})).json() == ANSWER


async def test_a_get_with_a_token_is_executed_since_no_browser_adds_one(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    assert (await get(gateway, Authorization="Bearer a.b.c")).json() == ANSWER


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
async def test_a_get_that_any_page_can_make_is_refused_and_nothing_is_called(
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
def test_no_header_that_a_page_can_set_unasked_is_enough(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(RequestError):
        check_get([(name.encode(), value.encode()) for name, value in headers])


async def test_the_prevention_can_be_switched_off(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    async with open_gateway(settings_for_fakes(csrf_prevention=False)) as gateway:
        response = await get(gateway)

    assert response.json() == ANSWER


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", f"query={QUERY}"),
        ("text/plain", f'{{"query": "{QUERY}"}}'),
        ("multipart/form-data; boundary=x", "--x\r\n\r\n--x--"),
        ("", '{"query": "{ __typename }"}'),
    ],
)
async def test_a_post_that_a_form_can_make_is_refused_whatever_is_in_it(
    gateway: GatewayClient, services: FakeServices, content_type: str, body: str
) -> None:
    headers = {"Content-Type": content_type, "GraphQL-Require-Preflight": "1"}

    response = await gateway.client.post("/graphql", content=body.encode(), headers=headers)

    assert response.status_code == 415
    assert not any(services.calls.values())
