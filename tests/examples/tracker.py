"""A json-server with users and events."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from tests.examples.serving import address_of, free_port, program
from tests.examples.users import Json
from tests.npm import node_with

FOLDER = Path(__file__).parent / "json_server"
PROGRAM = FOLDER / "node_modules/json-server/lib/cli/bin.js"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Tracker:
    """A json-server with users and events, and what it says of each user.

    Attributes:
        client: Asks it.
        ids: Its users.
    """

    client: httpx.Client
    ids: tuple[str, ...]

    @property
    def variables(self) -> Mapping[str, str]:
        """What the gateway's environment has."""
        return {"GATEWAY_SOURCES__ACTIVITY__BASE_URL": address_of(self.client)}

    def activity(self, user: str) -> Json:
        """Tell what the gateway should say of a user, by what the server says of them alone."""
        found: Json = self.client.get(f"/users/{user}").raise_for_status().json()
        newest = {"userId": user, "_sort": "at", "_order": "desc"}
        events = self.client.get("/events", params=newest).raise_for_status().json()
        seen = found.get("lastSeen")
        return {
            "lastSeenAt": None if seen is None else datetime.fromtimestamp(seen / 1000, UTC),
            "loginCount": int(found.get("logins", 0)),
            "events": [
                {
                    "id": str(event["id"]),
                    "type": event["kind"],
                    "occurredAt": datetime.fromisoformat(event["at"]),
                }
                for event in events
            ],
        }


@contextmanager
def json_server(folder: Path) -> Generator[httpx.Client]:
    """Run a json-server over two empty lists, and give a client of it."""
    node = node_with(FOLDER).node
    (folder / "db.json").write_text('{"users": [], "events": []}', encoding="ascii")
    port = free_port()
    options = ("--host", "127.0.0.1", "--port", str(port), "db.json")
    with (
        program((*node, str(PROGRAM), *options), ready="/users", folder=folder),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


def create(client: httpx.Client, user: str, number: int) -> None:
    """Create a user: every third has never been seen, and each has some events in any order."""
    seen = START + timedelta(days=number, milliseconds=number)
    row: Json = {"lastSeen": round(seen.timestamp() * 1000), "logins": str(number * 7)}
    client.post("/users", json={"id": user, **(row if number % 3 else {})}).raise_for_status()
    for index in (1, 3, 0, 2)[: number % 5]:
        at = (START + timedelta(hours=index)).isoformat()
        event = {"userId": user, "kind": f"did-{index}", "at": at}
        client.post("/events", json=event).raise_for_status()
