"""The import of responses with several rows of each user."""

import asyncio
import json
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli import main
from app.settings.nested import Table
from tests.fakes.http_server import saying, serving
from tests.importing.documents import (
    COUNT,
    NAMES,
    TEXT,
    TIME,
    Imported,
    Json,
    array,
    document,
    imported,
    object_of,
    operation,
    query,
)
from tests.settings.toml import toml

EVENT: Json = {"id": TEXT, "userId": TEXT, "kind": TEXT, "created_at": TIME}
EVENTS = array(object_of(EVENT))
USER_IDS = query("userIds", array(TEXT))

ALL = "[].{id: id, type: kind, occurredAt: iso_time(created_at)}"
NEWEST_FIRST = {"order": "iso_time(created_at)", "descending": True}


def events_of(
    tmp_path: Path, answer: Json, *parameters: Json, path: str = "/events", source: str = "activity"
) -> Imported:
    """Import an operation that reads events."""
    contents = document({path: {"get": operation(answer, parameters)}})
    return imported(tmp_path, contents, source=source, path=path)


def test_events_of_several_users_are_grouped_by_user_newest_first(tmp_path: Path) -> None:
    made = events_of(
        tmp_path, object_of({"data": EVENTS, "has_more": {"type": "boolean"}}), USER_IDS
    )

    assert made.request["form"] == "repeat"
    assert made.answer == {
        "rows": ["data"],
        "key": ["userId"],
        "group": NEWEST_FIRST,
        "without_row": "defaults",
        "more": {"has_more": ["has_more"]},
    }
    assert made.fields == {"events": ALL, "last_seen_at": "iso_time([0].created_at)"}
    assert made.comment_on("last_seen_at").startswith(
        "Check: taken for the time of the newest row."
    )
    assert '# login_count = "length([?…])"  # no property fits; expected a whole' in made.text
    settings = made.settings(tmp_path).answer
    assert settings is not None
    assert settings.group is not None
    assert settings.group.order == "iso_time(created_at)"


def test_assumptions_about_a_group_are_reported(tmp_path: Path) -> None:
    made = events_of(tmp_path, EVENTS, USER_IDS)

    warnings = [line.removeprefix("  - ") for line in made.warnings.splitlines()]
    assert warnings[1].startswith("sources.activity.answer.group: all pages are read, to sort")
    assert warnings[2].startswith("sources.activity.answer.without_row: a user without rows")
    fields = warnings[3:]  # fields without a property
    assert all("no property fits" in one for one in fields)
    assert any(one.startswith("sources.activity.fields.login_count: ") for one in fields)


@pytest.mark.parametrize(
    ("path", "parameter", "key"),
    [
        ("/users/{id}/events", None, ["userId"]),
        ("/people/{id}/activity", None, ["userId"]),
        ("/customers/{customerId}/audit-logs", None, ["userId"]),
        ("/user-events", query("user_id"), ["userId"]),
        ("/actions", query("user"), ["userId"]),
    ],
)
def test_events_of_one_user_are_rows_of_that_user(
    tmp_path: Path, path: str, parameter: Json | None, key: list[str]
) -> None:
    made = events_of(tmp_path, EVENTS, *([] if parameter is None else [parameter]), path=path)

    assert made.request["form"] == "each"
    assert made.answer["group"] == NEWEST_FIRST
    assert made.answer["key"] == key
    assert made.fields["events"] == ALL


def test_rows_of_one_user_need_no_key(tmp_path: Path) -> None:
    events = array(object_of({"id": COUNT, "action": TEXT, "at": COUNT, "email": TEXT}))

    made = events_of(tmp_path, events, path="/users/{id}/events")

    assert "key" not in made.answer
    assert made.answer["group"] == {"order": "at", "descending": True}
    assert made.fields == {
        "events": "[].{id: id && to_string(id), type: action, occurredAt: unix_seconds(at)}",
        "last_seen_at": "unix_seconds([0].at)",
    }
    assert "answer.key: no property of a row is called like a key: an answer" in made.warnings
    assert made.text.endswith("# The other properties of a row:\n#   email  string\n")


