"""The head of a request: headers with one line or several."""

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from app.server.request import by_name, text_of
from app.server.responses import GRAPHQL_JSON, JSON
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, settings_for_fakes, user_id
from tests.traces import is_child

NAMES = st.sampled_from([b"accept", b"x-request-id", b"traceparent"])
VALUES = st.sampled_from([b"", b"a", b"b", b"a, b", b"\xe4"])

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-01"


@given(headers=st.lists(st.tuples(NAMES, VALUES), max_size=8), name=NAMES)
def test_the_lines_of_a_header_are_joined_without_duplicates(
    headers: list[tuple[bytes, bytes]], name: bytes
) -> None:
    lines = Headers(raw=headers).getlist(name.decode())

    expected = ", ".join(dict.fromkeys(lines)) if lines else None
    assert text_of(by_name(headers), name) == expected


async def ask(gateway: GatewayClient, *headers: tuple[str, str]) -> httpx.Response:
    """Send a query with headers, of which several may have the same name."""
    sent = [("Content-Type", JSON), *headers]
    query = f'{{ user(id: "{user_id(1)}") {{ username }} }}'
    return await gateway.client.post(
        "/graphql", content=orjson.dumps({"query": query}), headers=sent
    )


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (("text/html", JSON), JSON),
        ((JSON, "text/html"), JSON),
        (("text/html;q=0.9", GRAPHQL_JSON), GRAPHQL_JSON),
        ((f"{JSON};q=0.5", f"{GRAPHQL_JSON};q=0.8"), GRAPHQL_JSON),
        ((f"{GRAPHQL_JSON};q=0.5", f"{JSON};q=0.8"), JSON),
        (("", "*/*"), JSON),
    ],
)
async def test_all_lines_of_the_accept_header_are_read(
    gateway: GatewayClient, accept: tuple[str, ...], media_type: str
) -> None:
    response = await ask(gateway, *(("Accept", one) for one in accept))

    assert response.status_code == 200
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"


async def test_a_request_with_unsupported_types_in_all_accept_lines_is_refused(
    gateway: GatewayClient,
) -> None:
    response = await ask(gateway, ("Accept", "text/html"), ("Accept", "image/png"))

    assert response.status_code == 406
    assert "text/html, image/png" in response.text


async def test_a_single_value_header_may_repeat_only_the_same_value(
    open_gateway: OpenGateway,
) -> None:
    async with open_gateway(settings_for_fakes(trace="asked")) as gateway:
        same = await ask(
            gateway,
            *[("X-Request-Timeout", "5s")] * 2,
            *[("X-Request-ID", "one")] * 2,
            *[("X-Gateway-Trace", "1")] * 2,
            *[("Content-Type", JSON)],
        )
        wishes = await ask(gateway, ("X-Request-Timeout", "5s"), ("X-Request-Timeout", "6s"))
        flags = await ask(gateway, ("X-Gateway-Trace", "1"), ("X-Gateway-Trace", "0"))

    assert (same.status_code, same.headers["x-request-id"]) == (200, "one")
    assert "sources" in same.json()["extensions"]
    assert wishes.status_code == 400
    assert "5s, 6s" in wishes.text
    assert "expected a duration" in wishes.text
    assert "extensions" not in flags.json()


async def test_a_traceparent_is_not_forwarded_if_two_differ(
    gateway: GatewayClient, services: FakeServices
) -> None:
    await ask(gateway, ("traceparent", TRACE), ("traceparent", TRACE))
    await ask(gateway, ("traceparent", TRACE), ("traceparent", OTHER))
    await ask(gateway, ("traceparent", "none"), ("traceparent", TRACE))

    sent = [request.headers.get("traceparent") for request in services.profile.requests]
    assert is_child(sent[0], TRACE)
    assert sent[1:] == [None, None]


async def test_a_request_with_two_content_types_is_refused(gateway: GatewayClient) -> None:
    for other in ("text/plain", "application/json; charset=utf-8"):
        response = await ask(gateway, ("Content-Type", other))

        assert response.status_code == 415
        assert "several types: expected one Content-Type" in response.text
