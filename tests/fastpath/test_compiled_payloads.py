"""Compiled incremental responses have the payloads of graphql-core's incremental executor."""

from collections.abc import Mapping, Sequence

import pytest

from app.settings.fastpath import FastpathSettings
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, failing, invoice, settings_for_fakes, user_id
from tests.incremental.reading import CURRENT, OF_2022, Json, asking

VARIABLES = {"ids": [user_id(number) for number in (3, 1, 9, 1)], "id": user_id(1)}
"""The services do not know the user 9."""

SIMPLE = """query($ids: [ID!]!) { users(ids: $ids) { id username
    ... @defer(label: "b") { plan balance { amount } }
    ... @defer(label: "a") { loginCount } } }"""

SEVERAL_ROOTS = """query($ids: [ID!]!, $id: ID!) {
    all: users(ids: $ids) { name: displayName ... Bill @defer }
    user(id: $id) { ...Person ... @defer(if: true) { email lastSeenAt } __typename } }
    fragment Bill on User { plan billingStatus }
    fragment Person on User { username ... on User { locale ... Bill @defer(label: "one") } }"""

LISTS = """query($ids: [ID!]!) { users(ids: $ids) { username
    ... @defer(label: "b") { plan invoices(first: 1) {
        edges { node { number } } pageInfo { hasNextPage } } }
    ... @defer(label: "a") { username events(first: 1) { type } } } }"""

WRONG = """query($ids: [ID!]!) { users(ids: ["", "a b"]) { id ... @defer { plan } }
    more: users(ids: $ids) { id ... @defer { invoices(first: 1000) { edges { cursor } } } } }"""

DOCUMENTS = {
    "simple": SIMPLE,
    "several roots": SEVERAL_ROOTS,
    "lists": LISTS,
    "wrong arguments": WRONG,
}


async def payloads_of(gateway: GatewayClient, query: str, accept: str) -> Sequence[Json]:
    """Send a query and read all payloads."""
    variables = {name: value for name, value in VARIABLES.items() if f"${name}:" in query}
    async with asking(gateway.app, query, variables, accept=accept) as talk:
        return await talk.all()


def parts_of(payloads: Sequence[Json]) -> Mapping[str, object]:
    """Return the parts of payloads by path and label, because their order depends on the timing."""
    first, *later = payloads
    pending = {one["id"]: (str(one["path"]), one.get("label")) for one in first.get("pending", ())}
    parts: dict[str, object] = {"first": {**first, "pending": sorted(map(str, pending.values()))}}
    for payload in later:
        for one in payload.get("incremental", ()):
            about = str(pending.get(one.get("id"), (one.get("path"), one.get("label"))))
            assert about not in parts
            parts[about] = {name: value for name, value in one.items() if name != "id"}
        for one in payload.get("completed", ()):
            parts[f"{pending[one['id']]} is completed"] = one.get("errors", ())
    return parts


@pytest.mark.parametrize("accept", [CURRENT, OF_2022])
@pytest.mark.parametrize("broken", ["", "billing", "profile"])
@pytest.mark.parametrize("query", DOCUMENTS.values(), ids=DOCUMENTS)
async def test_compiled_payloads_are_equal_to_those_of_the_executor(
    open_gateway: OpenGateway, services: FakeServices, query: str, broken: str, accept: str
) -> None:
    services.know(1, 3)
    services.billing.invoices[user_id(1)] = [invoice(number) for number in (1, 2)]
    if broken:
        services.by_name[broken].behaviour = failing(503)

    found: list[Mapping[str, object]] = []
    compiled: list[object] = []
    for is_compiled in (False, True):
        settings = settings_for_fakes(fastpath=FastpathSettings(compiled=is_compiled))
        async with open_gateway(settings) as gateway:
            found.append(parts_of(await payloads_of(gateway, query, accept)))
            compiled += [one["compiled"] for one in gateway.events("graphql.operation")]

    assert found[1] == found[0]
    assert compiled == [False, True]
