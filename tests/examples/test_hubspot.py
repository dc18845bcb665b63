"""HubSpot with the configuration of docs/sources/hubspot.md, against a fake."""

from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.examples.conftest import OpenPage
from tests.examples.page import ExamplePage
from tests.examples.serving import serving
from tests.examples.users import BILLING, Json, users_of

PAGE = ExamplePage("hubspot")
TOKEN = "pat-eu1-hubspot"
MOST = 100
STATUSES = {"active": "ACTIVE", "past_due": "PAST_DUE", None: "UNKNOWN"}
IDS = [str(UUID(int=number)) for number in range(20)]


def contact(number: int) -> Json:
    """Write a contact in the form of the API: properties are text, or null if they are not set."""
    paying = number % 3 != 0
    return {
        "id": str(512 + number),
        "properties": {
            "createdate": "2026-03-01T08:15:30.123Z",
            "hs_object_id": str(512 + number),
            "user_id": IDS[number],
            "plan_name": "pro" if paying else None,
            "plan_status": ("active", "past_due")[number % 2] if paying else None,
            "open_balance": f"{number * 3}.07" if paying else None,
            "balance_currency": "EUR" if paying else None,
            "renewal_date": f"2026-12-{number + 1:02}" if paying else None,
        },
        "createdAt": "2026-03-01T08:15:30.123Z",
        "updatedAt": "2026-09-01T00:00:00.000Z",
        "archived": False,
    }


CONTACTS = {str(one["properties"]["user_id"]): one for one in map(contact, range(20))}


async def batch_read(request: Request) -> JSONResponse:
    """Respond to ``POST /crm/v3/objects/contacts/batch/read``."""
    if request.headers.get("authorization") != f"Bearer {TOKEN}":
        return JSONResponse({"status": "error", "category": "INVALID_AUTHENTICATION"}, 401)
    body_sent: dict[str, Any] = await request.json()
    ids = [one["id"] for one in body_sent["inputs"]]
    if body_sent["idProperty"] != "user_id" or len(ids) > MOST:
        return JSONResponse({"status": "error", "category": "VALIDATION_ERROR"}, 400)
    request.app.state.requested.append(body_sent["properties"])
    always = ("createdate", "hs_object_id")
    found = [CONTACTS[one] for one in ids if one in CONTACTS]
    results = [
        {
            **one,
            "properties": {
                name: one["properties"][name] for name in (*always, *body_sent["properties"])
            },
        }
        for one in found
    ]
    body: dict[str, object] = {"status": "COMPLETE", "results": results}
    missing = [one for one in ids if one not in CONTACTS]
    if not missing:
        return JSONResponse(body)
    error = {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": "objects are missing",
        "context": {"ids": missing},
    }
    return JSONResponse({**body, "numErrors": 1, "errors": [error]}, 207)


@pytest.fixture
def requested() -> list[list[str]]:
    """Give the requested properties of each call to the fake."""
    return []


@pytest.fixture
async def variables(requested: list[list[str]]) -> AsyncGenerator[Mapping[str, str]]:
    """Run the fake, and give the variables of the gateway."""
    route = Route("/crm/v3/objects/contacts/batch/read", batch_read, methods=["POST"])
    app = Starlette(routes=[route])
    app.state.requested = requested
    async with serving("HubSpot", app) as address:
        yield {"GATEWAY_SOURCES__BILLING__BASE_URL": address, "HUBSPOT_TOKEN": TOKEN}


def expected(found: Json) -> Json:
    """Return the expected values of a user."""
    properties: Mapping[str, str | None] = found["properties"]
    renews = properties["renewal_date"]
    return {
        "plan": properties["plan_name"] or "none",
        "billingStatus": STATUSES[properties["plan_status"]],
        "balance": {
            "amount": int(Decimal(properties["open_balance"] or 0) * 100),
            "currency": properties["balance_currency"] or "USD",
        },
        "renewsAt": renews and datetime.fromisoformat(renews).replace(tzinfo=UTC),
    }


async def test_each_user_has_the_values_of_the_api(
    variables: Mapping[str, str], open_page: OpenPage
) -> None:
    async with open_page(PAGE, variables) as gateway:
        users = await users_of(gateway, BILLING, IDS)

    assert users == [expected(one) for one in CONTACTS.values()]
    assert [one["keys"] for one in gateway.events("source.fetch")] == [20]


async def test_only_properties_of_the_query_are_requested(
    variables: Mapping[str, str], open_page: OpenPage, requested: list[list[str]]
) -> None:
    async with open_page(PAGE, variables) as gateway:
        await users_of(gateway, "balance { amount }", IDS[:1])

    assert requested == [["user_id", "open_balance", "balance_currency"]]


async def test_an_unknown_user_is_null(variables: Mapping[str, str], open_page: OpenPage) -> None:
    async with open_page(PAGE, variables) as gateway:
        some = await users_of(gateway, "plan", [str(UUID(int=99)), IDS[1]])
        unknown = await users_of(gateway, "plan", [str(UUID(int=99))])

    assert some == [None, {"plan": "pro"}]
    assert unknown == [None]
