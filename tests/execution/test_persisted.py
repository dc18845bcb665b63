"""Automatic persisted queries by the protocol of Apollo's clients."""

from typing import Any

import httpx
import orjson
import pytest

from app.execution.document_store import hash_of
from app.execution.documents import MAX_CACHED
from app.server.responses import GRAPHQL_JSON, JSON
from app.settings.server import PersistedSettings
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, settings_for_fakes, user_id

QUERY = "query Plan($id: ID!) { user(id: $id) { plan } }"
VARIABLES = {"id": user_id(1)}
ANSWER = {"data": {"user": {"plan": "pro"}}}
KEPT = settings_for_fakes(persisted=PersistedSettings(enabled=True, max_documents=2))
OFF = settings_for_fakes()


def extensions_for(text: str) -> dict[str, Any]:
    """Make the extensions with the hash of a document."""
    return {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text)}}


async def post(gateway: GatewayClient, *, accept: str = JSON, **members: object) -> httpx.Response:
    """Send a request by POST."""
    body = {"variables": VARIABLES, **members}
    return await gateway.client.post("/graphql", json=body, headers={"Accept": accept})


async def get(gateway: GatewayClient, **members: object) -> httpx.Response:
    """Send a request by GET."""
    parameters = {
        name: value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in {"variables": VARIABLES, **members}.items()
    }
    headers = {"X-Apollo-Operation-Name": "Plan"}
    return await gateway.client.get("/graphql", params=parameters, headers=headers)


def code(response: httpx.Response) -> str:
    """Read the code of the only error."""
    [error] = response.json()["errors"]
    found: str = error["extensions"]["code"]
    return found


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
async def test_a_document_is_found_by_its_hash_after_it_was_sent_once(
    open_gateway: OpenGateway, services: FakeServices, accept: str
) -> None:
    services.know(1)
    async with open_gateway(KEPT) as gateway:
        first = await post(gateway, extensions=extensions_for(QUERY), accept=accept)
        whole = await post(gateway, query=QUERY, extensions=extensions_for(QUERY), accept=accept)
        again = await post(gateway, extensions=extensions_for(QUERY), accept=accept)
        by_get = await get(gateway, extensions=extensions_for(QUERY))

    assert (first.status_code, first.json()) == (
        200,
        {
            "errors": [
                {
                    "message": "PersistedQueryNotFound",
                    "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"},
                }
            ]
        },
    )
    assert whole.json() == again.json() == by_get.json() == ANSWER


async def test_a_document_can_be_registered_and_found_by_get(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    async with open_gateway(KEPT) as gateway:
        first = await get(gateway, extensions=extensions_for(QUERY))
        whole = await get(gateway, query=QUERY, extensions=extensions_for(QUERY))
        again = await get(gateway, extensions=extensions_for(QUERY))

    assert code(first) == "PERSISTED_QUERY_NOT_FOUND"
    assert whole.json() == again.json() == ANSWER


async def test_a_document_is_found_by_its_document_id(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    async with open_gateway(KEPT) as gateway:
        await post(gateway, query=QUERY, extensions=extensions_for(QUERY))
        by_post = await post(gateway, documentId=f"sha256:{hash_of(QUERY)}")
        by_get = await get(gateway, documentId=f"sha256:{hash_of(QUERY)}")
        of_relay = await post(gateway, doc_id=hash_of(QUERY))

    assert by_post.json() == by_get.json() == of_relay.json() == ANSWER


@pytest.mark.parametrize("wrong", ["{ __typename }", QUERY + " "])
async def test_a_document_is_kept_under_its_own_hash_only(
    open_gateway: OpenGateway, wrong: str
) -> None:
    async with open_gateway(KEPT) as gateway:
        mixed = await post(
            gateway, query=wrong, extensions=extensions_for(QUERY), accept=GRAPHQL_JSON
        )
        after = await post(gateway, extensions=extensions_for(QUERY))

    assert mixed.status_code == 400
    assert "provided sha does not match query" in mixed.json()["errors"][0]["message"]
    assert code(after) == "PERSISTED_QUERY_NOT_FOUND"


@pytest.mark.parametrize(
    "named",
    [
        *(None, 7, "hash", [], {}, {"sha256Hash": None}, {"sha256Hash": ""}, {"sha256Hash": 7}),
        {"version": 2, "sha256Hash": hash_of(QUERY)},
        {"version": 1, "sha256Hash": "0" * 100_000},
    ],
)
async def test_an_invalid_hash_is_an_error_that_names_the_expected_format(
    open_gateway: OpenGateway, named: object
) -> None:
    async with open_gateway(KEPT) as gateway:
        response = await post(gateway, extensions={"persistedQuery": named}, accept=GRAPHQL_JSON)

    assert response.status_code == 400
    message = response.json()["errors"][0]["message"]
    assert "sha256Hash" in message
    assert len(message) < 500


async def test_the_most_recently_used_documents_are_kept_up_to_the_limit(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    a, b, c = (f"{QUERY} #{name}" for name in "abc")
    async with open_gateway(KEPT) as gateway:
        await post(gateway, query=a, extensions=extensions_for(a))
        await post(gateway, query=b, extensions=extensions_for(b))
        await post(gateway, extensions=extensions_for(a))
        await post(gateway, query=c, extensions=extensions_for(c))
        answers = [await post(gateway, extensions=extensions_for(one)) for one in (a, b, c)]

    assert [response.json() == ANSWER for response in answers] == [True, False, True]


async def test_a_very_long_document_is_executed_and_not_kept(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    long = QUERY + " " * MAX_CACHED
    async with open_gateway(KEPT) as gateway:
        whole = await post(gateway, query=long, extensions=extensions_for(long))
        again = await post(gateway, extensions=extensions_for(long))

    assert whole.json() == ANSWER
    assert code(again) == "PERSISTED_QUERY_NOT_FOUND"


async def test_persisted_queries_that_are_off_are_reported_as_not_supported(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    async with open_gateway(OFF) as gateway:
        first = await post(gateway, extensions=extensions_for(QUERY), accept=GRAPHQL_JSON)
        whole = await post(gateway, query=QUERY, extensions=extensions_for(QUERY))
        again = await post(gateway, documentId=hash_of(QUERY))

    assert (first.status_code, code(first)) == (200, "PERSISTED_QUERY_NOT_SUPPORTED")
    assert whole.json() == ANSWER
    assert code(again) == "PERSISTED_QUERY_NOT_SUPPORTED"
