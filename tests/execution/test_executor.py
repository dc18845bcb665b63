"""The executor without compiled operations yields to the event loop, and errors are complete."""

import asyncio

import pytest

from app.execution.executor import FIELDS_A_TURN
from app.settings.fastpath import FastpathSettings
from tests.conftest import GatewayReply, OpenGateway
from tests.fakes import FakeServices, failing, settings_for_fakes, user_id

IDS = [user_id(number) for number in range(1, 101)]
FRAGMENT = "fragment F on User { username displayName plan balance { amount currency } loginCount }"
FIELDS = 8
"""The number of fields of each user in it, those of objects and the user itself included."""


def lists(count: int) -> str:
    """Write a query that has the same list of users several times."""
    many = " ".join(f"l{number}: users(ids: $ids) {{ ...F }}" for number in range(count))
    return f"query($ids: [ID!]!) {{ {many} }} {FRAGMENT}"


async def turns_during(open_gateway: OpenGateway, query: str) -> tuple[int, GatewayReply]:
    """Count the turns of another task while the executor answers a query."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with open_gateway(
        settings_for_fakes(fastpath=FastpathSettings(compiled=False))
    ) as gateway:
        counting = asyncio.create_task(count())
        try:
            reply = await gateway.query(query, ids=IDS)
        finally:
            counting.cancel()
    return turns, reply


@pytest.mark.parametrize("fails", [True, False])
async def test_the_executor_yields_to_the_event_loop_during_a_large_response(
    open_gateway: OpenGateway,
    services: FakeServices,
    fails: bool,  # noqa: FBT001 # a column of the table
) -> None:
    services.know(*range(1, 101))
    services.billing.behaviour = failing(503) if fails else None

    few, one = await turns_during(open_gateway, lists(1))
    many, twenty = await turns_during(open_gateway, lists(20))

    assert many - few > 19 * len(IDS) * FIELDS // FIELDS_A_TURN
    assert twenty.data["l19"] == one.data["l0"]
    assert len(twenty.errors) == 20 * len(one.errors) == (20 * 200 if fails else 0)


async def test_an_error_has_its_locations_in_the_document_and_its_path(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2)
    services.billing.behaviour = failing(503)
    query = "query($ids: [ID!]!) {\n  users(ids: $ids) {\n    plan\n    ... { plan p: plan } } }"

    async with open_gateway(
        settings_for_fakes(fastpath=FastpathSettings(compiled=False))
    ) as gateway:
        reply = await gateway.query(query, ids=IDS[:2])

    assert [(one["path"], one["locations"]) for one in reply.errors] == [
        (["users", 0, "plan"], [{"line": 3, "column": 5}, {"line": 4, "column": 11}]),
        (["users", 0, "p"], [{"line": 4, "column": 16}]),
        (["users", 1, "plan"], [{"line": 3, "column": 5}, {"line": 4, "column": 11}]),
        (["users", 1, "p"], [{"line": 4, "column": 16}]),
    ]


@pytest.mark.parametrize("behaviour", ["HALT", "PROPAGATE"])
async def test_on_error_also_holds_for_fields_that_are_executed_in_a_later_turn(
    open_gateway: OpenGateway, services: FakeServices, behaviour: str
) -> None:
    services.know(*range(1, 101))
    services.billing.behaviour = failing(503)
    body = {"query": lists(20), "variables": {"ids": IDS}, "onError": behaviour}

    async with open_gateway(settings_for_fakes()) as gateway:
        answer = (await gateway.client.post("/graphql", json=body)).json()

    assert len(answer["errors"]) == (1 if behaviour == "HALT" else 4_000)
    assert (answer["data"] is None) == (behaviour == "HALT")
