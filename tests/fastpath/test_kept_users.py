"""The JSON of users is kept while the cache has the same records; responses do not change."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from app.auth.callers import Authenticate, everybody
from app.fastpath.kept_users import KeptUsers
from app.fastpath.user_writer import UserData, UserWriter
from app.settings.fastpath import FastpathSettings
from app.settings.models import Settings
from app.sources.base import UserId
from tests.callers import by_headers, headers_of
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, failing, settings_for_fakes, user_id, with_cache
from tests.incremental.reading import CURRENT, OF_2022
from tests.properties import examples

TTL = 10.0
WHOLE = "username email plan balance { amount currency } events(first: 2) { id occurredAt }"
SELECTIONS = [
    "username",
    "u: username",
    "plan username",
    "__typename id email lastSeenAt",
    WHOLE,
    "... @defer { plan balance { amount } } username",
    "username invoices(first: 1) { edges { node { id } } }",
]
ROOTS = [
    "user(id: $one) {{ {} }}",
    "users(ids: $many) {{ {} }}",
    "_entities(representations: $of) {{ ... on User {{ {} }} }}",
    "a: users(ids: $many) {{ {0} }} b: user(id: $one) {{ plan {0} }}",
]


@dataclass(frozen=True)
class Step:
    """A request, and the changes before it.

    Attributes:
        query: The document.
        users: Numbers of the users; user 4 is unknown.
        caller: The user id of the caller; ``None`` for an anonymous one.
        on_error: The client's ``onError``.
        seconds: The time that passes before it.
        changed: The source whose rows change before it.
        failed: The source that fails.
        accept: The media types that the client takes.
    """

    query: str
    users: Sequence[int]
    caller: str | None
    on_error: str
    seconds: float
    changed: str | None
    failed: str | None
    accept: str

    @property
    def variables(self) -> Mapping[str, object]:
        """The values of the variables that the document declares."""
        ids = [user_id(number) for number in self.users]
        values = {
            "one": ids[0],
            "many": ids,
            "of": [{"__typename": "User", "id": one} for one in ids],
        }
        return {name: value for name, value in values.items() if f"${name}" in self.query}


SOURCES = ["profile", "billing", "activity"]
TYPES = {"one": "ID!", "many": "[ID!]!", "of": "[_Any!]!"}


def document(root: str, selection: str) -> str:
    """Write an operation with the variables that it needs."""
    used = ", ".join(f"${name}: {kind}" for name, kind in TYPES.items() if f"${name}" in root)
    return f"query({used}) {{ {root.format(selection)} }}"


steps = st.lists(
    st.builds(
        Step,
        query=st.builds(document, st.sampled_from(ROOTS), st.sampled_from(SELECTIONS)),
        users=st.lists(st.integers(1, 4), min_size=1, max_size=4),
        caller=st.sampled_from([None, user_id(1), user_id(2)]),
        on_error=st.sampled_from(["NULL", "NULL", "PROPAGATE", "HALT"]),
        seconds=st.sampled_from([0.0, 0.0, 1.0, TTL + 1]),
        changed=st.sampled_from([None, None, *SOURCES]),
        failed=st.sampled_from([None, None, None, *SOURCES]),
        accept=st.sampled_from(["application/json", "application/json", CURRENT, OF_2022]),
    ),
    min_size=2,
    max_size=6,
)


def cached(sources: Sequence[str] = SOURCES, **fastpath: bool) -> Settings:
    """Make settings that cache these sources."""
    return with_cache(settings_for_fakes(fastpath=FastpathSettings(**fastpath)), sources, ttl=TTL)


def change(services: FakeServices, source: str, version: int) -> None:
    """Change a value in all rows of a source."""
    name, value = {
        "profile": ("username", f"renamed{version}"),
        "billing": ("plan", ["free", "pro", "enterprise"][version % 3]),
        "activity": ("login_count", version),
    }[source]
    service = services.by_name[source]
    service.rows = {key: {**row, name: value} for key, row in service.rows.items()}


async def responses_to(
    gateway: GatewayClient, services: FakeServices, clock: ManualClock, run: Sequence[Step]
) -> Sequence[tuple[int, bytes]]:
    """Run all steps; return the status and the body of each response."""
    services.know(1, 2, 3)
    responses: list[tuple[int, bytes]] = []
    for version, step in enumerate(run):
        clock.advance(step.seconds)
        if step.changed is not None:
            change(services, step.changed, version)
        for name, service in services.by_name.items():
            service.behaviour = failing(503) if name == step.failed else None
        response = await gateway.client.post(
            "/graphql",
            json={"query": step.query, "variables": step.variables, "onError": step.on_error},
            headers={
                "X-Request-ID": "same",
                "Accept": step.accept,
                **headers_of(step.caller),
            },
        )
        responses.append((response.status_code, response.content))
    return responses


@settings(
    max_examples=examples(40, "KEPT_CASES"),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    run=steps,
    sources=st.sampled_from([SOURCES, SOURCES[:2]]),
    authenticate=st.sampled_from([everybody, by_headers]),
)
async def test_responses_with_and_without_kept_users_are_the_same(  # noqa: PLR0917 # by their names
    open_gateway: OpenGateway,
    services: FakeServices,
    clock: ManualClock,
    run: Sequence[Step],
    sources: Sequence[str],
    authenticate: Authenticate,
) -> None:
    async with open_gateway(cached(sources), authenticate) as gateway:
        kept = await responses_to(gateway, services, clock, run)
    async with open_gateway(cached(sources, kept_users=False), authenticate) as gateway:
        made = await responses_to(gateway, services, clock, run)

    assert kept == made


async def test_a_renewed_record_changes_the_user_in_the_response(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock
) -> None:
    services.know(1)
    query = f'{{ user(id: "{user_id(1)}") {{ username plan }} }}'
    async with open_gateway(cached()) as gateway:
        before = [await gateway.query(query) for _ in range(3)]
        change(services, "billing", 2)
        unnoticed = await gateway.query(query)
        clock.advance(TTL + 1)
        after = await gateway.query(query)

    assert [one.data["user"]["plan"] for one in (*before, unnoticed, after)] == [
        *["pro"] * 4,
        "enterprise",
    ]


class Person(Struct, frozen=True):
    """A record of these tests."""

    age: float


class CountingWriter:
    """Makes users and counts them."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, key: str, record: Person | None) -> UserData | None:
        self.made += 1
        return None if record is None else {"id": key, "age": record.age}

    def writer(self, never_null: Sequence[str] = (), number: int = 0) -> UserWriter:
        """Return it as the writer of a selection."""
        return UserWriter(
            fields=[],
            write_user=self,
            write_known=lambda *_: {},
            always_wrong=False,
            never_null=never_null,
            number=number,
        )


