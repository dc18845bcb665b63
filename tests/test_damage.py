"""Rows with random damage, read with expressions, words, defaults, groups and for fewer fields.

Each selected field without damage is returned, and each one with damage is an error at its path.
``test_merge.py`` tests the same for rows by the default contract.
"""

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, cast

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.settings.models import Settings
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, Row, calm_source, json_response, settings_for_fakes, user_id
from tests.properties import examples
from tests.ways import ALSO_BY_FILE, Ways

USERS = [user_id(number) for number in range(1, 5)]
DAMAGES = ("missing", "null", "invalid")

VALID: Mapping[str, object] = {
    "handle": "ada",
    "name": "Ada Lovelace",
    "mail": "ada@example.com",
    "lang": "en",
    "joined": 1_709_208_000,
    "pic": "https://cdn.example.com/a.png",
    "avatar": "https://cdn.example.com/b.png",
    "tier": "pro",
    "state": "late",
    "next": "2026-12-01T00:00:00Z",
    "cents": 1250,
    "cur": "EUR",
    "seq": "e1",
    "kind": "login",
    "at": "2026-05-31T23:59:59Z",
}
"""A valid value of each member of a row."""

INVALID: Mapping[str, object] = {
    "handle": 7,
    "name": ["Ada"],
    "mail": {"address": "ada@example.com"},
    "lang": True,
    "joined": "yesterday",
    "pic": 1,
    "avatar": 2.5,
    "tier": {},
    "state": ["late"],
    "next": "soon",
    "cents": "12.5",
    "cur": "euro",
    "seq": 1.5,
    "kind": 7,
    "at": "2026",
}
"""An invalid value of each member of a row."""


class Failed:
    """Stands for the value of a field that fails."""


FAILED = Failed()


def plain(member: str, default: object = None, made: object = None) -> Callable[[Row], object]:
    """Make the function that computes the expected value of a field from one member."""

    def expected(row: Row) -> object:
        value = row.get(member)
        if value is None:
            return default
        return FAILED if value == INVALID[member] else made or value

    return expected


def picture(row: Row) -> object:
    """Compute the expected picture: the second member is used only without the first."""
    first = plain("pic")(row)
    return plain("avatar")(row) if first is None else first


def money(row: Row) -> object:
    """Compute the expected balance: ``None`` if one of its members is missing."""
    cents, currency = plain("cents")(row), plain("cur")(row)
    if cents is None or currency is None:
        return None
    return FAILED if FAILED in (cents, currency) else {"amount": cents, "currency": currency}


def last_seen(rows: Sequence[Row]) -> object:
    """Compute the expected time of the last activity: it is in the first row."""
    return plain("at")(rows[0]) if rows else None


def logins(rows: Sequence[Row]) -> object:
    """Compute the expected number of logins."""
    return sum(row.get("kind") == "login" for row in rows)


def events(rows: Sequence[Row]) -> object:
    """Compute the expected events: each has all of its members, or the list fails."""
    names = {"id": "seq", "type": "kind", "occurredAt": "at"}
    made = [{name: plain(member)(row) for name, member in names.items()} for row in rows]
    whole = all(value is not None and value is not FAILED for one in made for value in one.values())
    return made if whole else FAILED


@dataclass(frozen=True)
class MappedField:
    """A field of ``User``.

    Attributes:
        source: Its source.
        text: Its selection.
        expected: Computes its expected value from a row, or from the rows of a group.
    """

    source: str
    text: str
    expected: Callable[[Any], object]


