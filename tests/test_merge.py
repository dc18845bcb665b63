"""Random selections, ids, failing sources and damaged rows: the response equals a plain merge."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import GatewayClient, GatewayReply, OpenGateway
from tests.fakes import FakeServices, Row, failing, settings_for_fakes, user_id
from tests.key_from import (
    LOOKUP,
    PARENTS,
    Parents,
    has_fallbacks,
    keys_of,
    linked,
    linked_row,
    origins,
    own_key,
)
from tests.properties import examples
from tests.ways import EVERY, Ways

SOURCES = ("profile", "billing", "activity")
USERS = range(1, 7)


@dataclass(frozen=True)
class Column:
    """A field of ``User`` as the reference knows it: its text, its source, and its key there."""

    text: str
    source: str
    key: str


COLUMNS = {
    "username": Column("username", "profile", "username"),
    "displayName": Column("displayName", "profile", "displayName"),
    "email": Column("email", "profile", "email"),
    "avatarUrl": Column("avatarUrl", "profile", "avatarUrl"),
    "locale": Column("locale", "profile", "locale"),
    "createdAt": Column("createdAt", "profile", "createdAt"),
    "plan": Column("plan", "billing", "plan"),
    "billingStatus": Column("billingStatus", "billing", "status"),
    "balance": Column("balance { amount currency }", "billing", "balance"),
    "renewsAt": Column("renewsAt", "billing", "renewsAt"),
    "lastSeenAt": Column("lastSeenAt", "activity", "lastSeenAt"),
    "loginCount": Column("loginCount", "activity", "loginCount"),
    "events": Column("events { id type occurredAt }", "activity", "events"),
}


WRONG: Mapping[str, object] = {
    "username": 7,
    "displayName": ["Ada"],
    "email": {"address": "ada@example.com"},
    "avatarUrl": False,
    "locale": 5,
    "createdAt": "yesterday",
    "plan": 1,
    "status": ["active"],
    "balance": {"amount": "12", "currency": "EUR"},
    "renewsAt": 0,
    "lastSeenAt": "2026",
    "loginCount": 2**31,
    "events": [{"id": "e1", "type": "login"}],
}
"""A value that does not fit, for each field of a row."""

DAMAGES = st.dictionaries(
    st.sampled_from(sorted(WRONG)), st.sampled_from(["missing", "null", "wrong"]), max_size=6
)
"""The damages of fields of a row."""


@dataclass(frozen=True)
class MergeWorld:
    """The rows of the sources, and the sources that fail.

    Attributes:
        rows: The rows of each source, by the source's key of the user.
        down: The sources that fail.
        damages: The damages of fields of rows, by (source, key).
        parents: The sources that have the keys of others, in the member ``keys`` of their rows.
    """

    rows: Mapping[str, Mapping[str, Row]]
    down: frozenset[str]
    damages: Mapping[tuple[str, str], Mapping[str, str]]
    parents: Parents


@dataclass(frozen=True)
class MergedField:
    """One field of the query: its alias, the users, and the fields selected of them."""

    alias: str
    ids: tuple[str, ...]
    fields: tuple[str, ...]
    many: bool


@st.composite
def worlds(draw: st.DrawFn) -> MergeWorld:
    """Make worlds in which each source knows some users."""
    rows: dict[str, dict[str, Row]] = {}
    parents = draw(st.sampled_from(PARENTS))
    for source in (*SOURCES, LOOKUP):
        known = draw(st.sets(st.sampled_from(USERS)))
        rows[source] = {
            own_key(source, n, parents): linked_row(source, n, parents, draw(keys_of(n, parents)))
            for n in known
        }
    pairs = [(source, user) for source in SOURCES for user in rows[source]]
    return MergeWorld(
        rows=rows,
        down=draw(st.frozensets(st.sampled_from((*SOURCES, LOOKUP)), max_size=3)),
        damages=draw(st.dictionaries(st.sampled_from(pairs), DAMAGES)) if pairs else {},
        parents=parents,
    )


@st.composite
def queries(draw: st.DrawFn) -> tuple[MergedField, ...]:
    """Make queries of one to three fields."""
    ids = st.sampled_from([user_id(n) for n in (*USERS, 99)])
    fields = st.lists(st.sampled_from(["id", *COLUMNS]), min_size=1, unique=True).map(tuple)
    asked: list[MergedField] = []
    for number in range(draw(st.integers(1, 3))):
        many = draw(st.booleans())
        chosen = draw(st.lists(ids, min_size=1, max_size=8 if many else 1).map(tuple))
        asked.append(MergedField(f"f{number}", chosen, draw(fields), many))
    return tuple(asked)


def text_of(asked: tuple[MergedField, ...]) -> str:
    """Write the query."""
    parts: list[str] = []
    for one in asked:
        selection = " ".join(COLUMNS[f].text if f in COLUMNS else f for f in one.fields)
        ids = ", ".join(f'"{one_id}"' for one_id in one.ids)
        call = f"users(ids: [{ids}])" if one.many else f"user(id: {ids})"
        parts.append(f"{one.alias}: {call} {{ {selection} }}")
    return "{ " + " ".join(parts) + " }"


def reference(
    world: MergeWorld, asked: tuple[MergedField, ...]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Merge plainly: the expected data, and the expected code by path."""
    data: dict[str, Any] = {}
    codes: dict[str, str] = {}
    for one in asked:
        sources = {COLUMNS[f].source for f in one.fields if f in COLUMNS} or {"profile"}
        merged: list[dict[str, Any] | None] = []
        for index, user in enumerate(one.ids):
            path = f"{one.alias}.{index}" if one.many else one.alias
            results = {source: result_of(world, source, user) for source in sources}
            if all(result is None for result in results.values()):
                merged.append(None)
            elif not any(f in COLUMNS for f in one.fields) and isinstance(
                results["profile"], Failed
            ):
                merged.append(None)
                codes[path] = results["profile"].code
            else:
                user_data: dict[str, Any] = {}
                for field in one.fields:
                    value = user if field == "id" else value_of(world, field, user)
                    if isinstance(value, Failed):
                        codes[f"{path}.{field}"] = value.code
                        value = None
                    user_data[field] = value
                merged.append(user_data)
        data[one.alias] = merged if one.many else merged[0]
    return data, codes


