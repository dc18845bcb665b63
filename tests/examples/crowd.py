"""Twenty users with gaps, and what the gateway should say of them, whatever service has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tests.conftest import GatewayClient
from tests.examples.users import Json, with_times

FIELDS = "id displayName email createdAt lastSeenAt loginCount events { id type occurredAt }"
NEWEST = 5
"""How many events of a user the pages have."""

MAX_CALLS = 8
"""How many calls to all services together 20 users may take."""

WITHOUT_MAIL, MALFORMED, DELETED, MISSING = 3, 7, 11, 19
"""Positions of the users who are not like the others."""

ERRORS: Mapping[str, str] = {f"users.{MALFORMED}.createdAt": "SOURCE_MALFORMED"}
"""The code of each error that a request for all users should get, by its path."""

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
COUNTS = (0, 3, 12, 1, 30)
"""How many events a user has, by the user's position."""


@dataclass(frozen=True)
class Event:
    """Something that a user did.

    Attributes:
        id: Its number; not in the order of time.
        user: Who did it.
        kind: What was done.
        at: When.
    """

    id: int
    user: str
    kind: str
    at: datetime

    @property
    def expected(self) -> Json:
        """What the gateway should say of it."""
        return {"id": str(self.id), "type": self.kind, "occurredAt": self.at}


@dataclass(frozen=True)
class Person:
    """A user.

    Attributes:
        id: Its id.
        number: Its position among all.
        events: What it did, in any order.
    """

    id: str
    number: int
    events: Sequence[Event]

    @property
    def name(self) -> str:
        """What others call it."""
        return f"Ünal {self.number}"

    @property
    def email(self) -> str | None:
        """Its mail address; one user has none."""
        return None if self.number == WITHOUT_MAIL else f"user{self.number}@example.com"

    @property
    def created(self) -> datetime | None:
        """When it signed up; of one user the service has no time, but another text."""
        return None if self.number == MALFORMED else START - timedelta(days=self.number + 1)

    @property
    def created_text(self) -> str:
        """The same as the service has it."""
        return "soon" if self.created is None else self.created.isoformat()

    @property
    def is_deleted(self) -> bool:
        """Whether it was deleted, although its events are still there."""
        return self.number == DELETED

    @property
    def is_missing(self) -> bool:
        """Whether it is none of the users, although there are events of it."""
        return self.number == MISSING

    @property
    def expected(self) -> Json | None:
        """What the gateway should say of it."""
        if self.is_deleted or self.is_missing:
            return None
        newest = sorted(self.events, key=lambda event: event.at, reverse=True)
        return {
            "id": self.id,
            "displayName": self.name,
            "email": self.email,
            "createdAt": self.created,
            "lastSeenAt": newest[0].at if newest else None,
            "loginCount": sum(event.kind == "login" for event in newest),
            "events": [event.expected for event in newest[:NEWEST]],
        }


def _events(user: str, number: int) -> Sequence[Event]:
    """Make what a user did, in another order than that of time."""
    count = COUNTS[number % len(COUNTS)]
    order = sorted(range(count), key=lambda index: index * 7 % 31)
    return [
        Event(
            id=number * 100 + place,
            user=user,
            kind="edited" if index % 3 else "login",
            at=START + timedelta(hours=index, minutes=number),
        )
        for place, index in enumerate(order)
    ]


def crowd(ids: Sequence[str] | None = None) -> Sequence[Person]:
    """Make 20 users.

    Args:
        ids: Their ids; UUIDs by default.

    Returns:
        The users.
    """
    named = ids or [str(UUID(int=number + 1)) for number in range(20)]
    return [Person(user, number, _events(user, number)) for number, user in enumerate(named)]


PEOPLE = crowd()
KNOWN = [person for person in PEOPLE if not person.is_missing]
EVENTS = sorted((event for person in PEOPLE for event in person.events), key=lambda one: one.kind)


async def ask(
    gateway: GatewayClient, ids: Sequence[str], fields: str = FIELDS
) -> tuple[Sequence[Json | None], Mapping[str, str]]:
    """Ask for users, some of whom may be damaged.

    Args:
        gateway: The gateway.
        ids: The users.
        fields: The fields of each.

    Returns:
        What the gateway says of each, and the code of each error by its path.
    """
    query = f"query($ids: [ID!]!) {{ users(ids: $ids) {{ {fields} }} }}"
    reply = await gateway.query(query, ids=ids)
    return with_times(reply.data["users"]), reply.codes


def calls(gateway: GatewayClient) -> Mapping[str, int]:
    """Count the calls to each source so far, each page of an answer as one."""
    sources = [str(one["source"]) for one in gateway.events("source.fetch")]
    return {source: sources.count(source) for source in sources}
