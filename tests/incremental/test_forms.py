"""The forms of payloads, and the request headers that choose one."""

from collections.abc import Mapping

import orjson
import pytest

from tests.conftest import GatewayClient
from tests.fakes import FakeServices, failing, user_id
from tests.incremental.reading import CURRENT, EVENTS, OF_2022, applied_2022, asking

PAGE = 'query Page($id: ID!) { user(id: $id) { username ... @defer(label: "bill") { plan } } }'
ID = {"id": user_id(1)}
WHOLE = {"data": {"user": {"username": "user1", "plan": "pro"}}}

MULTIPART = 'multipart/mixed; boundary="-"; incrementalSpec=v0.2'
OLD_MULTIPART = 'multipart/mixed; boundary="-"; deferSpec=20220824'
EVENT_STREAM = "text/event-stream; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        # Apollo Client 4 with its two handlers, and with subscriptions.
        (CURRENT + ",application/json;q=0.9", MULTIPART),
        (OF_2022 + ",application/json;q=0.9", OLD_MULTIPART),
        (
            (
                "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,"
                "multipart/mixed;deferSpec=20220824,application/json;q=0.9"
            ),
            OLD_MULTIPART,
        ),
        # urql, GraphiQL, graphql-sse.
        ("application/json, text/event-stream, multipart/mixed", EVENT_STREAM),
        ("application/json, multipart/mixed", MULTIPART),
        ("text/event-stream", EVENT_STREAM),
        ("Multipart/Mixed; DeferSpec=20220824", OLD_MULTIPART),
        ('multipart/mixed; incrementalSpec="v0.2"', MULTIPART),
        ("multipart/mixed;q=0.5, text/event-stream;q=0.7, application/json;q=0.1", EVENT_STREAM),
    ],
)
async def test_a_client_gets_the_form_that_its_accept_header_names(
    gateway: GatewayClient, services: FakeServices, accept: str, content_type: str
) -> None:
    services.know(1)

    async with asking(gateway.app, PAGE, ID, accept=accept) as talk:
        payloads = await talk.all()

    assert talk.headers["content-type"] == content_type
    assert len(payloads) == 2
    assert talk.headers["cache-control"] == "no-store"
    assert talk.headers["vary"] == "Accept"
    assert talk.headers["x-accel-buffering"] == "no"
    assert "content-length" not in talk.headers


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/json",
        "application/graphql-response+json",
        "multipart/mixed;q=0, application/json",
        "multipart/mixed;q=0.5, application/json",
        "multipart/mixed;q=high, application/json",
        "multipart/mixed;deferSpec=20300101, application/json",
        "multipart/mixed;incrementalSpec=v9, application/json",
        "multipart/mixed;subscriptionSpec=1.0, application/json",
        "multipart/*, application/json",
    ],
)
async def test_a_client_that_does_not_accept_payloads_gets_a_single_response(
    gateway: GatewayClient, services: FakeServices, accept: str | None
) -> None:
    services.know(1)

    async with asking(gateway.app, PAGE, ID, accept=accept) as talk:
        assert await talk.whole() == WHOLE

    assert talk.headers["content-length"] == str(len(talk.body))


async def test_an_http_1_0_client_gets_a_single_response(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    async with asking(gateway.app, PAGE, ID, version="1.0") as talk:
        assert await talk.whole() == WHOLE


async def test_each_multipart_part_is_complete_without_the_next_part(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    async with asking(gateway.app, PAGE, ID) as talk:
        await talk.all()

    head = b"Content-Type: application/json; charset=utf-8\r\n\r\n"
    preamble, first, second, end = talk.body.split(b"\r\n---")
    assert preamble == b""
    assert first.startswith(b"\r\n" + head + b'{"data":{"user":{"username":"user1"}},"pending":')
    assert second.startswith(b"\r\n" + head + b'{"hasNext":false,"incremental":')
    assert end == b"--\r\n"


async def test_events_follow_graphql_over_server_sent_events(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    async with asking(gateway.app, PAGE, ID, accept=EVENTS) as talk:
        await talk.all()

    *payloads, complete, rest = talk.body.split(b"\n\n")
    assert [one.split(b"\n")[0] for one in payloads] == [b"event: next"] * 2
    assert all(orjson.loads(one.split(b"\ndata: ")[1]) for one in payloads)
    assert (complete, rest) == (b"event: complete\ndata:", b"")


async def test_the_form_of_2022_has_full_paths_and_no_ids(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    query = """query($id: ID!) { user(id: $id) { balance { amount }
        ... @defer(label: "more") { events @stream(label: "e", initialCount: 1) { id }
            balance { currency } } } }"""

    async with asking(gateway.app, query, ID, accept=OF_2022) as talk:
        payloads = await talk.all()

    assert payloads[0] == {"data": {"user": {"balance": {"amount": 100}}}, "hasNext": True}
    parts = [part for payload in payloads[1:] for part in payload.get("incremental", ())]
    assert {"path": ["user", "balance"], "label": "more", "data": {"currency": "EUR"}} in parts
    assert {"path": ["user"], "label": "more", "data": {"events": [{"id": "e3"}]}} in parts
    items = [part for part in parts if "items" in part]
    assert [item for part in items for item in part["items"]] == [{"id": "e2"}, {"id": "e1"}]
    assert items[0]["path"] == ["user", "events", 1]
    assert items[0]["label"] == "e"
    assert applied_2022(payloads)["data"]["user"]["events"][2] == {"id": "e1"}


async def test_a_failed_group_is_null_in_the_form_of_2022(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.billing.behaviour = failing(503)

    async with asking(gateway.app, PAGE, ID, accept=OF_2022, on_error="HALT") as talk:
        first, last = await talk.all()

    assert first["data"] == {"user": {"username": "user1"}}
    [part] = last["incremental"]
    assert (part["data"], part["path"], part["label"]) == (None, ["user"], "bill")
    assert part["errors"][0]["extensions"]["code"] == "SOURCE_UNAVAILABLE"


@pytest.mark.parametrize("accept", ["multipart/mixed", "text/event-stream"])
@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (
            "query($id: ID!) { user(id: $id) { username } }",
            {"data": {"user": {"username": "user1"}}},
        ),
        ("{ nothing }", None),
    ],
)
async def test_a_client_of_payloads_only_gets_a_single_response_as_one_payload(
    gateway: GatewayClient,
    services: FakeServices,
    accept: str,
    query: str,
    answer: Mapping[str, object] | None,
) -> None:
    services.know(1)

    async with asking(gateway.app, query, ID, accept=accept) as talk:
        [payload] = await talk.all()

    assert talk.status == 200
    assert talk.headers["content-type"].startswith(accept)
    assert talk.headers["content-length"] == str(len(talk.body))
    assert talk.body.endswith(
        b"\r\n-----\r\n" if "mixed" in accept else b"event: complete\ndata:\n\n"
    )
    if answer is None:
        assert payload["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    else:
        assert payload == answer


async def test_an_invalid_graphql_request_is_refused_in_json(gateway: GatewayClient) -> None:
    headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}

    response = await gateway.client.post("/graphql", content=b"{", headers=headers)

    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json; charset=utf-8"


async def test_a_get_request_can_have_payloads(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    query = f'{{ user(id: "{user_id(1)}") {{ username ... @defer {{ plan }} }} }}'
    headers = {"Accept": CURRENT, "Content-Type": "application/json"}

    response = await gateway.client.get("/graphql", params={"query": query}, headers=headers)

    assert response.headers["content-type"] == MULTIPART
    assert response.content.count(b"\r\n---\r\n") == 2
