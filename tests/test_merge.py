"""Random selections, ids and failing sources: the answer equals a plain reference merge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Gateway, Reply
from tests.fakes import (
    FakeServices,
    Row,
    account_row,
    activity_row,
    failing,
    profile_row,
    user_id,
)

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


@dataclass(frozen=True)
class World:
    """What the sources hold, and which of them fail.

    Attributes:
        rows: What each source has of each user, by source and user.
        down: The sources that fail.
        malformed: Users whose row at a source does not fit the contract, as (source, user).
    """

    rows: Mapping[str, Mapping[str, Row]]
    down: frozenset[str]
    malformed: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Asked:
    """One field of the query: its alias, the users, and what is selected of them."""

    alias: str
    ids: tuple[str, ...]
    fields: tuple[str, ...]
    many: bool


MAKERS = {"profile": profile_row, "billing": account_row, "activity": activity_row}


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Make worlds in which each source knows some users."""
    rows: dict[str, dict[str, Row]] = {}
    for source in SOURCES:
        known = draw(st.sets(st.sampled_from(USERS)))
        rows[source] = {user_id(n): MAKERS[source](n) for n in known}
    pairs = [(source, user) for source in SOURCES for user in rows[source]]
    return World(
        rows=rows,
        down=draw(st.frozensets(st.sampled_from(SOURCES))),
        malformed=draw(st.frozensets(st.sampled_from(pairs))) if pairs else frozenset(),
    )


@st.composite
def queries(draw: st.DrawFn) -> tuple[Asked, ...]:
    """Make queries of one to three fields."""
    ids = st.sampled_from([user_id(n) for n in (*USERS, 99)])
    fields = st.lists(st.sampled_from(["id", *COLUMNS]), min_size=1, unique=True).map(tuple)
    asked: list[Asked] = []
    for number in range(draw(st.integers(1, 3))):
        many = draw(st.booleans())
        chosen = draw(st.lists(ids, min_size=1, max_size=8 if many else 1).map(tuple))
        asked.append(Asked(f"f{number}", chosen, draw(fields), many))
    return tuple(asked)


def text_of(asked: tuple[Asked, ...]) -> str:
    """Write the query."""
    parts: list[str] = []
    for one in asked:
        selection = " ".join(COLUMNS[f].text if f in COLUMNS else f for f in one.fields)
        ids = ", ".join(f'"{one_id}"' for one_id in one.ids)
        call = f"users(ids: [{ids}])" if one.many else f"user(id: {ids})"
        parts.append(f"{one.alias}: {call} {{ {selection} }}")
    return "{ " + " ".join(parts) + " }"


def reference(world: World, asked: tuple[Asked, ...]) -> tuple[dict[str, Any], dict[str, str]]:
    """Merge plainly: the expected data, and the expected code by path."""
    data: dict[str, Any] = {}
    codes: dict[str, str] = {}
    for one in asked:
        sources = {COLUMNS[f].source for f in one.fields if f in COLUMNS} or {"profile"}
        merged: list[dict[str, Any] | None] = []
        for index, user in enumerate(one.ids):
            path = f"{one.alias}.{index}" if one.many else one.alias
            said = {source: say(world, source, user) for source in sources}
            if all(answer is None for answer in said.values()):
                merged.append(None)
            elif not any(f in COLUMNS for f in one.fields) and isinstance(said["profile"], str):
                merged.append(None)
                codes[path] = said["profile"]
            else:
                answer: dict[str, Any] = {}
                for field in one.fields:
                    if field == "id":
                        answer["id"] = user
                        continue
                    column = COLUMNS[field]
                    row = said[column.source]
                    if isinstance(row, str):
                        codes[f"{path}.{field}"] = row
                        answer[field] = None
                    elif row is None:
                        answer[field] = None
                    else:
                        value = row[column.key]
                        answer[field] = "ACTIVE" if field == "billingStatus" else value
                merged.append(answer)
        data[one.alias] = merged if one.many else merged[0]
    return data, codes


def say(world: World, source: str, user: str) -> Row | str | None:
    """What a source says of a user: a row, nothing, or the code of a failure."""
    if source in world.down:
        return "SOURCE_UNAVAILABLE"
    if (source, user) in world.malformed:
        return "SOURCE_MALFORMED"
    return world.rows[source].get(user)


def arrange(services: FakeServices, world: World) -> None:
    """Make the fakes be that world."""
    keys = {"profile": "id", "billing": "userId", "activity": "userId"}
    for source, service in services.by_name.items():
        service.rows = {
            # A row of which nothing but the key is left does not fit any contract.
            user: {keys[source]: user} if (source, user) in world.malformed else row
            for user, row in world.rows[source].items()
        }
        service.behaviour = failing(500) if source in world.down else None
        service.requests.clear()


@settings(
    max_examples=150,
    deadline=None,
    # The gateway keeps nothing between requests, so that all examples may share it.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(world=worlds(), asked=queries())
async def test_the_answer_equals_a_plain_merge_and_no_source_is_called_twice_or_in_vain(
    gateway: Gateway, services: FakeServices, world: World, asked: tuple[Asked, ...]
) -> None:
    arrange(services, world)

    reply: Reply = await gateway.query(text_of(asked))

    data, codes = reference(world, asked)
    assert reply.data == data
    assert dict(reply.codes) == codes
    needed = {
        COLUMNS[field].source if field in COLUMNS else None for one in asked for field in one.fields
    } - {None}
    if any(not any(f in COLUMNS for f in one.fields) for one in asked):
        needed.add("profile")
    assert dict(services.calls) == {source: int(source in needed) for source in SOURCES}