def test_the_user_of_an_event_may_be_an_object_in_it(tmp_path: Path) -> None:
    events = array(object_of({**EVENT, "userId": COUNT, "actor": object_of({"id": TEXT})}))
    without = array(
        object_of({**EVENT, "userId": {"type": "boolean"}, "actor": object_of({"id": TEXT})})
    )

    assert events_of(tmp_path, events, USER_IDS).answer["key"] == ["userId"]
    assert events_of(tmp_path, without, USER_IDS).answer["key"] == ["actor", "id"]


def test_rows_are_events_by_the_name_of_the_list_alone(tmp_path: Path) -> None:
    made = events_of(tmp_path, object_of({"activities": EVENTS}), USER_IDS, path="/feed")

    assert made.answer["rows"] == ["activities"]
    assert made.answer["group"] == NEWEST_FIRST


@pytest.mark.parametrize(
    ("answer", "parameter", "path"),
    [
        (EVENTS, query("ids", array(TEXT)), "/events"),
        (EVENTS, query("eventIds", array(TEXT)), "/events"),
        (EVENTS, USER_IDS, "/orders"),
        (array(object_of({**EVENT, "userId": {"type": "boolean"}})), USER_IDS, "/events"),
        (
            array(object_of({**EVENT, "kind": COUNT, "created_at": TEXT, "id": object_of({})})),
            USER_IDS,
            "/events",
        ),
        ({"type": "object", "additionalProperties": object_of(EVENT)}, USER_IDS, "/events"),
    ],
)
def test_rows_that_may_not_be_events_of_users_are_not_grouped(
    tmp_path: Path, answer: Json, parameter: Json, path: str
) -> None:
    made = events_of(tmp_path, answer, parameter, path=path)

    assert "group" not in made.answer
    assert "without_row" not in made.answer


@pytest.mark.parametrize(
    "row",
    [
        object_of({"id": TEXT, "events": EVENTS}),
        object_of({"user": object_of({"id": TEXT}), "events": EVENTS}),
        object_of({"events": EVENTS, "loginCount": COUNT}),
    ],
)
def test_events_in_the_row_of_a_user_are_read_from_that_row(tmp_path: Path, row: Json) -> None:
    made = events_of(tmp_path, row, path="/users/{id}/activity")

    assert "group" not in made.answer
    assert made.answer["many"] is False
    assert made.fields["events"] == f"events{ALL}"


def test_a_record_without_a_list_field_has_one_row_for_each_user(tmp_path: Path) -> None:
    made = events_of(
        tmp_path, array(object_of({**EVENT, "login": TEXT})), USER_IDS, source="profile"
    )

    assert "group" not in made.answer
    assert made.fields["username"] == "login"


async def test_an_imported_group_works_without_changes(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "userId": "a", "kind": "login", "created_at": "2026-06-01T09:30:00Z"},
        {"id": "2", "userId": "a", "kind": "post", "created_at": "2026-06-03T11:30:00+02:00"},
    ]
    async with serving(saying(json.dumps(rows).encode())) as service:
        contents = document(
            {"/events": {"get": operation(EVENTS, [USER_IDS])}}, servers=[service.base_url]
        )
        made = imported(tmp_path, contents, source="activity", path="/events")
        others: Table = {name: {"base_url": service.base_url} for name in NAMES}
        sources = {**others, **tomllib.loads(made.text)["sources"]}
        file = tmp_path / "gateway.toml"
        text = toml({"user_id_pattern": "[a-z]+", "sources": sources})
        await asyncio.to_thread(file.write_text, text)

        result = await asyncio.to_thread(
            CliRunner(env={"COLUMNS": "300"}).invoke,
            main,
            ["sources", "try", "activity", "a", "c", "--config", str(file)],
        )

    assert '"2026-06-03T09:30:00Z"' in result.stdout
    assert '[{"id": "2", "type": "post", ' in result.stdout
    assert re.search(r"\[\] +list of 0\n", result.stdout)
