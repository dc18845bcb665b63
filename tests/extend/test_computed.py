"""Computed fields: the same in both ways of execution."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.execution.schema import schema_for
from app.settings.fastpath import FastpathSettings
from tests.callers import by_headers, headers_of
from tests.conftest import GatewayClient, OpenGateway
from tests.extend.modules import ModuleFolder, imported, settings_with
from tests.fakes import FakeServices, failing, json_response, profile_row, user_id, with_cache
from tests.incremental.reading import applied, asking
from tests.properties import examples
from tests.ways import BOTH, Ways

INITIALS = """
def initials(name: str | None) -> str | None:
    return None if name is None else "".join(part[0] for part in name.split())


def extension() -> Extension:
    return Extension(
        api="1.1",
        fields=[
            computed(
                "initials", "String", "profile", "The first letters of the name.",
                may=PUBLIC, reads=["display_name"], compute=initials,
            )
        ],
    )
"""

ONE = user_id(1)


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in both ways."""
    ways: Ways = request.param
    return ways


def was_compiled(gateway: GatewayClient) -> bool:
    """Return whether the last operation was compiled."""
    compiled: bool = gateway.events("graphql.operation")[-1]["compiled"]
    return compiled


async def test_a_function_computes_the_value_of_a_field(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway, ways: Ways
) -> None:
    services.know(1, 2)
    services.profile.rows[user_id(1)] = profile_row(1, displayName="Ada King Lovelace")
    services.profile.rows[user_id(2)] = profile_row(2, displayName=None)
    query = "query($ids: [ID!]!) { users(ids: $ids) { initials plan } }"

    async with open_gateway(settings_with(folder.write(INITIALS))) as gateway:
        reply = await gateway.query(query, ids=[user_id(1), user_id(2), user_id(3)])
        compiled = was_compiled(gateway)

    assert reply.body == {
        "data": {
            "users": [{"initials": "AKL", "plan": "pro"}, {"initials": None, "plan": "pro"}, None]
        }
    }
    assert compiled == ways.short


async def test_a_damaged_input_is_an_error_at_the_fields_that_read_it(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1)
    services.profile.rows[ONE] = profile_row(1, displayName=17)

    async with open_gateway(settings_with(folder.write(INITIALS))) as gateway:
        reply = await gateway.query("query($id: ID!) { user(id: $id) { initials email } }", id=ONE)
        bugs = gateway.events("extension.bug")

    assert reply.data == {"user": {"initials": None, "email": "user1@example.com"}}
    assert reply.codes == {"user.initials": "SOURCE_MALFORMED"}
    assert not bugs


async def test_a_failed_source_is_an_error_at_its_computed_fields(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1)
    services.profile.behaviour = failing(500)

    async with open_gateway(settings_with(folder.write(INITIALS))) as gateway:
        reply = await gateway.query("query($id: ID!) { user(id: $id) { initials plan } }", id=ONE)

    assert reply.data == {"user": {"initials": None, "plan": "pro"}}
    assert reply.codes == {"user.initials": "SOURCE_UNAVAILABLE"}


async def test_an_exception_is_masked_at_its_field_alone_and_logged_once(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1, 2, 3)
    services.profile.rows[user_id(1)] = profile_row(1, displayName="")
    place = folder.write(INITIALS.replace("name.split()", "[name] * 2"))
    services.profile.rows[user_id(2)] = profile_row(2, displayName="")
    query = "query($ids: [ID!]!) { users(ids: $ids) { initials email } }"

    async with open_gateway(settings_with(place)) as gateway:
        reply = await gateway.query(query, ids=[user_id(1), user_id(2), user_id(3)])
        [bug] = gateway.events("extension.bug")
        others = gateway.events("graphql.bug")

    assert reply.data["users"] == [
        {"initials": None, "email": "user1@example.com"},
        {"initials": None, "email": "user2@example.com"},
        {"initials": "UU", "email": "user3@example.com"},
    ]
    assert reply.codes == {
        "users.0.initials": "INTERNAL_SERVER_ERROR",
        "users.1.initials": "INTERNAL_SERVER_ERROR",
    }
    assert "IndexError" not in reply.response.text
    assert (bug["module"], bug["field"]) == (Path(place).name, "initials")
    assert "IndexError" in bug["exception"]
    assert not others