def users(
    kept: KeptUsers, writer: UserWriter, of: Mapping[str, Person | None]
) -> Sequence[Any] | None:
    """Get users from the kept ones, and parse their JSON."""
    records: list[Any] = [*of.values()]
    found = kept.users(writer, [UserId(one) for one in of], [records])
    return None if found is None else [json.loads(bytes(one)) for one in found]


def test_a_user_is_made_once_for_a_record_and_again_for_another_record() -> None:
    kept, made = KeptUsers({"profile"}, max_bytes=1_000_000), CountingWriter()
    writer, ann, bob = made.writer(), Person(1.5), Person(2.5)

    assert users(kept, writer, {"a": ann, "b": bob}) == [
        {"id": "a", "age": 1.5},
        {"id": "b", "age": 2.5},
    ]
    assert users(kept, writer, {"b": bob, "a": ann}) == [
        {"id": "b", "age": 2.5},
        {"id": "a", "age": 1.5},
    ]
    assert made.made == 2
    assert users(kept, writer, {"a": bob}) == [{"id": "a", "age": 2.5}]
    assert made.made == 3


def test_equal_records_with_different_json_are_different_records() -> None:
    kept, writer = KeptUsers({"profile"}, max_bytes=1_000_000), CountingWriter().writer()
    one, other = Person(1.0), msgspec.structs.replace(Person(2.0), age=True)

    assert one == other
    assert users(kept, writer, {"a": one}) == [{"id": "a", "age": 1.0}]
    assert str(users(kept, writer, {"a": other})) == "[{'id': 'a', 'age': True}]"


def test_two_selections_do_not_share_users() -> None:
    kept, ann = KeptUsers({"profile"}, max_bytes=1_000_000), Person(1.5)
    both = [CountingWriter(), CountingWriter()]

    for number, one in enumerate(both):
        users(kept, one.writer(number=number), {"a": ann})

    assert [one.made for one in both] == [1, 1]


def test_unknown_users_are_not_kept() -> None:
    kept, made = KeptUsers({"profile"}, max_bytes=1_000_000), CountingWriter()
    writer = made.writer()

    for _ in range(2):
        assert users(kept, writer, {"nobody": None}) == [None]

    assert made.made == 2
    assert kept.bytes == 0


def test_users_without_a_non_null_value_are_not_served_from_kept_users() -> None:
    kept = KeptUsers({"profile"}, max_bytes=1_000_000)
    lacking = msgspec.structs.replace(Person(1.0), age=None)

    assert users(kept, CountingWriter().writer(["age"]), {"a": Person(1.0), "b": lacking}) is None


@pytest.mark.parametrize(
    ("sources", "numbers"),
    [
        (["profile"], [0, 1]),
        (["profile.main", "billing"], [0, 1]),
        (["profile", "activity"], [None, None]),
        ([], [None, None]),
    ],
)
def test_a_selection_gets_a_number_of_its_own_if_all_its_sources_are_cached(
    sources: Sequence[str], numbers: Sequence[int | None]
) -> None:
    kept = KeptUsers({"profile", "billing"}, max_bytes=1)

    assert [kept.number_for(sources) for _ in range(2)] == numbers


@given(
    numbers=st.lists(st.integers(0, 30), max_size=100),
    max_bytes=st.integers(0, 20_000),
)
def test_kept_users_have_at_most_the_configured_bytes(
    numbers: Sequence[int], max_bytes: int
) -> None:
    kept, writer = KeptUsers({"profile"}, max_bytes=max_bytes), CountingWriter().writer()
    records = [Person(float(number)) for number in range(31)]

    for number in numbers:
        assert users(kept, writer, {str(number): records[number]}) == [
            {"id": str(number), "age": float(number)}
        ]
        assert kept.bytes <= max_bytes


def test_the_oldest_kept_users_are_dropped_first() -> None:
    kept, made = KeptUsers({"profile"}, max_bytes=10_000), CountingWriter()
    writer, records = made.writer(), [Person(float(number)) for number in range(20)]
    for number, record in enumerate(records):
        users(kept, writer, {str(number): record})

    before = made.made
    users(kept, writer, {"19": records[19]})
    assert made.made == before
    users(kept, writer, {"0": records[0]})
    assert made.made == before + 1


def test_a_user_that_a_request_names_twice_is_kept_once() -> None:
    kept, made = KeptUsers({"profile"}, max_bytes=5_000), CountingWriter()
    writer, twice = made.writer(), [UserId("a"), UserId("a")]

    for number in range(50):
        record: Any = Person(float(number))
        found = kept.users(writer, twice, [[record, record]])

        assert [json.loads(bytes(one)) for one in found or ()] == [{"id": "a", "age": number}] * 2
        assert 0 < kept.bytes <= 5_000
    assert made.made == 50
