"""What is asked for, and in whose words."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from random import Random
from typing import Final

from benchmarks.users import USERS, Ids, user_id

SOURCES: Final = ("profile", "billing", "activity")


class UpstreamDoor(StrEnum):
    """Through which address the upstream is asked, and so how it behaves."""

    FAST = "fast"
    """It answers at once."""

    SLOW = "slow"
    """Each source waits before it answers."""

    DOWN = "down"
    """Billing answers 503, the others at once."""

    FOREIGN = "foreign"
    """It answers at once, with rows that are not those of the default contract."""

    CACHED = "cached"
    """It answers at once, and its answers may be kept: peers that have a cache use it."""


class Dialect(StrEnum):
    """How a peer is asked."""

    FLAT = "flat"
    """GraphQL in which all fields are those of ``User``."""

    NESTED = "nested"
    """GraphQL with ``account`` and ``activity`` below ``User``."""

    REST = "rest"
    """``GET /user/{id}`` and ``GET /users?id=a&id=b``."""


class Root(StrEnum):
    """By which root field users are asked for."""

    ONE = "user"
    MANY = "users"
    ENTITIES = "_entities"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A kind of request.

    Attributes:
        name: What it is called.
        title: What it is, in words.
        root: The root field that it asks.
        users: How many users it asks for.
        unknown: How many of these no source knows.
        sources: From which sources it asks all fields.
        invoices: How many invoices of each user it asks for.
        deferred: The source whose fields are in a ``@defer``, if any.
        on_error: What it says in ``onError``, if anything.
        door: How the upstream behaves meanwhile.
        beside: The workload whose cost in the same round it is compared with, if any.
    """

    name: str
    title: str
    root: Root = Root.MANY
    users: int = 50
    unknown: int = 0
    sources: tuple[str, ...] = SOURCES
    invoices: int = 0
    deferred: str | None = None
    on_error: str | None = None
    door: UpstreamDoor = UpstreamDoor.FAST
    beside: str | None = None

    @property
    def lost(self) -> frozenset[str]:
        """The sources that fail meanwhile."""
        return frozenset({"billing"} if self.door is UpstreamDoor.DOWN else ()) & {*self.sources}

    @property
    def media_type(self) -> str:
        """What a client of it accepts."""
        return "multipart/mixed, application/json" if self.deferred else "application/json"


PROFILE: Final = ("profile",)
W1: Final = Workload(name="W1", title="user, 1 source", root=Root.ONE, users=1, sources=PROFILE)
W2: Final = Workload(name="W2", title="user, 3 sources", root=Root.ONE, users=1)
W3: Final = Workload(name="W3", title="users × 50, 3 sources")
W4: Final = Workload(name="W4", title="users × 50, 1 source", sources=PROFILE)
W3_DOWN: Final = Workload(
    name="W3-down", title="users × 50, billing down", door=UpstreamDoor.DOWN, beside="W3"
)
W2_SLOW: Final = Workload(
    name="W2-slow", title="user, 3 slow sources", root=Root.ONE, users=1, door=UpstreamDoor.SLOW
)
W6: Final = Workload(name="W6", title="_entities × 50, 3 sources", root=Root.ENTITIES, beside="W3")
W7: Final = Workload(name="W7", title="users × 50, 3 invoices of each", sources=PROFILE, invoices=3)
W8: Final = Workload(name="W8", title="W3, onError: PROPAGATE", on_error="PROPAGATE", beside="W3")
W9: Final = Workload(
    name="W9", title="W3, mapped by expressions", door=UpstreamDoor.FOREIGN, beside="W3"
)
W10: Final = Workload(name="W10", title="W3, billing deferred", deferred="billing", beside="W3")
W11: Final = Workload(name="W11", title="W3, from the cache", door=UpstreamDoor.CACHED, beside="W3")
W12: Final = Workload(name="W12", title="W3, 5 users unknown", unknown=5, beside="W3")
EVERYDAY: Final = (W1, W2, W3, W4, W3_DOWN)
USUAL: Final = (*EVERYDAY, W6, W7, W8, W9, W10, W11, W12)
WORKLOADS: Final = (*USUAL, W2_SLOW)


