"""Persisted documents are shared between gateways through the store."""

from collections.abc import Mapping
from typing import Any

import httpx

from app.execution.document_store import hash_of
from app.settings.models import Settings
from app.settings.server import PersistedSettings
from tests.fakes import settings_for_fakes, user_id
from tests.store.instances import Instance, instances, stored
from tests.stores import StoreServer, needs_store, running_store

pytestmark = needs_store

DOCUMENT = f'{{ user(id: "{user_id(1)}") {{ displayName }} }}'
NAME: Mapping[str, Any] = {
    "extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_of(DOCUMENT)}}
}


def settings_of(server: StoreServer, **changes: object) -> Settings:
    """Make the settings of a gateway with persisted documents."""
    store = server.settings(rate_limits=False, **changes)
    return settings_for_fakes(persisted=PersistedSettings(enabled=True)).model_copy(
        update={"store": store}
    )


async def post(one: Instance, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Send a request, and return the body of the response."""
    response: httpx.Response = await one.client.client.post("/graphql", json=body)
    result: Mapping[str, Any] = response.json()
    return result


async def test_a_document_sent_to_one_gateway_is_found_by_hash_at_another() -> None:
    async with running_store() as server, instances(2, settings_of(server)) as (one, other):
        for each in (one, other):
            each.services.know(1)
        await post(one, {**NAME, "query": DOCUMENT})
        await stored(server, 1)

        assert await post(other, NAME) == {"data": {"user": {"displayName": "User 1"}}}
        await server.stop()
        assert await post(other, NAME) == {"data": {"user": {"displayName": "User 1"}}}


async def test_a_stored_text_that_does_not_match_its_hash_is_not_executed() -> None:
    async with running_store() as server, instances(2, settings_of(server)) as (one, other):
        await post(one, {**NAME, "query": DOCUMENT})
        await stored(server, 1)
        await server.set(f"user-gateway:d:{hash_of(DOCUMENT)}", b"{ __typename }")

        result = await post(other, NAME)

        assert result["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"


async def test_documents_are_not_shared_when_the_setting_is_off() -> None:
    async with (
        running_store() as server,
        instances(2, settings_of(server, documents=False)) as (one, other),
    ):
        await post(one, {**NAME, "query": DOCUMENT})

        result = await post(other, NAME)

        assert result["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
