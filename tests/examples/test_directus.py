"""Directus with the configuration of docs/sources/directus.md, against a fake."""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.examples.conftest import OpenPage
from tests.examples.crowd import (
    ERRORS,
    EVENTS,
    KNOWN,
    MAX_CALLS,
    PEOPLE,
    START,
    Event,
    Person,
    calls,
    query_users,
)
from tests.examples.page import ExamplePage
from tests.examples.serving import serving
from tests.examples.users import Json

PAGE = ExamplePage("directus")
TOKEN = "directus-token"
IDS = [person.id for person in PEOPLE]
FILTER = re.compile(r"filter\[(\w+)\]\[_in\]")


def user_row(person: Person) -> Json:
    """Write a user in the form of the collection."""
    return {
        "id": person.id,
        "status": "archived" if person.is_deleted else "published",
        "name": person.name,
        "email": person.email,
        "date_created": person.created_text,
    }


def event_row(event: Event) -> Json:
    """Write an event in the form of the collection."""
    at = event.at.isoformat().replace("+00:00", ".000Z")
    return {"id": event.id, "user_id": event.user, "kind": event.kind, "occurred_at": at}


def failure(code: str, status: int) -> JSONResponse:
    """Write an error."""
    return JSONResponse({"errors": [{"message": code, "extensions": {"code": code}}]}, status)


@dataclass
class Collections:
    """A fake of Directus.

    Attributes:
        rows: The rows of each collection.
        most: The setting ``QUERY_LIMIT_MAX``.
        queries: The queries of the requests so far.
    """

    rows: Mapping[str, Sequence[Json]]
    most: int = 100
    queries: list[str] = field(default_factory=list[str])

    async def read(self, request: Request) -> JSONResponse:
        """Respond to ``GET /items/{collection}``."""
        self.queries.append(request.url.query)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return failure("INVALID_CREDENTIALS", 401)
        rows = self.rows.get(request.path_params["collection"])
        if rows is None:
            return failure("FORBIDDEN", 403)  # also for an unknown collection
        query, columns = request.query_params, rows[0].keys()
        limit = int(query.get("limit", "100"))
        if limit > self.most:
            return failure("INVALID_QUERY", 400)
        wanted = query.get("fields", ",".join(columns)).split(",")
        filters = {
            found[1]: text for name, text in query.items() if (found := FILTER.fullmatch(name))
        }
        if not columns >= {*wanted, *filters}:
            return failure("FORBIDDEN", 403)
        for name, text in filters.items():
            rows = [row for row in rows if row[name] in text.split(",")]
        for term in reversed(query["sort"].split(",") if "sort" in query else []):
            column = term.removeprefix("-")
            rows = sorted(rows, key=lambda row: row[column], reverse=term.startswith("-"))
        start = int(query.get("offset", "0"))
        page = [{name: row[name] for name in wanted} for row in rows[start : start + limit]]
        counts = {"filter_count": len(rows)} if query.get("meta") == "filter_count" else None
        return JSONResponse({"data": page, **({} if counts is None else {"meta": counts})})


@pytest.fixture
def project() -> Collections:
    """Give a project of 20 users."""
    users, events = [user_row(one) for one in KNOWN], [event_row(one) for one in EVENTS]
    return Collections({"members": users, "events": events})


@pytest.fixture
async def variables(project: Collections) -> AsyncGenerator[Mapping[str, str]]:
    """Run the fake, and give the variables of the gateway."""
    app = Starlette(routes=[Route("/items/{collection}", project.read)])
    async with serving("Directus", app) as address:
        names = ("PROFILE", "ACTIVITY")
        sources = {f"GATEWAY_SOURCES__{name}__BASE_URL": address for name in names}
        yield {**sources, "DIRECTUS_TOKEN": TOKEN}


async def test_all_users_are_read_by_a_call_for_each_hundred_rows(
    project: Collections, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    async with open_page(PAGE, variables) as gateway:
        users, errors = await query_users(gateway, IDS)

    assert users == [person.expected for person in PEOPLE]
    assert errors == ERRORS
    assert calls(gateway) == {"profile": 1, "activity": 2}
    assert len(project.queries) == PAGE.figures.calls


async def test_all_short_pages_are_read(
    project: Collections, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    project.most = 50
    sizes = {f"GATEWAY_SOURCES__{one}__REQUEST__PAGE_SIZE": "50" for one in ("PROFILE", "ACTIVITY")}
    async with open_page(PAGE, {**variables, **sizes}) as gateway:
        users, errors = await query_users(gateway, IDS)

    assert users == [person.expected for person in PEOPLE]
    assert errors == ERRORS
    assert len(project.queries) == PAGE.figures.calls_of_short_pages <= MAX_CALLS


async def test_one_call_is_enough_if_the_server_allows_longer_pages(
    project: Collections, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    project.most = 1_000
    longer = {"GATEWAY_SOURCES__ACTIVITY__REQUEST__PAGE_SIZE": "1000"}
    async with open_page(PAGE, {**variables, **longer}) as gateway:
        users, errors = await query_users(gateway, IDS)

    assert users == [person.expected for person in PEOPLE]
    assert errors == ERRORS
    assert calls(gateway) == {"profile": 1, "activity": 1}


async def test_pages_with_only_logins_are_counted_completely(
    project: Collections, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    logins = [event_row(Event(number, IDS[0], "login", START)) for number in range(250)]
    project.rows = {**project.rows, "events": logins}
    async with open_page(PAGE, variables) as gateway:
        users, errors = await query_users(gateway, IDS[:1], "loginCount")

    assert (users, errors) == ([{"loginCount": 250}], {})
    assert len(project.queries) == 4


async def test_a_page_size_above_the_server_s_limit_fails_only_activity(
    variables: Mapping[str, str], open_page: OpenPage
) -> None:
    longer = {"GATEWAY_SOURCES__ACTIVITY__REQUEST__PAGE_SIZE": "1000"}
    async with open_page(PAGE, {**variables, **longer}) as gateway:
        users, errors = await query_users(gateway, IDS[:1], "displayName loginCount")

    assert users == [{"displayName": PEOPLE[0].name, "loginCount": None}]
    assert errors == {"users.0.loginCount": "SOURCE_REJECTED"}


async def test_an_id_with_a_comma_is_not_read_as_two_users(
    project: Collections, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    pattern = {"GATEWAY_USER_ID_PATTERN": ".+"}
    both = f"{IDS[0]},{IDS[1]}"
    async with open_page(PAGE, {**variables, **pattern}) as gateway:
        users, errors = await query_users(gateway, [both], "displayName")

    assert users == [{"displayName": None}]
    assert errors == {"users.0.displayName": "SOURCE_REJECTED"}
    assert project.queries == []
