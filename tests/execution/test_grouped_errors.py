"""Grouped errors: one for each failed source and root field, by the client's choice or settings."""

from collections.abc import Mapping

import httpx
import orjson
import pytest

from app.settings.server import BatchSettings
from tests.callers import by_headers, headers_of
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, failing, settings_for_fakes, user_id
from tests.ways import BOTH

pytestmark = pytest.mark.parametrize("ways", BOTH, ids=str)

GROUPED = {"errors": "grouped"}
FIFTY = [user_id(number) for number in range(1, 51)]
PAGE = "query($ids: [ID!]!) { users(ids: $ids) { username plan balance { amount } } }"
REFUSED = "query($ids: [ID!]!) { users(ids: $ids) { username plan } }"


async def ask(
    gateway: GatewayClient,
    query: str,
    variables: Mapping[str, object] | None = None,
    extensions: object = GROUPED,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Send a query with extensions."""
    body = {"query": query, "variables": variables, "extensions": extensions}
    return await gateway.client.post("/graphql", json=body, headers=headers)


async def test_a_failed_source_is_one_error_for_each_root_field_with_path_patterns(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(*range(1, 51))
    services.billing.behaviour = failing(503)
    query = PAGE.replace("users(", "page: users(").replace("($", "($id: ID!, $")
    query = query.removesuffix("}") + " user(id: $id) { plan username } }"

    async with open_gateway(settings_for_fakes()) as gateway:
        answer = (await ask(gateway, query, {"ids": FIFTY, "id": FIFTY[0]})).json()
        [logged] = gateway.events("graphql.operation")

    assert answer["errors"] == [
        {
            "message": "The billing source is unavailable.",
            "locations": [{"line": 1, "column": 67}, {"line": 1, "column": 72}],
            "path": ["page"],
            "extensions": {
                "code": "SOURCE_UNAVAILABLE",
                "source": "billing",
                "paths": [
                    {"path": ["page", "*", "plan"], "count": 50},
                    {"path": ["page", "*", "balance"], "count": 50},
                ],
            },
        },
        {
            "message": "The billing source is unavailable.",
            "locations": [{"line": 1, "column": 110}],
            "path": ["user"],
            "extensions": {
                "code": "SOURCE_UNAVAILABLE",
                "source": "billing",
                "paths": [{"path": ["user", "plan"], "count": 1}],
            },
        },
    ]
    assert answer["data"]["user"] == {"plan": None, "username": "user1"}
    assert logged["errors"] == {"SOURCE_UNAVAILABLE": 101}


async def test_forbidden_fields_are_one_error_that_names_the_policy_of_each(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(*range(1, 51))
    caller = headers_of(user_id(1), "profile:read")
    query = PAGE.replace("username", "username loginCount")

    async with open_gateway(settings_for_fakes(), by_headers) as gateway:
        answer = (await ask(gateway, query, {"ids": FIFTY}, headers=caller)).json()

    [error] = answer["errors"]
    assert error["message"] == (
        "loginCount is for callers with the scope activity:read;"
        " plan is for the user itself and callers with the scope billing:read;"
        " balance is for the user itself and callers with the scope billing:read"
    )
    assert error["path"] == ["users"]
    assert error["extensions"] == {
        "code": "FORBIDDEN",
        "paths": [
            {"path": ["users", "*", "loginCount"], "count": 50},
            {"path": ["users", "*", "plan"], "count": 49},
            {"path": ["users", "*", "balance"], "count": 49},
        ],
    }


async def test_a_grouped_error_for_fifty_users_is_forty_times_smaller(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(*range(1, 51))
    caller = headers_of(None, "profile:read")

    async with open_gateway(settings_for_fakes(), by_headers) as gateway:
        each, one = [
            (await ask(gateway, REFUSED, {"ids": FIFTY}, extensions, caller)).json()
            for extensions in (None, GROUPED)
        ]

    assert each["data"] == one["data"]
    assert [len(answer["errors"]) for answer in (each, one)] == [50, 1]
    before, after = [len(orjson.dumps(answer["errors"])) for answer in (each, one)]
    assert before > 40 * after


async def test_errors_with_different_codes_are_not_grouped(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2, 3)
    services.profile.rows[user_id(2)] = {**services.profile.rows[user_id(2)], "username": 7}
    services.billing.behaviour = failing(503)

    async with open_gateway(settings_for_fakes()) as gateway:
        answer = (await ask(gateway, PAGE, {"ids": FIFTY[:3]})).json()

    assert [(one["extensions"]["code"], one["path"]) for one in answer["errors"]] == [
        ("SOURCE_UNAVAILABLE", ["users"]),
        ("SOURCE_MALFORMED", ["users"]),
    ]


@pytest.mark.parametrize(
    ("setting", "asked", "number"),
    [("each", None, 2), ("grouped", None, 1), ("grouped", "each", 2), ("each", "grouped", 1)],
)
async def test_the_client_s_choice_wins_over_the_setting(
    open_gateway: OpenGateway,
    services: FakeServices,
    setting: str,
    asked: str | None,
    number: int,
) -> None:
    services.know(1, 2)
    services.billing.behaviour = failing(503)
    extensions = None if asked is None else {"errors": asked}

    async with open_gateway(settings_for_fakes(errors=setting)) as gateway:
        answer = (await ask(gateway, REFUSED, {"ids": FIFTY[:2]}, extensions)).json()

    assert len(answer["errors"]) == number


@pytest.mark.parametrize("wrong", ["one", "", 1, [], {"form": "grouped"}])
async def test_an_unknown_value_is_refused_with_the_expected_values(
    open_gateway: OpenGateway, wrong: object
) -> None:
    async with open_gateway(settings_for_fakes()) as gateway:
        response = await ask(gateway, "{ __typename }", extensions={"errors": wrong})

    assert response.status_code == 422
    [error] = response.json()["errors"]
    assert error["extensions"] == {"code": "BAD_REQUEST"}
    assert '"grouped"' in error["message"]
    assert '"each"' in error["message"]


async def test_errors_are_grouped_for_a_url_and_for_each_operation_of_a_batch(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2)
    services.billing.behaviour = failing(503)
    query = REFUSED.replace("($ids: [ID!]!)", "").replace("$ids", orjson.dumps(FIFTY[:2]).decode())
    settings = settings_for_fakes(csrf_prevention=False, batch=BatchSettings(enabled=True))

    async with open_gateway(settings) as gateway:
        parameters = {"query": query, "extensions": orjson.dumps(GROUPED).decode()}
        by_url = await gateway.client.get("/graphql", params=parameters)
        batch = [{"query": query, "extensions": GROUPED}, {"query": query}, {}]
        by_batch = await gateway.client.post("/graphql", json=batch)

    assert len(by_url.json()["errors"]) == 1
    assert [len(answer["errors"]) for answer in by_batch.json()] == [1, 2, 1]


async def test_errors_of_an_invalid_request_are_not_grouped(
    open_gateway: OpenGateway,
) -> None:
    async with open_gateway(settings_for_fakes()) as gateway:
        answer = (await ask(gateway, "{ here there }")).json()

    assert len(answer["errors"]) == 2
    assert all("paths" not in error["extensions"] for error in answer["errors"])


@pytest.mark.parametrize(
    "accept",
    [
        "multipart/mixed;incrementalSpec=v0.2,application/json;q=0.9",
        "multipart/mixed;deferSpec=20220824,application/json",
        "text/event-stream",
    ],
)
async def test_errors_of_a_whole_response_are_grouped_for_each_accept_header(
    open_gateway: OpenGateway, services: FakeServices, accept: str
) -> None:
    services.know(*range(1, 51))
    services.billing.behaviour = failing(503)

    async with open_gateway(settings_for_fakes()) as gateway:
        answer = await ask(gateway, PAGE, {"ids": FIFTY}, headers={"Accept": accept})

    assert answer.text.count("SOURCE_UNAVAILABLE") == 1
    assert '"paths"' in answer.text
