"""PostgREST, as docs/sources/postgrest.md has it, against a fake of it."""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from app.probe.probe import probe
from app.probe.report import checks_text
from app.probe.verdict import Redaction, check_of
from app.settings.response import MoreSettings
from tests.examples.conftest import OpenPage
from tests.examples.crowd import (
    ERRORS,
    EVENTS,
    KNOWN,
    MAX_CALLS,
    PEOPLE,
    Event,
    Person,
    ask,
    calls,
    crowd,
)
from tests.examples.page import ExamplePage, load
from tests.examples.serving import serving
from tests.examples.users import Json

PAGE = ExamplePage("postgrest")
TOKEN = "postgrest-token"
IDS = [person.id for person in PEOPLE]
NO_LIMIT = 1_000_000
RESERVED = {"select", "order", "limit", "offset"}
"""Parameters that are no filters of columns."""

VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,()"]+)')
"""A value in a list: between double quotes, or as it is."""


def user_row(person: Person) -> Json:
    """Write a user as the table has it."""
    return {
        "id": person.id,
        "name": person.name,
        "email": person.email,
        "created_at": person.created_text,
        "deleted_at": "2026-08-01T00:00:00+00:00" if person.is_deleted else None,
    }


def event_row(event: Event) -> Json:
    """Write an event as the table has it."""
    at = event.at.isoformat()
    return {"id": event.id, "user_id": event.user, "kind": event.kind, "occurred_at": at}


@dataclass
class Tables:
    """A PostgREST.

    Attributes:
        tables: The rows of each table.
        max_rows: The setting ``db-max-rows``.
        asked: The queries of the requests so far.
    """

    tables: Mapping[str, Sequence[Json]]
    max_rows: int = NO_LIMIT
    asked: list[str] = field(default_factory=list[str])

    async def read(self, request: Request) -> JSONResponse:
        """Answer ``GET /{table}``."""
        self.asked.append(request.url.query)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"code": "PGRST301", "message": "JWSError"}, 401)
        rows = self.tables.get(request.path_params["table"])
        if rows is None:
            return JSONResponse({"code": "PGRST205", "message": "no such table"}, 404)
        query, columns = request.query_params, rows[0].keys()
        filters = [(name, text) for name, text in query.multi_items() if name not in RESERVED]
        wanted = query.get("select", ",".join(columns)).split(",")
        for name in (*(name for name, _ in filters), *wanted):
            if name not in columns:
                return JSONResponse({"code": "42703", "message": "no such column"}, 400)
        for name, text in filters:
            values = values_of(text)
            if values is None:
                return JSONResponse({"code": "PGRST100", "message": "no such operator"}, 400)
            rows = [row for row in rows if row[name] in values]
        for term in reversed(query["order"].split(",") if "order" in query else []):
            column, _, direction = term.partition(".")
            rows = sorted(rows, key=lambda row: row[column], reverse=direction == "desc")
        start = int(query.get("offset", "0"))
        most = min(int(query.get("limit", str(NO_LIMIT))), self.max_rows)
        page = rows[start : start + most]
        counted = "count=exact" in request.headers.get("prefer", "")
        span = f"{start}-{start + len(page) - 1}" if page else "*"
        headers = {"Content-Range": f"{span}/{len(rows) if counted else '*'}"}
        if counted and start > len(rows):
            return JSONResponse({"code": "PGRST103", "message": "no such range"}, 416, headers)
        status = 206 if counted and len(page) < len(rows) else 200
        return JSONResponse([{name: row[name] for name in wanted} for row in page], status, headers)


def values_of(text: str) -> Sequence[str] | None:
    """Read the values of a filter by ``eq`` or ``in``; ``None`` if it is no such filter."""
    if text.startswith("eq."):
        return [text.removeprefix("eq.")]
    found = re.fullmatch(r"in\.\((.*)\)", text, flags=re.DOTALL)
    if found is None:
        return None
    return [
        bare or re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        for quoted, bare in VALUE.findall(found[1])
    ]


@pytest.fixture
def database() -> Tables:
    """Give a database of 20 users."""
    users, events = [user_row(one) for one in KNOWN], [event_row(one) for one in EVENTS]
    return Tables({"users": users, "events": events})


