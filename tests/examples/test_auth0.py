"""Auth0 with the configuration of docs/sources/auth0.md, against a fake."""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.examples.conftest import OpenPage
from tests.examples.oauth import TokenServer
from tests.examples.page import ExamplePage
from tests.examples.serving import serving
from tests.examples.users import PROFILE, Json, users_of

PAGE = ExamplePage("auth0")
SECRET = "auth0-client-secret"
API = "https://example.eu.auth0.com/api/v2/"
MAX_PAGE = 100
_PHRASE = r'"(?:[^"\\]|\\.)*"'
QUERY = re.compile(rf"user_id:\(({_PHRASE}(?: OR {_PHRASE})*)\)")


def user(number: int) -> Json:
    """Write a user in the form of the API, which leaves out unknown values."""
    name = f"user{number}"
    found: dict[str, object] = {
        "user_id": ("auth0|5f7c8ec7c33c6c004bbafe{:02}", "google-oauth2|1157{:04}")[
            number % 2
        ].format(number),
        "email": f"{name}@example.com",
        "email_verified": True,
        "identities": [{"connection": "Initial-Connection", "isSocial": False}],
        "name": f"Ünal {number}",
        "nickname": name,
        "picture": f"https://cdn.example.com/{number}.png",
        "created_at": f"2026-03-{number + 1:02}T08:15:30.123Z",
        "updated_at": "2026-09-01T00:00:00.000Z",
    }
    if number % 3:
        found["username"] = f"{name}-login"
        found["user_metadata"] = {"locale": "de-AT"}
        found["last_login"] = f"2026-10-{number + 1:02}T20:00:00.000Z"
        found["logins_count"] = number * 3
    return found


USERS = {str(one["user_id"]): one for one in map(user, range(20))}


async def search(request: Request) -> JSONResponse:
    """Respond to ``GET /api/v2/users``."""
    tokens: TokenServer = request.app.state.tokens
    if not tokens.accepts(request):
        return JSONResponse({"statusCode": 401, "error": "Unauthorized"}, 401)
    parameters = request.query_params
    query = QUERY.fullmatch(parameters["q"])
    size = int(parameters.get("per_page", "50"))
    if query is None or parameters.get("search_engine") != "v3" or size > MAX_PAGE:
        return JSONResponse({"statusCode": 400, "error": "Bad Request"}, 400)
    phrases = re.findall(_PHRASE, query[1])
    ids = [re.sub(r"\\(.)", r"\1", phrase[1:-1]) for phrase in phrases]
    found = [one for name, one in USERS.items() if name in ids]
    fields = parameters["fields"].split(",")
    start = int(parameters.get("page", "0")) * size
    users = [
        {name: one[name] for name in fields if name in one} for one in found[start : start + size]
    ]
    if parameters.get("include_totals") != "true":
        return JSONResponse(users)
    paging = {"start": start, "limit": size, "length": len(users), "total": len(found)}
    return JSONResponse({**paging, "users": users})


@pytest.fixture
async def variables() -> AsyncGenerator[Mapping[str, str]]:
    """Run the fake, and give the variables of the gateway."""
    tokens = TokenServer("/oauth/token", SECRET, {"audience": API})
    app = Starlette(routes=[Route("/api/v2/users", search), tokens.route])
    app.state.tokens = tokens
    async with serving("Auth0", app) as address:
        names = ("PROFILE", "ACTIVITY")
        bases = {f"GATEWAY_SOURCES__{name}__BASE_URL": f"{address}/api/v2" for name in names}
        urls = {
            f"GATEWAY_SOURCES__{name}__AUTH__TOKEN_URL": address + tokens.path for name in names
        }
        yield {**bases, **urls, "AUTH0_SECRET": SECRET}


def expected(found: Json) -> Json:
    """Return the expected values of a user."""
    seen = found.get("last_login")
    return {
        "id": found["user_id"],
        "username": found.get("username", found["nickname"]),
        "displayName": found["name"],
        "email": found["email"],
        "avatarUrl": found["picture"],
        "locale": found.get("user_metadata", {}).get("locale"),
        "createdAt": datetime.fromisoformat(found["created_at"]),
        "lastSeenAt": seen and datetime.fromisoformat(seen),
        "loginCount": found.get("logins_count", 0),
        "events": [],
    }


async def test_each_user_has_the_values_of_the_api(
    variables: Mapping[str, str], open_page: OpenPage
) -> None:
    fields = f"{PROFILE} lastSeenAt loginCount events {{ id }}"
    async with open_page(PAGE, variables) as gateway:
        users = await users_of(gateway, fields, list(USERS))

    assert users == [expected(one) for one in USERS.values()]
    fetches: Sequence[Mapping[str, object]] = gateway.events("source.fetch")
    assert sorted(str(one["source"]) for one in fetches) == ["activity", "profile"]


async def test_an_unknown_user_is_null(variables: Mapping[str, str], open_page: OpenPage) -> None:
    known = next(iter(USERS))
    async with open_page(PAGE, variables) as gateway:
        users = await users_of(gateway, "displayName", ["auth0|nobody", known])

    assert users == [None, {"displayName": "Ünal 0"}]


async def test_a_hostile_id_cannot_change_the_query(
    variables: Mapping[str, str], open_page: OpenPage
) -> None:
    hostile = ['") OR user_id:("auth0|*', 'a" OR "b', "\\", 'a\\" OR user_id:*']
    any_id = {**variables, "GATEWAY_USER_ID_PATTERN": "(?s).+"}
    async with open_page(PAGE, any_id) as gateway:
        users = await users_of(gateway, "displayName", hostile)

    assert users == [None] * len(hostile)
