"""json-server with the configuration of docs/sources/json-server.md, against the program."""

from collections.abc import Generator, Mapping
from uuid import UUID

import pytest

from tests.examples.conftest import OpenPage
from tests.examples.crowd import (
    DELETED,
    ERRORS,
    EVENTS,
    KNOWN,
    MAX_CALLS,
    NEWEST,
    PEOPLE,
    Event,
    Person,
    calls,
    query_users,
)
from tests.examples.page import ExamplePage
from tests.examples.serving import address_of
from tests.examples.tracker import json_server
from tests.examples.users import Json

PAGE = ExamplePage("json-server")
IDS = [person.id for person in PEOPLE]


def user_row(person: Person) -> Json:
    """Write a user in the form of the file."""
    row: dict[str, object] = {
        "id": person.id,
        "name": person.name,
        "created": person.created_text,
        **({} if person.email is None else {"email": person.email}),
        **({"deleted": True} if person.is_deleted else {}),
    }
    return row


def event_row(event: Event) -> Json:
    """Write an event in the form of the file."""
    return {"id": event.id, "userId": event.user, "kind": event.kind, "at": event.at.isoformat()}


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Generator[Mapping[str, str]]:
    """Run a server with 20 users, and give the variables of the gateway."""
    users, events = [user_row(one) for one in KNOWN], [event_row(one) for one in EVENTS]
    folder = tmp_path_factory.mktemp("json-server")
    with json_server(folder, users=users, events=events) as client:
        address = address_of(client)
        yield {f"GATEWAY_SOURCES__{name}__BASE_URL": address for name in ("PROFILE", "ACTIVITY")}


async def test_all_users_are_read_by_one_call_to_each_list(
    variables: Mapping[str, str], open_page: OpenPage
) -> None:
    async with open_page(PAGE, variables) as gateway:
        users, errors = await query_users(gateway, IDS)

    assert users == [person.expected for person in PEOPLE]
    assert errors == ERRORS
    assert calls(gateway) == {"profile": 1, "activity": 1}
    assert sum(calls(gateway).values()) == PAGE.figures.calls


async def test_events_on_several_pages_are_counted_completely(
    variables: Mapping[str, str], open_page: OpenPage
) -> None:
    pages = {"GATEWAY_SOURCES__ACTIVITY__REQUEST__PAGE_SIZE": "50"}
    async with open_page(PAGE, {**variables, **pages}) as gateway:
        users, errors = await query_users(gateway, IDS)

    assert users == [person.expected for person in PEOPLE]
    assert errors == ERRORS
    assert sum(calls(gateway).values()) == PAGE.figures.calls_of_short_pages <= MAX_CALLS


async def test_a_user_without_events_has_none_and_an_unknown_user_is_null(
    variables: Mapping[str, str], open_page: OpenPage
) -> None:
    unknown = str(UUID(int=99))
    fields = "lastSeenAt loginCount events { id }"
    async with open_page(PAGE, variables) as gateway:
        users, errors = await query_users(gateway, [IDS[0], IDS[4], IDS[DELETED], unknown], fields)

    none: Json = {"lastSeenAt": None, "loginCount": 0, "events": []}
    assert (users[0], users[2:], errors) == (none, [None, None], {})
    assert users[1] is not None
    assert (users[1]["loginCount"], len(users[1]["events"])) == (10, NEWEST)


async def test_a_misspelt_parameter_is_a_failure(
    variables: Mapping[str, str], open_page: OpenPage
) -> None:
    misspelt = {"GATEWAY_SOURCES__ACTIVITY__REQUEST__PARAMETER": "user"}
    async with open_page(PAGE, {**variables, **misspelt}) as gateway:
        _, errors = await query_users(gateway, [IDS[0]], "displayName loginCount")

    assert errors == {"users.0.loginCount": "SOURCE_MALFORMED"}