def names_of(*workloads: Workload) -> frozenset[str]:
    """Tell what workloads are called."""
    return frozenset(one.name for one in workloads)


def of_users(users: int, door: UpstreamDoor = UpstreamDoor.FAST) -> Workload:
    """Make the workload of a list of so many users, all fields."""
    return Workload(name=f"users-{users}", title=f"users × {users}", users=users, door=door)


_FIELDS: Final[Mapping[Dialect, Mapping[str, str]]] = {
    Dialect.FLAT: {
        "profile": "username displayName email avatarUrl locale createdAt",
        "billing": "plan billingStatus balance{amount currency} renewsAt",
        "activity": "lastSeenAt loginCount events{id type occurredAt}",
    },
    Dialect.NESTED: {
        "profile": "username displayName email avatarUrl locale createdAt",
        "billing": "account{plan billingStatus:status balance{amount currency} renewsAt}",
        "activity": "activity{lastSeenAt loginCount events{id type occurredAt}}",
    },
}


_INVOICES: Final = (
    "invoices(first:%d){edges{node{id number status issuedAt total{amount currency}}}"
    " pageInfo{hasNextPage}}"
)
_ROOTS: Final[Mapping[Root, str]] = {
    Root.ONE: "query($id: ID!){user(id:$id){%s}}",
    Root.MANY: "query($ids: [ID!]!){users(ids:$ids){%s}}",
    Root.ENTITIES: "query($of: [_Any!]!){_entities(representations:$of){...on User{%s}}}",
}


def document(workload: Workload, dialect: Dialect) -> str:
    """Write the GraphQL document of a workload."""
    fields = ["id"]
    for source in workload.sources:
        text = _FIELDS[dialect][source]
        fields.append(f"...@defer{{{text}}}" if source == workload.deferred else text)
    if workload.invoices:
        fields.append(_INVOICES % workload.invoices)
    return _ROOTS[workload.root] % " ".join(fields)


def request(workload: Workload, dialect: Dialect, ids: Sequence[str]) -> str:
    """Write one request of a workload.

    Returns:
        The body of a POST, or for REST the path with its query.
    """
    if dialect is Dialect.REST:
        return _path(workload, ids)
    body: dict[str, object] = {
        "query": document(workload, dialect),
        "variables": _variables(workload, ids),
    }
    if workload.on_error:
        body["onError"] = workload.on_error
    return json.dumps(body, separators=(",", ":"))


def _path(workload: Workload, ids: Sequence[str]) -> str:
    """Write the path of a request in REST."""
    asked = [] if workload.sources == SOURCES else [f"s={','.join(workload.sources)}"]
    if workload.invoices:
        asked.append(f"invoices={workload.invoices}")
    if workload.root is Root.ONE:
        return "?".join([f"/user/{ids[0]}", *asked])
    return "/users?" + "&".join(chain((f"id={one}" for one in ids), asked))


def _variables(workload: Workload, ids: Sequence[str]) -> Mapping[str, object]:
    """Name the users of a request in GraphQL."""
    if workload.root is Root.ONE:
        return {"id": ids[0]}
    if workload.root is Root.MANY:
        return {"ids": list(ids)}
    return {"of": [{"__typename": "User", "id": one} for one in ids]}


def some_ids(workload: Workload, chance: Random, ids: Ids = Ids.RANDOM) -> list[str]:
    """Choose users for one request of a workload, each once; no source knows some of them."""
    numbers = chance.sample(range(1, USERS + 1), workload.users - workload.unknown)
    if workload.unknown:
        numbers += chance.sample(range(USERS + 1, 2 * USERS + 1), workload.unknown)
        chance.shuffle(numbers)
    return [user_id(number, ids) for number in numbers]