FIELDS = {
    "username": MappedField("profile", "username", plain("handle")),
    "displayName": MappedField("profile", "displayName", plain("name", default="Nobody")),
    "email": MappedField("profile", "email", plain("mail")),
    "avatarUrl": MappedField("profile", "avatarUrl", picture),
    "locale": MappedField("profile", "locale", plain("lang", made="en-GB")),
    "createdAt": MappedField("profile", "createdAt", plain("joined", made="2024-02-29T12:00:00Z")),
    "plan": MappedField("billing", "plan", plain("tier", default="free")),
    "billingStatus": MappedField(
        "billing", "billingStatus", plain("state", default="ACTIVE", made="PAST_DUE")
    ),
    "balance": MappedField("billing", "balance { amount currency }", money),
    "renewsAt": MappedField("billing", "renewsAt", plain("next")),
    "lastSeenAt": MappedField("activity", "lastSeenAt", last_seen),
    "loginCount": MappedField("activity", "loginCount", logins),
    "events": MappedField("activity", "events { id type occurredAt }", events),
}
MEMBERS = {
    "profile": ("handle", "name", "mail", "lang", "joined", "pic", "avatar"),
    "billing": ("tier", "state", "next", "cents", "cur"),
    "activity": ("seq", "kind", "at"),
}
MAPPINGS: Mapping[str, Mapping[str, Any]] = {
    "profile": {
        "fields": {
            "username": "handle",
            "displayName": "name",
            "email": "mail",
            "locale": "lang",
            "createdAt": "unix_seconds(joined)",
            "avatarUrl": "pic || avatar",
        },
        "defaults": {"displayName": "Nobody"},
        "words": {"locale": {"en": "en-GB"}},
    },
    "billing": {
        "fields": {
            "plan": "tier",
            "status": "state",
            "renewsAt": "iso_time(next)",
            "balance": "money_minor(cents, cur)",
        },
        "defaults": {"plan": "free", "status": "active"},
        "words": {"status": {"late": "PAST_DUE"}},
    },
    "activity": {
        "fields": {
            "lastSeenAt": "[0].at",
            "loginCount": "length([?kind=='login'])",
            "events": "[].{id: seq, type: kind, occurredAt: at}",
        },
        "answer": {"key": ["user"], "group": {}, "without_row": "defaults"},
    },
}
REPEAT: Mapping[str, Any] = {"form": "repeat", "path": "/rows", "parameter": "user"}
BATCH: Mapping[str, Any] = {"form": "body", "path": "/batch", "template": '[{"get": "{key}"}]'}
PARTS: Mapping[str, Any] = {
    "match": "position",
    "parts": {"status": ["status"], "row": ["body"]},
}
READINGS = ("whole rows", "fewer fields", "a batch API", "two endpoints")
"""How rows are requested and read."""


def settings_for(reading: str) -> Settings:
    """Make the settings for a reading."""
    sources = settings_for_fakes().sources
    changed: dict[str, Any] = {}
    for name, mapping in MAPPINGS.items():
        one: dict[str, Any] = {"answer": {"key": ["user"]}, **mapping, "request": REPEAT}
        if reading == "fewer fields":
            one["request"] = {**REPEAT, "select": {"parameter": "only"}}
        elif reading == "a batch API" and name != "activity":
            one.update(request=BATCH, answer=PARTS)
        elif reading == "two endpoints":
            one = {"endpoints": {part: halved(one, part) for part in ("first", "second")}}
        changed[name] = calm_source(base_url=f"http://{name}", **one)
    return settings_for_fakes(sources={**sources, **changed})