async def test_an_exception_in_a_deferred_fragment_fails_only_its_field(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1, 2)
    services.profile.rows[user_id(1)] = profile_row(1, displayName="")
    place = folder.write(INITIALS.replace("name.split()", "[name] * 2"))
    query = """query($ids: [ID!]!) { users(ids: $ids) {
        id ... @defer { initials email } ... @defer { plan } } }"""
    variables = {"ids": [user_id(1), user_id(2)]}

    async with open_gateway(settings_with(place)) as gateway:
        async with asking(gateway.app, query, variables) as talk:
            answer = applied(await talk.all())
        others = gateway.events("graphql.bug")

    assert [[one["initials"], one["email"], one["plan"]] for one in answer["data"]["users"]] == [
        [None, "user1@example.com", "pro"],
        ["UU", "user2@example.com", "pro"],
    ]
    [error] = answer["errors"]
    assert error["path"] == ["users", 0, "initials"]
    assert not others


@pytest.mark.parametrize(
    "error", ["SystemExit(3)", "KeyboardInterrupt()", "GeneratorExit()", "CancelledError()"]
)
async def test_an_exception_that_would_end_the_program_fails_only_its_field(
    folder: ModuleFolder,
    services: FakeServices,
    open_gateway: OpenGateway,
    error: str,
) -> None:
    services.know(1, 2)
    text = INITIALS.replace(
        "    return None if",
        f"    if name == 'User 1':\n        raise {error}\n    return None if",
        1,
    )
    place = folder.write("from asyncio import CancelledError\n" + text)
    services.profile.rows[user_id(1)] = profile_row(1, displayName="User 1")
    query = "query($ids: [ID!]!) { users(ids: $ids) { initials plan } }"

    async with open_gateway(settings_with(place)) as gateway:
        reply = await gateway.query(query, ids=[user_id(1), user_id(2)])
        [bug] = gateway.events("extension.bug")

    assert reply.data["users"] == [
        {"initials": None, "plan": "pro"},
        {"initials": "U2", "plan": "pro"},
    ]
    assert reply.codes == {"users.0.initials": "INTERNAL_SERVER_ERROR"}
    assert error.partition("(")[0] in bug["exception"]


async def test_a_policy_hides_a_computed_field_and_its_source_is_not_called(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1)
    place = folder.write(INITIALS.replace("may=PUBLIC", 'may=self_or("hr:read", "admin")'))
    query = "query($id: ID!) { user(id: $id) { initials plan } }"
    asked = [
        headers_of(None, "billing:read"),
        headers_of(None, "billing:read", "admin"),
        headers_of(None, "billing:read", "hr:read"),
        headers_of(ONE, "billing:read"),
    ]

    async with open_gateway(settings_with(place), by_headers) as gateway:
        replies = [await gateway.query_as(headers, query, id=ONE) for headers in asked]

    assert [one.codes for one in replies] == [{"user.initials": "FORBIDDEN"}, {}, {}, {}]
    assert replies[0].errors[0]["message"] == (
        "initials is for the user itself and callers with one of the scopes hr:read, admin"
    )
    assert services.calls == {"profile": 3, "billing": 4, "activity": 0}


SUPPORT: Mapping[str, Any] = {
    "sources": {
        "support": {
            "base_url": "http://support",
            "request": {
                "form": "list",
                "path": "/people",
                "parameter": "ids",
                "select": {"parameter": "fields", "always": ["id"]},
            },
        }
    },
    "user": {
        "team": {"source": "support", "type": "String", "description": "Team.", "may": "public"}
    },
}

FULL_NAME = """
def full_name(first: str | None, last: str | None, team: str | None) -> str:
    return f"{first} {last} of {team}"


def extension() -> Extension:
    return Extension(
        api="1.1",
        fields=[
            computed(
                "fullName", "String", "support", "The whole name.", may=PUBLIC,
                reads=[Input("first", "String", "name.first"), Input("last", "String"), "team"],
                compute=full_name,
            ),
            shows("seat", "Int", "support", "Number of the seat.", may=PUBLIC,
                value=Input("seat", "Int", "place.seat")),
        ],
    )
"""


