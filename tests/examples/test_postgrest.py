"""PostgREST with the configuration of docs/sources/postgrest.md, against a fake."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from uuid import UUID

import pytest

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
    calls,
    crowd,
    query_users,
)
from tests.examples.page import ExamplePage, load
from tests.examples.serving import serving
from tests.examples.tables import TOKEN, Tables
from tests.examples.users import Json

PAGE = ExamplePage("postgrest")
IDS = [person.id for person in PEOPLE]


def user_row(person: Person) -> Json:
    """Write a user in the form of the table."""
    return {
        "id": person.id,
        "name": person.name,
        "email": person.email,
        "created_at": person.created_text,
        "deleted_at": "2026-08-01T00:00:00+00:00" if person.is_deleted else None,
    }


def event_row(event: Event) -> Json:
    """Write an event in the form of the table."""
    at = event.at.isoformat()
    return {"id": event.id, "user_id": event.user, "kind": event.kind, "occurred_at": at}


@pytest.fixture
def database() -> Tables:
    """Give a database of 20 users."""
    users, events = [user_row(one) for one in KNOWN], [event_row(one) for one in EVENTS]
    return Tables({"users": users, "events": events})


@pytest.fixture
async def variables(database: Tables) -> AsyncGenerator[Mapping[str, str]]:
    """Run the fake, and give the variables of the gateway."""
    async with serving("PostgREST", database.app) as address:
        names = ("PROFILE", "ACTIVITY")
        sources = {f"GATEWAY_SOURCES__{name}__BASE_URL": address for name in names}
        yield {**sources, "POSTGREST_TOKEN": TOKEN}


async def test_all_users_are_read_by_one_call_to_each_table(
    database: Tables, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    async with open_page(PAGE, variables) as gateway:
        users, errors = await query_users(gateway, IDS)

    assert users == [person.expected for person in PEOPLE]
    assert errors == ERRORS
    assert calls(gateway) == {"profile": 1, "activity": 1}
    assert len(database.queries) == PAGE.figures.calls


async def test_rows_beyond_the_server_s_limit_are_read(
    database: Tables, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    database.max_rows = 40
    async with open_page(PAGE, variables) as gateway:
        users, errors = await query_users(gateway, IDS)

    assert users == [person.expected for person in PEOPLE]
    assert errors == ERRORS
    assert len(database.queries) == PAGE.figures.calls_of_short_pages <= MAX_CALLS


NO_COUNT = {
    f"GATEWAY_SOURCES__{name}__REQUEST__HEADERS": '{"Prefer": "count=none"}'
    for name in ("PROFILE", "ACTIVITY")
}
"""Variables with which the gateway does not request the number of rows."""


async def test_rows_beyond_an_unreported_limit_are_read(
    database: Tables, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    database.max_rows = 40
    async with open_page(PAGE, {**variables, **NO_COUNT}) as gateway:
        users, errors = await query_users(gateway, IDS)

    assert users == [person.expected for person in PEOPLE]
    assert errors == ERRORS
    assert 2 < len(database.queries) <= MAX_CALLS


async def test_a_check_notes_that_a_server_may_truncate_rows(
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


async def test_a_hostile_id_cannot_change_the_filter(
    database: Tables, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    people = crowd(["a,b", 'quo"te', "back\\slash", ")", '"),name=in.("', "sp ace", "ü", "a.b:c"])
    database.tables = {
        "users": [user_row(one) for one in people],
        "events": [event_row(event) for one in people for event in one.events],
    }
    pattern = {"GATEWAY_USER_ID_PATTERN": ".+"}
    async with open_page(PAGE, {**variables, **pattern}) as gateway:
        users, errors = await query_users(gateway, [one.id for one in people])

    assert users == [person.expected for person in people]
    assert errors == ERRORS


async def test_only_columns_of_the_query_are_requested(
    database: Tables, variables: Mapping[str, str], open_page: OpenPage
) -> None:
    async with open_page(PAGE, variables) as gateway:
        users, errors = await query_users(gateway, [IDS[1], str(UUID(int=99))], "email")

    assert (users, errors) == ([{"email": "user1@example.com"}, None], {})
    [query] = database.queries
    assert "select=id,deleted_at,email&" in f"{query}&".replace("%2C", ",")
