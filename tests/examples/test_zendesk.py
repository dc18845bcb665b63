"""Zendesk with the configuration of docs/sources/zendesk.md, against a fake."""

from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from uuid import UUID

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.examples.conftest import OpenPage
from tests.examples.page import ExamplePage
from tests.examples.serving import serving
from tests.examples.users import PROFILE, Json, users_of

PAGE = ExamplePage("zendesk")
TOKEN = "zendesk-token"
BASIC = b64encode(f"gateway@example.com/token:{TOKEN}".encode()).decode()
MOST = 100


def user_id(number: int) -> str:
    """Make the id of a user in our own system, with letters in it."""
    return f"aabbccdd-0000-4000-8000-{number:012d}"


def user(number: int) -> Json:
    """Write a user in the form of the API."""
    external = user_id(number)
    return {
        "id": 35_436 + number,
        "external_id": external.upper() if number % 2 else external,
        "name": f"Ünal {number}",
        "alias": f"Boss {number}" if number % 3 else "",
        "email": f"user{number}@example.com",
        "photo": {"content_url": f"https://cdn.example.com/{number}.png"} if number % 3 else None,
        "locale": "de-AT",
        "locale_id": 1,
        "created_at": f"2026-03-{number % 28 + 1:02}T08:15:30Z",
        "active": True,
        "role": "end-user",
    }


USERS = [user(number) for number in range(150)]


async def show_many(request: Request) -> JSONResponse:
    """Respond to ``GET /api/v2/users/show_many.json``."""
    if request.headers.get("authorization") != f"Basic {BASIC}":
        return JSONResponse({"error": "Couldn't authenticate you"}, 401)
    ids = request.query_params["external_ids"].split(",")
    if len(ids) > MOST:
        return JSONResponse({"error": "TooManyValues"}, 400)
    wanted = {one.lower() for one in ids}
    users = [one for one in USERS if one["external_id"].lower() in wanted]
    body = {"users": users, "count": len(users), "next_page": None, "previous_page": None}
    return JSONResponse(body)


@pytest.fixture
async def variables() -> AsyncGenerator[Mapping[str, str]]:
    """Run the fake, and give the variables of the gateway."""
    app = Starlette(routes=[Route("/api/v2/users/show_many.json", show_many)])
    async with serving("Zendesk", app) as address:
        base = f"{address}/api/v2"
        yield {"GATEWAY_SOURCES__PROFILE__BASE_URL": base, "ZENDESK_TOKEN": TOKEN}


def expected(found: Json) -> Json:
    """Return the expected values of a user."""
    return {
        "id": found["external_id"].lower(),
        "username": found["email"],
        "displayName": found["alias"] or found["name"],
        "email": found["email"],
        "avatarUrl": found["photo"] and found["photo"]["content_url"],
        "locale": found["locale"],
        "createdAt": datetime.fromisoformat(found["created_at"]),
    }


async def test_each_user_has_the_values_of_the_api(
    variables: Mapping[str, str], open_page: OpenPage
) -> None:
    more = {**variables, "GATEWAY_MAX_IDS": "150"}
    async with open_page(PAGE, more) as gateway:
        users = await users_of(gateway, PROFILE, [user_id(number) for number in range(150)])

    assert users == [expected(one) for one in USERS]
    assert sorted(one["keys"] for one in gateway.events("source.fetch")) == [50, 100]


async def test_an_unknown_user_is_null(variables: Mapping[str, str], open_page: OpenPage) -> None:
    async with open_page(PAGE, variables) as gateway:
        users = await users_of(gateway, "displayName", [str(UUID(int=9)), user_id(1)])

    assert users == [None, {"displayName": "Boss 1"}]
