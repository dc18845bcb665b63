"""Request ids and traces of requests."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message
from structlog.contextvars import bound_contextvars, get_contextvars

from tests.conftest import GatewayClient
from tests.fakes import FakeServices, user_id
from tests.properties import examples
from tests.traces import is_child

QUERY = f'{{ user(id: "{user_id(1)}") {{ username plan loginCount }} }}'
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def ask(gateway: GatewayClient, **headers: str) -> str:
    """Ask for a user, and return the request id of the response."""
    response = await gateway.client.post("/graphql", json={"query": QUERY}, headers=headers)
    request_id: str = response.headers["x-request-id"]
    return request_id


async def test_a_valid_request_id_is_returned_forwarded_and_logged(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    returned = await ask(gateway, **{"X-Request-ID": "page 17/abc"})

    assert returned == "page 17/abc"
    for service in services.by_name.values():
        [request] = service.requests
        assert request.headers["x-request-id"] == "page 17/abc"
    lines = [*gateway.events("source.fetch"), *gateway.events("graphql.operation")]
    assert [line["request_id"] for line in lines] == ["page 17/abc"] * 4


async def test_context_variables_of_the_log_are_restored_after_a_request(
    gateway: GatewayClient,
) -> None:
    before = get_contextvars()
    await ask(gateway, **{"X-Request-ID": "first"})
    assert get_contextvars() == before

    with bound_contextvars(request_id="outer", other=1):
        await ask(gateway, **{"X-Request-ID": "second"})
        assert get_contextvars() == {**before, "request_id": "outer", "other": 1}

    lines = gateway.events("graphql.operation")
    assert [(line["request_id"], line.get("other")) for line in lines] == [
        ("first", None),
        ("second", 1),
    ]


@pytest.mark.parametrize("wrong", ["", " ", "x" * 129, "\u00fc", "tab\there", "\x7f"])
async def test_an_invalid_request_id_is_replaced(gateway: GatewayClient, wrong: str) -> None:
    response = await gateway.client.post(
        "/graphql", json={"query": QUERY}, headers=[(b"x-request-id", wrong.encode())]
    )

    assert len(response.headers["x-request-id"]) == 32


async def test_requests_without_an_id_get_different_ones(gateway: GatewayClient) -> None:
    assert await ask(gateway) != await ask(gateway)


async def test_a_valid_traceparent_is_forwarded_and_an_invalid_one_is_not(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    wrong = ["", "00-" + "0" * 32 + TRACE[35:], "ff" + TRACE[2:], TRACE.upper(), TRACE[:-1]]

    await ask(gateway, traceparent=TRACE)
    for one in wrong:
        await ask(gateway, traceparent=one)

    sent = [request.headers.get("traceparent") for request in services.profile.requests]
    assert is_child(sent[0], TRACE)
    assert sent[1:] == [None] * len(wrong)


@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(value=st.binary(max_size=200))
async def test_a_returned_request_id_is_always_valid(gateway: GatewayClient, value: bytes) -> None:
    response = await gateway.client.get("/healthz", headers=[(b"x-request-id", value)])

    returned: str = response.headers["x-request-id"]
    assert 1 <= len(returned) <= 128
    assert returned.isascii()
    assert returned.isprintable()


async def test_an_exception_of_the_gateway_is_masked_and_logged(
    gateway: GatewayClient,
) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        raise ZeroDivisionError("the secret of the bug")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql",
        "query_string": b"",
        "headers": [
            (b"host", b"gateway"),
            (b"content-type", b"application/json"),
            (b"x-request-id", b"abc"),
        ],
    }
    await gateway.app(scope, receive, send)

    assert sent[0]["status"] == 500
    assert b"INTERNAL_SERVER_ERROR" in sent[1]["body"]
    assert b"secret" not in sent[1]["body"]
    [event] = gateway.events("http.bug")
    assert event["request_id"] == "abc"
    assert "the secret of the bug" in event["exception"]
