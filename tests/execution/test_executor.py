"""Executing without compiling: the event loop has its turns, and errors are cheap and complete."""

import asyncio

import pytest

from app.execution.executor import FIELDS_A_TURN
from app.settings.fastpath import FastpathSettings
from tests.conftest import GatewayReply, OpenGateway
from tests.fakes import FakeServices, failing, settings_for_fakes, user_id

IDS = [user_id(number) for number in range(1, 101)]
FRAGMENT = "fragment F on User { username displayName plan balance { amount currency } loginCount }"
FIELDS = 8
"""How many fields it has for each user, with those of its objects and the user itself."""


def lists(count: int) -> str:
    """Write a query for the same users again and again."""
    many = " ".join(f"l{number}: users(ids: $ids) {{ ...F }}" for number in range(count))
    return f"query($ids: [ID!]!) {{ {many} }} {FRAGMENT}"


async def turns_during(open_gateway: OpenGateway, query: str) -> tuple[int, GatewayReply]:
    """Count how often others have a turn while a query is answered by the executor."""
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
async def test_others_have_their_turns_while_a_large_answer_is_made(
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


async def test_an_error_has_its_place_in_the_document_and_in_the_answer(
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
async def test_what_an_error_does_holds_for_what_is_executed_later_too(
    open_gateway: OpenGateway, services: FakeServices, behaviour: str
) -> None:
    services.know(*range(1, 101))
    services.billing.behaviour = failing(503)
    body = {"query": lists(20), "variables": {"ids": IDS}, "onError": behaviour}

    async with open_gateway(settings_for_fakes()) as gateway:
        answer = (await gateway.client.post("/graphql", json=body)).json()

    assert len(answer["errors"]) == (1 if behaviour == "HALT" else 4_000)
    assert (answer["data"] is None) == (behaviour == "HALT")
