"""Microsoft Graph with the configuration of docs/sources/microsoft-graph.md, against a fake."""

import re
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from uuid import UUID

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

PAGE = ExamplePage("microsoft-graph")
SECRET = "graph-client-secret"
LOGIN = "/example.onmicrosoft.com/oauth2/v2.0/token"
MOST = 15
_LITERAL = "'(?:[^']|'')*'"
FILTER = re.compile(rf"id in \(({_LITERAL}(?:,{_LITERAL})*)\)")
IDS = [str(UUID(int=number)) for number in range(20)]


def user(number: int) -> Json:
    """Write a user in the form of the API."""
    return {
        "id": IDS[number],
        "userPrincipalName": f"user{number}@example.onmicrosoft.com",
        "displayName": f"Ünal {number}",
        "mail": f"user{number}@example.com" if number % 3 else None,
        "preferredLanguage": "de-AT" if number % 2 else None,
        "createdDateTime": f"2026-03-{number + 1:02}T08:15:30Z",
        "jobTitle": "Auditor",
    }


USERS = {str(one["id"]): one for one in map(user, range(20))}


async def list_users(request: Request) -> JSONResponse:
    """Respond to ``GET /v1.0/users``, in pages."""
    tokens: TokenServer = request.app.state.tokens
    if not tokens.accepts(request):
        return JSONResponse({"error": {"code": "InvalidAuthenticationToken"}}, 401)
    parameters = request.query_params
    expression = FILTER.fullmatch(parameters["$filter"])
    literals = re.findall(_LITERAL, expression[1]) if expression else []
    if not 0 < len(literals) <= MOST:
        return JSONResponse({"error": {"code": "Request_UnsupportedQuery"}}, 400)
    ids = [literal[1:-1].replace("''", "'") for literal in literals]
    request.app.state.selected.append(parameters["$select"])
    fields = parameters["$select"].split(",")
    found = [{name: one[name] for name in fields} for key, one in USERS.items() if key in ids]
    start = int(parameters.get("$skiptoken", "0"))
    end = start + int(parameters.get("$top", "100"))
    body: dict[str, object] = {
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users",
        "value": found[start:end],
    }
    if end < len(found):
        body["@odata.nextLink"] = str(request.url.include_query_params(**{"$skiptoken": end}))
    return JSONResponse(body)


@pytest.fixture
def selected() -> list[str]:
    """Give the selected fields of each call to the fake."""
    return []


@pytest.fixture
async def variables(selected: list[str]) -> AsyncGenerator[Mapping[str, str]]:
    """Run the fake, and give the variables of the gateway."""
    tokens = TokenServer(LOGIN, SECRET, {"scope": "https://graph.microsoft.com/.default"})
    app = Starlette(routes=[Route("/v1.0/users", list_users), tokens.route])
    app.state.tokens = tokens
    app.state.selected = selected
    async with serving("Graph", app) as address:
        yield {
            "GATEWAY_SOURCES__PROFILE__BASE_URL": f"{address}/v1.0",
            "GATEWAY_SOURCES__PROFILE__AUTH__TOKEN_URL": address + tokens.path,
            "GRAPH_SECRET": SECRET,
        }


def expected(found: Json) -> Json:
    """Return the expected values of a user."""
    return {
        "id": found["id"],
        "username": found["userPrincipalName"],
        "displayName": found["displayName"],
        "email": found["mail"] or found["userPrincipalName"],
        "avatarUrl": None,
        "locale": found["preferredLanguage"],
        "createdAt": datetime.fromisoformat(found["createdDateTime"]),
    }


async def test_each_user_has_the_values_of_the_api(
    variables: Mapping[str, str], open_page: OpenPage
) -> None:
    async with open_page(PAGE, variables) as gateway:
        users = await users_of(gateway, PROFILE, IDS)

    assert users == [expected(one) for one in USERS.values()]
    assert sorted(one["keys"] for one in gateway.events("source.fetch")) == [5, 15]


async def test_only_fields_of_the_query_are_selected(
    variables: Mapping[str, str], open_page: OpenPage, selected: list[str]
) -> None:
    async with open_page(PAGE, variables) as gateway:
        await users_of(gateway, "displayName", IDS[:1])
        await users_of(gateway, "email locale", IDS[:1])

    assert selected == ["id,displayName", "id,mail,userPrincipalName,preferredLanguage"]


async def test_an_unknown_user_is_null(variables: Mapping[str, str], open_page: OpenPage) -> None:
    async with open_page(PAGE, variables) as gateway:
        users = await users_of(gateway, "displayName", [str(UUID(int=99)), IDS[1]])

    assert users == [None, {"displayName": "Ünal 1"}]


async def test_a_hostile_id_cannot_change_the_filter(
    variables: Mapping[str, str], open_page: OpenPage
) -> None:
    hostile = [f"x','{IDS[0]}", f"') or id in ('{IDS[0]}", "'", "''"]
    any_id = {**variables, "GATEWAY_USER_ID_PATTERN": "(?s).+"}
    async with open_page(PAGE, any_id) as gateway:
        users = await users_of(gateway, "displayName", hostile)

    assert users == [None] * len(hostile)
