"""Kinto with the configuration of docs/sources/kinto.md, against Kinto itself."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from tests.examples.conftest import OpenPage
from tests.examples.crowd import (
    ERRORS,
    EVENTS,
    FIELDS,
    KNOWN,
    MAX_CALLS,
    PEOPLE,
    Event,
    Person,
    calls,
    query_users,
)
from tests.examples.page import ExamplePage
from tests.examples.serving import address_of, free_port, installed, program, script
from tests.examples.users import Json

PAGE = ExamplePage("kinto")
PASSWORD = "kinto-password"
IDS = [person.id for person in PEOPLE]
BATCH = 25
"""The number of requests that the server accepts in one batch."""

SETTINGS = """
[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.memory
kinto.cache_backend = kinto.core.cache.memory
kinto.permission_backend = kinto.core.permission.memory
kinto.userid_hmac_secret = of-this-test
multiauth.policies = basicauth
kinto.bucket_create_principals = system.Authenticated
{more}

[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = {port}
"""


def user_row(person: Person) -> Json:
    """Write a user in the form of the collection."""
    mail = {} if person.email is None else {"email": person.email}
    return {"name": person.name, "created": person.created_text, **mail}


def event_row(event: Event) -> Json:
    """Write an event in the form of the collection."""
    return {"user_id": event.user, "kind": event.kind, "occurred_at": event.at.isoformat()}


def fill(client: httpx.Client) -> None:
    """Create the users and the events, and delete one user by the API."""
    bodies: dict[str, Json] = {
        "/buckets/team": {},
        "/buckets/team/collections/users": {},
        "/buckets/team/collections/events": {},
        **{f"{records('users')}/{person.id}": user_row(person) for person in KNOWN},
        **{f"{records('events')}/{event.id}": event_row(event) for event in EVENTS},
    }
    every: Sequence[Json] = [
        {"path": f"/v1{path}", "method": "PUT", "body": {"data": body}}
        for path, body in bodies.items()
    ]
    for start in range(0, len(every), BATCH):
        some = {"requests": every[start : start + BATCH]}
        answer: Json = client.post("/batch", json=some).raise_for_status().json()
        assert {one["status"] for one in answer["responses"]} == {201}
    for person in PEOPLE:
        if person.is_deleted:
            client.delete(f"{records('users')}/{person.id}").raise_for_status()


def records(collection: str) -> str:
    """Return the path of the records of a collection."""
    return f"/buckets/team/collections/{collection}/records"


@contextmanager
def kinto(folder: Path, more: str = "") -> Generator[Mapping[str, str]]:
    """Run a server with 20 users.

    Args:
        folder: The folder for its settings.
        more: Further settings.

    Yields:
        The variables of the gateway.
    """
    installed("kinto")
    port = free_port()
    (folder / "kinto.ini").write_text(SETTINGS.format(port=port, more=more), encoding="ascii")
    with (
        program(
            (script("kinto"), "start", "--ini", "kinto.ini"), ready="Serving on", folder=folder
        ),
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}/v1", auth=("gateway", PASSWORD), trust_env=False
        ) as client,
    ):
        fill(client)
        address = f"{address_of(client)}/buckets/team/collections"
        sources = {
            f"GATEWAY_SOURCES__{name}__BASE_URL": address for name in ("PROFILE", "ACTIVITY")
        }
        yield {**sources, "KINTO_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Generator[Mapping[str, str]]:
    """Run the server, and give the variables of the gateway."""
    with kinto(tmp_path_factory.mktemp("kinto")) as found:
        yield found


@pytest.fixture(scope="module")
def paging(tmp_path_factory: pytest.TempPathFactory) -> Generator[Mapping[str, str]]:
    """Run a server with short pages, and give the variables of the gateway."""
    with kinto(tmp_path_factory.mktemp("paging"), "kinto.paginate_by = 50") as found:
        yield found


async def test_all_users_are_read_by_one_call_to_each_collection(
    variables: Mapping[str, str], open_page: OpenPage
) -> None:
    async with open_page(PAGE, variables) as gateway:
        users, errors = await query_users(gateway, IDS)

    assert users == [person.expected for person in PEOPLE]
    assert errors == ERRORS
    assert calls(gateway) == {"profile": 1, "activity": 1}
    assert sum(calls(gateway).values()) == PAGE.figures.calls


async def test_an_unknown_user_is_null_without_a_call_for_events(
    variables: Mapping[str, str], open_page: OpenPage
) -> None:
    async with open_page(PAGE, variables) as gateway:
        users, errors = await query_users(gateway, [str(UUID(int=99))], FIELDS)

    assert (users, errors) == ([None], {})
    assert calls(gateway) == {"profile": 1}


async def test_events_on_short_pages_are_all_read(
    paging: Mapping[str, str], open_page: OpenPage
) -> None:
    async with open_page(PAGE, paging) as gateway:
        users, errors = await query_users(gateway, IDS)

    assert users == [person.expected for person in PEOPLE]
    assert errors == ERRORS
    assert sum(calls(gateway).values()) == PAGE.figures.calls_of_short_pages <= MAX_CALLS


async def test_events_beyond_the_limit_of_pages_are_a_failure(
    paging: Mapping[str, str], open_page: OpenPage
) -> None:
    more = {"GATEWAY_SOURCES__ACTIVITY__ANSWER__MORE__MAX_PAGES": "1"}
    async with open_page(PAGE, {**paging, **more}) as gateway:
        users, errors = await query_users(gateway, IDS, "displayName loginCount")

    names = [None if person.expected is None else person.name for person in PEOPLE]
    assert [one and one["displayName"] for one in users] == names
    failed = [number for number, name in enumerate(names) if name is not None]
    assert errors == {f"users.{number}.loginCount": "SOURCE_MALFORMED" for number in failed}
