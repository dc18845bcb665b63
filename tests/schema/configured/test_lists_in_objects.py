"""A list in an object may have the argument ``first``, and an assumed size for its cost."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

from app.execution.schema import schema_for
from app.settings.field_schema import settings_in
from app.settings.limits import LimitsSettings
from app.settings.models import Settings
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, calm_source, json_response, settings_for_fakes, user_id
from tests.ways import BOTH, Ways

NUMBER = {"type": "Int!", "description": "A number."}
TEAM = {
    "type": "Team",
    "source": "hr",
    "description": "The team.",
    "may": "public",
}
TYPES = {
    "Team": {
        "description": "A team.",
        "fields": {
            "desks": {"type": "[Desk!]", "description": "Desks.", "assumed_size": 7},
            "tags": {"type": "[String!]!", "description": "Tags.", "assumed_size": 3},
            "rooms": {"type": "[Desk!]", "description": "Rooms."},
        },
    },
    "Desk": {
        "description": "A desk.",
        "fields": {
            "number": NUMBER,
            "drawers": {"type": "[Desk2]", "description": "Drawers.", "assumed_size": 2},
        },
    },
    "Desk2": {"description": "A drawer.", "fields": {"number": NUMBER}},
}
DRAWERS: Sequence[Any] = [{"number": 1}, None, {"number": 3}]
ROW = {
    "id": user_id(1),
    "team": {
        "desks": [{"number": one, "drawers": DRAWERS} for one in (1, 2, 3)],
        "tags": ["a", "b"],
        "rooms": [{"number": 9}],
    },
}


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in both ways."""
    ways: Ways = request.param
    return ways


def settings() -> Settings:
    """Make settings with a schema whose objects have lists."""
    request = {"form": "repeat", "path": "/rows", "parameter": "id"}
    base = settings_for_fakes(
        limits=LimitsSettings(report="asked"),
        sources={"hr": calm_source(base_url="http://hr", request=request)},
    )
    tables = {"schema": {"extends": "none"}, "user": {"team": TEAM}, "types": TYPES}
    return Settings.model_validate({**settings_in(base), **tables})


@pytest.fixture
async def gateway(
    open_gateway: OpenGateway, services: FakeServices
) -> AsyncGenerator[GatewayClient]:
    """Open a gateway over one source."""
    services.others["hr"] = lambda _: json_response([ROW])
    async with open_gateway(settings()) as opened:
        yield opened


async def team(gateway: GatewayClient, selection: str, **variables: object) -> Any:  # noqa: ANN401 # tests index into it
    """Query a team; return it, or the errors."""
    head = "query($n: Int)" if variables else "query"
    query = f'{head} {{ user(id: "{user_id(1)}") {{ team {{ {selection} }} }} }}'
    reply = await gateway.query(query, **variables)
    return reply.errors or reply.data["user"]["team"]


async def test_first_limits_the_number_of_items(gateway: GatewayClient, ways: Ways) -> None:
    selection = "two: desks(first: $n) { number drawers(first: 2) { number } } tags(first: 0)"

    found = await team(gateway, selection, n=2)

    drawers = [{"number": 1}, None]
    assert found == {
        "two": [{"number": 1, "drawers": drawers}, {"number": 2, "drawers": drawers}],
        "tags": [],
    }
    [event] = gateway.events("graphql.operation")
    assert event["compiled"] is ways.short


@pytest.mark.parametrize("arguments", ["", "(first: null)", "(first: 9)", "(first: $n)"])
async def test_a_list_without_first_has_all_items(gateway: GatewayClient, arguments: str) -> None:
    given = {"n": None} if "$" in arguments else {}

    found = await team(gateway, f"desks{arguments} {{ number }} tags", **given)

    assert found == {"desks": [{"number": 1}, {"number": 2}, {"number": 3}], "tags": ["a", "b"]}


async def test_a_negative_first_is_an_error_at_each_list(gateway: GatewayClient) -> None:
    errors = await team(gateway, "desks { drawers(first: -1) { number } }")

    assert [one["path"] for one in errors] == [
        ["user", "team", "desks", index, "drawers"] for index in range(3)
    ]
    assert {one["extensions"]["code"] for one in errors} == {"BAD_USER_INPUT"}
    assert {one["message"] for one in errors} == {"first takes 0 or more, got -1"}


@pytest.mark.parametrize(
    ("selection", "cost"),
    [
        ("desks { number }", 1 + 1 + 7),
        ("desks(first: 2) { number }", 1 + 1 + 2),
        ("desks(first: $n) { number }", 1 + 1 + 5),
        ("desks(first: $n) { drawers { number } }", 1 + 1 + 5 * (1 + 2)),
        ("desks { drawers(first: $n) { number } }", 1 + 1 + 7 * (1 + 5)),
        ("rooms { number }", 1 + 1 + 20),
        ("tags", 1 + 1),
    ],
)
async def test_the_cost_counts_first_or_the_assumed_size(
    gateway: GatewayClient, selection: str, cost: int
) -> None:
    head = "query($n: Int)" if "$" in selection else "query"
    query = f'{head} {{ user(id: "{user_id(1)}") {{ team {{ {selection} }} }} }}'

    reply = await gateway.query_as({"X-Gateway-Cost": "1"}, query, n=5)

    assert reply.body["extensions"]["cost"]["operation"] == cost


def test_the_schema_has_the_assumed_size_and_the_argument() -> None:
    text = " ".join(schema_for(settings())[0].as_str().split())

    sized = '@listSize(assumedSize: 7, slicingArguments: ["first"]'
    assert f"first: Int ): [Desk!] {sized}" in text
    assert "rooms: [Desk!] @listSize(assumedSize: 20)" in text
