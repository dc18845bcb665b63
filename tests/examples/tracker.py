"""A json-server with events, and with users if there are any."""

import json
from collections.abc import Generator, Mapping, Sequence
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
    """A json-server with events, and the expected values of each user.

    Attributes:
        client: A client of it.
        ids: Its users.
    """

    client: httpx.Client
    ids: tuple[str, ...]

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables of the gateway."""
        return {"GATEWAY_SOURCES__ACTIVITY__BASE_URL": address_of(self.client)}

    def activity(self, user: str) -> Json:
        """Return the expected values of a user, from the server's response about this user."""
        newest = {"userId": user, "_sort": "at", "_order": "desc"}
        events = self.client.get("/events", params=newest).raise_for_status().json()
        return {
            "lastSeenAt": datetime.fromisoformat(events[0]["at"]) if events else None,
            "loginCount": sum(event["kind"] == "login" for event in events),
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
def json_server(folder: Path, **lists: Sequence[Json]) -> Generator[httpx.Client]:
    """Run a json-server; give a client of it.

    Args:
        folder: The folder for its file.
        lists: The lists in it, by their names; an empty list of events by default.

    Yields:
        The client.
    """
    node = node_with(FOLDER).node
    content = json.dumps({"events": [], **lists})
    (folder / "db.json").write_text(content, encoding="ascii")
    port = free_port()
    options = ("--host", "127.0.0.1", "--port", str(port), "db.json")
    with (
        program((*node, str(PROGRAM), *options), ready="/events", folder=folder),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        yield client


def create(client: httpx.Client, user: str, number: int) -> None:
    """Create the events of a user, in any order; every fifth user has none."""
    for index in (1, 3, 0, 2)[: number % 5]:
        at = (START + timedelta(hours=index, minutes=number)).isoformat()
        event = {"userId": user, "kind": "edited" if index % 2 else "login", "at": at}
        client.post("/events", json=event).raise_for_status()