async def test_a_function_reads_values_of_a_source_that_are_not_in_the_schema(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    asked: list[str] = []

    def people(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["fields"])
        row = {"id": ONE, "name": {"first": "Ada"}, "last": "King", "team": "First line"}
        return json_response([{**row, "place": {"seat": 7}}])

    services.others["support"] = people
    async with open_gateway(settings_with(folder.write(FULL_NAME), SUPPORT)) as gateway:
        name = await gateway.query("query($id: ID!) { user(id: $id) { fullName } }", id=ONE)
        seat = await gateway.query("query($id: ID!) { user(id: $id) { seat } }", id=ONE)

    assert name.body == {"data": {"user": {"fullName": "Ada King of First line"}}}
    assert seat.body == {"data": {"user": {"seat": 7}}}
    assert sorted(asked[0].split(",")) == ["id", "last", "name", "team"]
    assert sorted(asked[1].split(",")) == ["id", "place"]


TYPES = """
from dataclasses import dataclass


class Part(Record):
    level: int
    label: str


@dataclass
class Other:
    level: object
    label: object


VALUES: dict[str, object] = {}
BADGE = ObjectDefinition(
    "Badge",
    "What a user has reached.",
    (
        ObjectField("level", "Int!", "Its level.", "level"),
        ObjectField("label", "String", "Its name.", "label"),
    ),
    Part,
)
RANK = EnumDefinition(
    "Rank", "How high.", (EnumValue("LOW", None, ("low",)), EnumValue("HIGH", None, ("high",)))
)
KINDS = [
    "String", "Int", "Float", "Boolean", "ID", "DateTime", "Date", "SafeInt", "URL",
    "[String!]", "[Int]", "Rank", "[Rank!]", "Badge", "[Badge]",
]


def value(name: str) -> object:
    found = VALUES[name]
    if isinstance(found, Exception):
        raise found
    return found


def extension() -> Extension:
    return Extension(
        api="1.1",
        fields=[
            computed(f"as{number}", kind, "profile", "A value.", may=PUBLIC, reads=["username"],
                compute=value)
            for number, kind in enumerate(KINDS)
        ],
        objects=[BADGE],
        enums=[RANK],
    )
"""

_ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-(2**32), 2**32),
    st.floats(),
    st.text(),
    st.sampled_from(["low", "HIGH", "LOW", "http://a.b/c", "high\ud800", "x" * 40]),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.sampled_from([UTC, ZoneInfo("Europe/Vienna")])),
    st.just(datetime(2026, 1, 1, tzinfo=timezone(timedelta(minutes=90)))),
    st.just(datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=61)))),
    st.just(Decimal(1)),
    st.just(object()),
    st.builds(ValueError),
)
VALUES = st.one_of(_ANY, st.lists(_ANY, max_size=3), st.lists(_ANY, max_size=3).map(tuple))


def parts_of(value: object, other: Any) -> object:  # noqa: ANN401 # a class of the module
    """Make an object of a pair of values."""
    if type(value) is not tuple:
        return value
    pair = cast("tuple[object, ...]", value)
    return other(*pair) if len(pair) == 2 else pair


SLOW = (
    HealthCheck.function_scoped_fixture,
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
)
"""Health checks that do not fit examples that open gateways and have many values."""

USERS = 36
"""The number of values of one example, one for each user: opening two gateways takes as long as
many operations."""

IDS = [user_id(number) for number in range(1, USERS + 1)]


def seen(answer: Mapping[str, Any]) -> object:
    """Return the data of an answer, and its errors without the request id."""
    errors = [
        (one["path"], one["message"], {**one["extensions"], "requestId": ""})
        for one in answer.get("errors", ())
    ]
    return answer["data"], errors


def part_of(whole: Mapping[str, Any], place: int, field: str) -> object:
    """Return the part of an answer that belongs to one field of one user."""
    user = whole["data"]["users"][place]
    errors = [
        {**one, "path": ["user", *one["path"][2:]]}
        for one in whole.get("errors", ())
        if one["path"][1:3] == [place, field]
    ]
    data = {"user": {field: user[field], "username": user["username"]}}
    return seen({"data": data, "errors": errors})


@given(values=st.lists(VALUES, min_size=USERS, max_size=USERS))
@settings(suppress_health_check=SLOW, max_examples=examples(5))
async def test_any_returned_value_is_the_same_compiled_and_interpreted(
    folder: ModuleFolder,
    services: FakeServices,
    open_gateway: OpenGateway,
    ways: Ways,
    values: list[object],
) -> None:
    if not ways.short:
        return  # the test compares both itself
    services.know(*range(1, USERS + 1))
    made = settings_with(folder.write(TYPES), {"batch": {"enabled": True, "max_operations": 20}})
    interpreted = made.model_copy(update={"fastpath": FastpathSettings(enabled=False)})
    schema, _ = schema_for(made)
    module = imported(str(made.public_schema.module))
    module.VALUES.update(
        (f"user{number}", parts_of(value, module.Other)) for number, value in enumerate(values, 1)
    )
    texts = {
        one.name: f"{one.name} {'{ level label __typename }' if 'Badge' in one.type else ''}"
        for one in schema.definition.fields
        if one.computation is not None
    }
    several = "query($ids: [ID!]!) {{ users(ids: $ids) {{ {} username }} }}"

    async with open_gateway(made) as compiled, open_gateway(interpreted) as reference:
        whole = (await reference.query(several.format(" ".join(texts.values())), ids=IDS)).body
        wrong = {(one["path"][1], one["path"][2]) for one in whole.get("errors", ())}
        for field, text in texts.items():
            places = [place for place in range(USERS) if (place, field) not in wrong]
            reply = await compiled.query(several.format(text), ids=[IDS[place] for place in places])
            users = [whole["data"]["users"][place] for place in places]
            shown = [{field: one[field], "username": one["username"]} for one in users]
            assert seen(reply.body) == ({"users": shown}, [])
            assert was_compiled(compiled)
        for place, one in enumerate(IDS):
            # A value that does not fit is left to the interpreter, in an operation of its own.
            fields = [field for field in texts if (place, field) in wrong]
            query = "query($id: ID!) {{ user(id: $id) {{ {} username }} }}"
            asked = [
                {"query": query.format(texts[field]), "variables": {"id": one}} for field in fields
            ]
            answers = (await compiled.client.post("/graphql", json=asked)).json() if asked else ()
            assert [*map(seen, answers)] == [part_of(whole, place, field) for field in fields]