@pytest.fixture
async def variables(database: Tables) -> AsyncGenerator[Mapping[str, str]]:
    """Run the fake, and give what the gateway's environment has."""
    app = Starlette(routes=[Route("/{table}", database.read)])
    async with serving("PostgREST", app) as address:
        names = ("PROFILE", "ACTIVITY")
        sources = {f"GATEWAY_SOURCES__{name}__BASE_URL": address for name in names}
        yield {**sources, "POSTGREST_TOKEN": TOKEN}


async def test_every_user_comes_out_right_by_one_call_to_each_table(
    database: Tables, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    async with open_page(PAGE, variables) as gateway:
        users, errors = await ask(gateway, IDS)

    assert users == [person.expected for person in PEOPLE]
    assert errors == ERRORS
    assert calls(gateway) == {"profile": 1, "activity": 1}
    assert len(database.asked) == PAGE.figures.calls


async def test_a_server_that_cuts_answers_off_is_read_on(
    database: Tables, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    database.max_rows = 40
    async with open_page(PAGE, variables) as gateway:
        users, errors = await ask(gateway, IDS)

    assert users == [person.expected for person in PEOPLE]
    assert errors == ERRORS
    assert len(database.asked) == PAGE.figures.calls_of_short_pages <= MAX_CALLS


NO_COUNT = {
    f"GATEWAY_SOURCES__{name}__REQUEST__HEADERS": '{"Prefer": "count=none"}'
    for name in ("PROFILE", "ACTIVITY")
}
"""What has the gateway not request the number of rows."""


async def test_a_server_that_cuts_answers_off_and_does_not_say_so_is_read_on_too(
    database: Tables, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    database.max_rows = 40
    async with open_page(PAGE, {**variables, **NO_COUNT}) as gateway:
        users, errors = await ask(gateway, IDS)

    assert users == [person.expected for person in PEOPLE]
    assert errors == ERRORS
    assert 2 < len(database.asked) <= MAX_CALLS


async def test_a_check_has_a_note_on_a_server_that_may_cut_answers_off_unseen(
    variables: Mapping[str, str], tmp_path: Path
) -> None:
    page = load(PAGE, tmp_path, {**variables, **NO_COUNT})
    assert page.sources["activity"].answer is not None
    answer = page.sources["activity"].answer.model_copy(update={"more": MoreSettings()})
    source = page.sources["activity"].model_copy(update={"answer": answer})
    activity = page.model_copy(update={"sources": {**page.sources, "activity": source}})

    notes: list[Sequence[str]] = []
    for settings in (page, activity):
        [probed] = await probe(settings, IDS[:2], sources=["activity"])
        check = check_of(probed, settings.sources["activity"], Redaction(settings), expected=True)
        assert check.well
        notes.append(check.notes)

    assert not notes[0]
    [note] = notes[1]
    assert note.startswith("the service does not say how many rows there are (`Content-Range: 0-")
    assert "count=exact" in note
    assert f"  - activity: note: {note}" in checks_text([check], width=80)


async def test_ids_of_any_text_stay_in_their_place(
    database: Tables, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    people = crowd(["a,b", 'quo"te', "back\\slash", ")", '"),name=in.("', "sp ace", "ü", "a.b:c"])
    database.tables = {
        "users": [user_row(one) for one in people],
        "events": [event_row(event) for one in people for event in one.events],
    }
    pattern = {"GATEWAY_USER_ID_PATTERN": ".+"}
    async with open_page(PAGE, {**variables, **pattern}) as gateway:
        users, errors = await ask(gateway, [one.id for one in people])

    assert users == [person.expected for person in people]
    assert errors == ERRORS


async def test_no_more_columns_of_users_are_asked_for_than_a_query_needs(
    database: Tables, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    async with open_page(PAGE, variables) as gateway:
        users, errors = await ask(gateway, [IDS[1], str(UUID(int=99))], "email")

    assert (users, errors) == ([{"email": "user1@example.com"}, None], {})
    [query] = database.asked
    assert "select=id,deleted_at,email&" in f"{query}&".replace("%2C", ",")