def value_of(world: MergeWorld, field: str, user: str) -> object:
    """Find the value of one field of one user, or its failure."""
    column = COLUMNS[field]
    row = result_of(world, column.source, user)
    if row is None or isinstance(row, Failed):
        return row
    damage = damage_of(world, column, user)
    if damage is not None:
        return Failed("SOURCE_MALFORMED") if damage == "wrong" else None
    return "ACTIVE" if field == "billingStatus" else row[column.key]


@dataclass(frozen=True)
class Failed:
    """A failure, by its code."""

    code: str


def key_of(world: MergeWorld, source: str, user: str) -> str | Failed | None:
    """Find the key by which a source is called for a user; ``None`` if it is not called."""
    parents = origins(world.parents, source)
    if not parents:
        return user
    for parent in parents:
        above = result_of(world, parent, user)
        if isinstance(above, Failed):
            return above
        key = None if above is None else cast("Mapping[str, object]", above["keys"])[source]
        if key is not None and key != "":
            return str(key) if type(key) in {str, int} else Failed("SOURCE_MALFORMED")
    return None


def result_of(world: MergeWorld, source: str, user: str) -> Row | Failed | None:
    """Find the result of a source for a user: a row, ``None``, or a failure."""
    key = key_of(world, source, user)
    if key is None or isinstance(key, Failed):
        return key
    if source in world.down:
        return Failed("SOURCE_UNAVAILABLE")
    return world.rows[source].get(key)


def damage_of(world: MergeWorld, column: Column, user: str) -> str | None:
    """Find the damage of a field of a user's row; ``None`` for most fields."""
    key = key_of(world, column.source, user)
    return world.damages.get((column.source, str(key)), {}).get(column.key)


def damaged(row: Row, damages: Mapping[str, str]) -> Row:
    """Remove some values of a row, and replace others by values that do not fit."""
    kept = {name: value for name, value in row.items() if name not in damages}
    changed = {
        name: WRONG[name] if damage == "wrong" else None
        for name, damage in damages.items()
        if damage != "missing" and name in row
    }
    return {**kept, **changed}


def arrange(services: FakeServices, world: MergeWorld) -> None:
    """Give the fakes the rows and the failures of a world."""
    for source, service in services.by_endpoint.items():
        service.rows = {
            key: damaged(row, world.damages.get((source, key), {}))
            for key, row in world.rows[source].items()
        }
        service.behaviour = failing(500) if source in world.down else None
        service.requests.clear()
        service.batches.clear()


@settings(
    max_examples=examples(60),
    deadline=None,
    # A gateway keeps nothing between requests, so all examples can share it.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(world=worlds(), asked=queries())
async def test_the_response_equals_a_plain_merge_without_needless_calls(
    gateways: Sequence[GatewayClient],
    services: FakeServices,
    world: MergeWorld,
    asked: tuple[MergedField, ...],
) -> None:
    arrange(services, world)

    reply: GatewayReply = await gateways[PARENTS.index(world.parents)].query(text_of(asked))

    data, codes = reference(world, asked)
    assert reply.data == data
    assert dict(reply.codes) == codes
    batches = {name: [*map(sorted, one.batches)] for name, one in services.by_endpoint.items()}
    if has_fallbacks(world.parents):  # a key that is known at once does not wait for others
        batches = {name: [sorted(chain(*one))] if one else [] for name, one in batches.items()}
    assert batches == {name: [sorted(keys)] if keys else [] for name, keys in wanted(world, asked)}


@pytest.fixture(params=EVERY, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run the test by all fast paths, and by the reference path."""
    ways: Ways = request.param
    return ways


@pytest.fixture
async def gateways(open_gateway: OpenGateway) -> AsyncGenerator[Sequence[GatewayClient]]:
    """Return a gateway for each way in which sources can have the keys of others."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_gateway(linked(settings_for_fakes(), parents)))
            for parents in PARENTS
        ]


def wanted(world: MergeWorld, asked: tuple[MergedField, ...]) -> Iterator[tuple[str, set[str]]]:
    """Find the keys that each source has to be called with."""
    users: dict[str, set[str]] = {source: set() for source in (*SOURCES, LOOKUP)}
    for one in asked:
        for field in one.fields:
            source = COLUMNS[field].source if field in COLUMNS else None
            if source is None and any(f in COLUMNS for f in one.fields):
                continue
            for user in one.ids:
                note_call(world, source or "profile", user, users)
    for source, called_for in users.items():
        keys = {key_of(world, source, user) for user in called_for}
        yield source, {key for key in keys if isinstance(key, str)}


def note_call(world: MergeWorld, source: str, user: str, users: Mapping[str, set[str]]) -> None:
    """Note that a source is called for a user, and so are its parents until one has the key."""
    users[source].add(user)
    for parent in origins(world.parents, source):
        note_call(world, parent, user, users)
        above = result_of(world, parent, user)
        key = None if not isinstance(above, Mapping) else cast("Any", above["keys"])[source]
        if isinstance(above, Failed) or (key is not None and key != ""):
            break