class OwnZone(tzinfo):
    """A zone of a library that JSON writers do not know."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        """Return the offset."""
        return timedelta(hours=2)

    def tzname(self, _: datetime | None) -> str:
        """Return the name."""
        return "own"

    def dst(self, _: datetime | None) -> None:
        """Return ``None``: it is not known."""


FITTING: Mapping[str, tuple[object, object]] = {
    "Float": (3, 3.0),
    "DateTime": (datetime(2026, 6, 1, 9, tzinfo=OwnZone()), "2026-06-01T09:00:00+02:00"),
    "Date": (date(2026, 6, 1), "2026-06-01"),
    "[String!]": (("a", "b"), ["a", "b"]),
    "Rank": ("High", "HIGH"),
    "SafeInt": (2**40, 2**40),
}


@pytest.mark.parametrize("kind", FITTING)
async def test_a_value_that_fits_its_type_is_returned(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway, kind: str
) -> None:
    services.know(1)
    place = folder.write(TYPES)
    value, shown = FITTING[kind]

    async with open_gateway(settings_with(place)) as gateway:
        module = imported(place)
        module.VALUES["user1"] = value
        field = f"as{module.KINDS.index(kind)}"
        reply = await gateway.query(f"query($id: ID!) {{ user(id: $id) {{ {field} }} }}", id=ONE)

    assert reply.body == {"data": {"user": {field: shown}}}


UNFIT: Mapping[str, tuple[object, ...]] = {
    "String": (1, b"a", "\ud800"),
    "Int": (2**31, True, 1.0, "1"),
    "Float": (float("nan"), "1"),
    "Boolean": (1,),
    "ID": (1,),
    "DateTime": (datetime(2026, 6, 1), date(2026, 6, 1), "2026-06-01T09:00:00Z"),  # noqa: DTZ001 # without an offset
    "Date": (datetime(2026, 6, 1, tzinfo=UTC),),
    "SafeInt": (2**53,),
    "URL": ("ftp://a",),
    "[String!]": (["a", None], "ab"),
    "Rank": ("middle", "LO"),
    "Badge": ("a", 1),
}


@pytest.mark.parametrize("kind", UNFIT)
async def test_a_value_that_does_not_fit_its_type_is_a_bug_of_the_module(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway, kind: str
) -> None:
    services.know(1)
    place = folder.write(TYPES)

    async with open_gateway(settings_with(place)) as gateway:
        module = imported(place)
        field = f"as{module.KINDS.index(kind)}"
        inner = " { level }" if kind == "Badge" else ""
        query = f"query($id: ID!) {{ user(id: $id) {{ {field}{inner} username }} }}"
        for value in UNFIT[kind]:
            module.VALUES["user1"] = value
            gateway.forget()
            reply = await gateway.query(query, id=ONE)
            assert reply.data == {"user": {field: None, "username": "user1"}}
            assert reply.codes == {f"user.{field}": "INTERNAL_SERVER_ERROR"}
            [bug] = gateway.events("extension.bug")
            assert "ValueError" in bug["exception"] or "Unicode" in bug["exception"]


TICKETS = """
from itertools import count

numbers = count(1)


def ticket(name: str | None) -> str:
    return f"{name}-{next(numbers)}"


def extension() -> Extension:
    return Extension(
        api="1.1",
        fields=[
            computed(
                "ticket", "String", "profile", "Another one each time.",
                may=PUBLIC, reads=["username"], compute=ticket,
            )
        ],
    )
"""


async def test_a_function_of_an_operator_is_called_for_each_response(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1)
    wanted = with_cache(settings_with(folder.write(TICKETS)), ["profile"], ttl=10)

    async with open_gateway(wanted) as gateway:
        query = f'{{ user(id: "{user_id(1)}") {{ ticket }} }}'
        replies = [await gateway.query(query) for _ in range(2)]

    assert [one.data["user"]["ticket"] for one in replies] == ["user1-1", "user1-2"]
    assert len(services.profile.requests) == 1
