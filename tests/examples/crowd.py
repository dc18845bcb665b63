"""Twenty users with missing values, and the expected responses of the gateway about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tests.conftest import GatewayClient
from tests.examples.users import Json, with_times

FIELDS = "id displayName email createdAt lastSeenAt loginCount events { id type occurredAt }"
NEWEST = 5
"""The number of events of a user in the configurations of the pages."""

MAX_CALLS = 8
"""The greatest number of calls to all services for 20 users."""

WITHOUT_MAIL, MALFORMED, DELETED, MISSING = 3, 7, 11, 19
"""Positions of the users with missing or wrong values."""

ERRORS: Mapping[str, str] = {f"users.{MALFORMED}.createdAt": "SOURCE_MALFORMED"}
"""The expected errors of a request for all users: codes by path."""

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
COUNTS = (0, 3, 12, 1, 30)
"""The number of events of a user, by the user's position."""


@dataclass(frozen=True)
class Event:
    """An event of a user.

    Attributes:
        id: Its number; numbers are not in the order of time.
        user: The id of the user.
        kind: The type of the event.
        at: Its time.
    """

    id: int
    user: str
    kind: str
    at: datetime

    @property
    def expected(self) -> Json:
        """The expected value in the response of the gateway."""
        return {"id": str(self.id), "type": self.kind, "occurredAt": self.at}


@dataclass(frozen=True)
class Person:
    """A user.

    Attributes:
        id: Its id.
        number: Its position among all users.
        events: Its events, in any order.
    """

    id: str
    number: int
    events: Sequence[Event]

    @property
    def name(self) -> str:
        """The name that others see."""
        return f"Ünal {self.number}"

    @property
    def email(self) -> str | None:
        """Its mail address; one user has none."""
        return None if self.number == WITHOUT_MAIL else f"user{self.number}@example.com"

    @property
    def created(self) -> datetime | None:
        """The time of sign-up; for one user the service has a text that is not a time."""
        return None if self.number == MALFORMED else START - timedelta(days=self.number + 1)

    @property
    def created_text(self) -> str:
        """The time of sign-up as text, in the form of the service."""
        return "soon" if self.created is None else self.created.isoformat()

    @property
    def is_deleted(self) -> bool:
        """Whether the user was deleted; its events still exist."""
        return self.number == DELETED

    @property
    def is_missing(self) -> bool:
        """Whether the user does not exist, although it has events."""
        return self.number == MISSING

    @property
    def expected(self) -> Json | None:
        """The expected value in the response of the gateway."""
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
    """Make the events of a user, not in the order of time."""
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


async def query_users(
    gateway: GatewayClient, ids: Sequence[str], fields: str = FIELDS
) -> tuple[Sequence[Json | None], Mapping[str, str]]:
    """Query users, some of which may have errors.

    Args:
        gateway: The gateway.
        ids: The users.
        fields: The fields of each.

    Returns:
        The users in the response, and the code of each error by its path.
    """
    query = f"query($ids: [ID!]!) {{ users(ids: $ids) {{ {fields} }} }}"
    reply = await gateway.query(query, ids=ids)
    return with_times(reply.data["users"]), reply.codes


def calls(gateway: GatewayClient) -> Mapping[str, int]:
    """Count the calls to each source so far; each page of a response is a call."""
    sources = [str(one["source"]) for one in gateway.events("source.fetch")]
    return {source: sources.count(source) for source in sources}
