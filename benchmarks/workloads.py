"""What is asked for, and in whose words."""

import json
from collections.abc import Sequence
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


class Dialect(StrEnum):
    """How a peer is asked."""

    FLAT = "flat"
    """GraphQL in which all fields are those of ``User``."""

    NESTED = "nested"
    """GraphQL with ``account`` and ``activity`` below ``User``."""

    REST = "rest"
    """``GET /user/{id}`` and ``GET /users?id=a&id=b``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A kind of request.

    Attributes:
        name: What it is called.
        title: What it is, in words.
        users: How many users it asks for.
        many: Whether it asks by ``users(ids)`` rather than ``user(id)``.
        sources: From which sources it asks all fields.
        door: How the upstream behaves meanwhile.
        beside: The workload whose cost in the same round it is compared with, if any.
    """

    name: str
    title: str
    users: int
    many: bool
    sources: tuple[str, ...] = SOURCES
    door: UpstreamDoor = UpstreamDoor.FAST
    beside: str | None = None

    @property
    def lost(self) -> frozenset[str]:
        """The sources that fail meanwhile."""
        return frozenset({"billing"} if self.door is UpstreamDoor.DOWN else ()) & {*self.sources}


W1: Final = Workload(name="W1", title="user, 1 source", users=1, many=False, sources=("profile",))
W2: Final = Workload(name="W2", title="user, 3 sources", users=1, many=False)
W3: Final = Workload(name="W3", title="users × 50, 3 sources", users=50, many=True)
W4: Final = Workload(
    name="W4", title="users × 50, 1 source", users=50, many=True, sources=("profile",)
)
W3_DOWN: Final = Workload(
    name="W3-down",
    title="users × 50, billing down",
    users=50,
    many=True,
    door=UpstreamDoor.DOWN,
    beside="W3",
)
W2_SLOW: Final = Workload(
    name="W2-slow", title="user, 3 slow sources", users=1, many=False, door=UpstreamDoor.SLOW
)
WORKLOADS: Final = (W1, W2, W3, W4, W3_DOWN, W2_SLOW)
USUAL: Final = (W1, W2, W3, W4, W3_DOWN)


def of_users(users: int, door: UpstreamDoor = UpstreamDoor.FAST) -> Workload:
    """Make the workload of a list of so many users, all fields."""
    return Workload(
        name=f"users-{users}", title=f"users × {users}", users=users, many=True, door=door
    )


_FIELDS = {
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


def document(workload: Workload, dialect: Dialect) -> str:
    """Write the GraphQL document of a workload."""
    fields = " ".join(["id", *(_FIELDS[dialect][source] for source in workload.sources)])
    if workload.many:
        return f"query($ids: [ID!]!){{users(ids:$ids){{{fields}}}}}"
    return f"query($id: ID!){{user(id:$id){{{fields}}}}}"


def request(workload: Workload, dialect: Dialect, ids: Sequence[str]) -> str:
    """Write one request of a workload.

    Returns:
        The body of a POST, or for REST the path with its query.
    """
    if dialect is Dialect.REST:
        asked = [] if workload.sources == SOURCES else [f"s={','.join(workload.sources)}"]
        if workload.many:
            return "/users?" + "&".join(chain((f"id={one}" for one in ids), asked))
        return "?".join([f"/user/{ids[0]}", *asked])
    variables = {"ids": list(ids)} if workload.many else {"id": ids[0]}
    body = {"query": document(workload, dialect), "variables": variables}
    return json.dumps(body, separators=(",", ":"))


def some_ids(workload: Workload, chance: Random, ids: Ids = Ids.RANDOM) -> list[str]:
    """Choose users for one request of a workload, each once."""
    return [user_id(number, ids) for number in chance.sample(range(1, USERS + 1), workload.users)]
