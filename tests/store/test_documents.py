"""A document that a client has sent to one gateway, another gateway knows by its hash."""

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
    """Make settings of a gateway that keeps documents."""
    store = server.settings(rate_limits=False, **changes)
    return settings_for_fakes(persisted=PersistedSettings(enabled=True)).model_copy(
        update={"store": store}
    )


async def post(one: Instance, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Send a request, and return the answer."""
    response: httpx.Response = await one.client.client.post("/graphql", json=body)
    answer: Mapping[str, Any] = response.json()
    return answer


async def test_what_one_gateway_was_sent_another_finds_by_its_hash() -> None:
    async with running_store() as server, instances(2, settings_of(server)) as (one, other):
        for each in (one, other):
            each.services.know(1)
        await post(one, {**NAME, "query": DOCUMENT})
        await stored(server, 1)

        assert await post(other, NAME) == {"data": {"user": {"displayName": "User 1"}}}
        await server.stop()
        assert await post(other, NAME) == {"data": {"user": {"displayName": "User 1"}}}


async def test_another_text_under_the_hash_is_not_executed() -> None:
    async with running_store() as server, instances(2, settings_of(server)) as (one, other):
        await post(one, {**NAME, "query": DOCUMENT})
        await stored(server, 1)
        await server.set(f"user-gateway:d:{hash_of(DOCUMENT)}", b"{ __typename }")

        answer = await post(other, NAME)

        assert answer["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"


async def test_documents_are_not_shared_if_the_settings_say_so() -> None:
    async with (
        running_store() as server,
        instances(2, settings_of(server, documents=False)) as (one, other),
    ):
        await post(one, {**NAME, "query": DOCUMENT})

        answer = await post(other, NAME)

        assert answer["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