def halved(one: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    """Return the settings of every second field."""
    names = [*one["fields"]][part == "second" :: 2]
    own = ("fields", "defaults", "words")
    maps = {
        name: {field: value for field, value in one.get(name, {}).items() if field in names}
        for name in own
    }
    return {**one, **maps}


Rows = Mapping[str, Mapping[str, Sequence[Row]]]
"""The rows of each source, by user: one, or several at activity."""


def damaged(damages: Mapping[str, str]) -> Row:
    """Make a row with some damage."""
    row = {name: value for name, value in VALID.items() if damages.get(name) != "missing"}
    changes = {"null": None, "invalid": INVALID}
    for name, damage in damages.items():
        if damage != "missing":
            row[name] = None if changes[damage] is None else INVALID[name]
    return row


@st.composite
def worlds(draw: st.DrawFn) -> Rows:
    """Make the rows of each source and user, with random damage."""
    world: dict[str, dict[str, Sequence[Row]]] = {}
    for source, members in MEMBERS.items():
        most = 3 if source == "activity" else 1
        damages = st.dictionaries(st.sampled_from(members), st.sampled_from(DAMAGES), max_size=4)
        world[source] = {
            user: [
                {name: row[name] for name in members if name in row}
                for row in map(damaged, draw(st.lists(damages, max_size=most)))
            ]
            for user in USERS
        }
    return world


def serve(world: Rows, source: str) -> Callable[[httpx.Request], httpx.Response]:
    """Make a service with these rows."""

    def respond(request: httpx.Request) -> httpx.Response:
        rows = world[source]
        if request.method == "POST":
            users = [item["get"] for item in json.loads(request.content)]
            items = [
                {"status": 200, "body": rows[user][0]} if rows[user] else {"status": 404}
                for user in users
            ]
            return json_response(items)
        names = request.url.params.get("only")
        wanted = None if names is None else names.split(",")
        asked = request.url.params.get_list("user")
        # The rows of a user stay in their order, but are not next to each other.
        ranks = range(max(len(rows[user]) for user in asked))
        found = [
            {"user": user, **rows[user][rank]}
            for rank in ranks
            for user in asked
            if rank < len(rows[user])
        ]
        return json_response(
            [
                {name: value for name, value in row.items() if wanted is None or name in wanted}
                for row in found
            ]
        )

    return respond


def reference(
    world: Rows, fields: Sequence[str]
) -> tuple[Sequence[Mapping[str, object] | None], Mapping[str, str]]:
    """Compute the expected users, and the codes of the fields that fail."""
    users: list[Mapping[str, object] | None] = []
    codes: dict[str, str] = {}
    for index, user in enumerate(USERS):
        expected: dict[str, object] = {}
        for name in fields:
            field = FIELDS[name]
            rows = world[field.source][user]
            value: object = None
            if field.source == "activity":
                value = field.expected(rows)
            elif rows:
                value = field.expected(rows[0])
            if value is FAILED:
                codes[f"users.{index}.{name}"] = "SOURCE_MALFORMED"
                value = None
            expected[name] = value
        sources = {FIELDS[name].source for name in fields}
        known = "activity" in sources or any(world[source][user] for source in sources)
        users.append(expected if known else None)
    return users, codes


@settings(
    max_examples=examples(150),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    world=worlds(),
    reading=st.sampled_from(READINGS),
    fields=st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, unique=True),
)
async def test_valid_fields_are_returned_and_damaged_ones_are_errors_at_their_path(
    gateways: Mapping[str, GatewayClient],
    services: FakeServices,
    world: Rows,
    reading: str,
    fields: Sequence[str],
) -> None:
    for source in MEMBERS:
        services.others[source] = serve(world, source)
    selection = " ".join(FIELDS[name].text for name in fields)
    query = f"query($ids: [ID!]!) {{ users(ids: $ids) {{ {selection} }} }}"

    reply = await gateways[reading].query(query, ids=USERS)

    users, codes = reference(world, fields)
    assert cast("Sequence[object]", reply.data["users"]) == users
    assert reply.codes == codes


@pytest.fixture(params=ALSO_BY_FILE, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test on the fast paths, and on the reference path."""
    ways: Ways = request.param
    return ways


@pytest.fixture
async def gateways(open_gateway: OpenGateway) -> AsyncGenerator[Mapping[str, GatewayClient]]:
    """Give a gateway for each reading."""
    async with AsyncExitStack() as stack:
        yield {
            reading: await stack.enter_async_context(open_gateway(settings_for(reading)))
            for reading in READINGS
        }
