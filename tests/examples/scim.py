"""A SCIM server, scim2-server, with users."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx

from tests.examples.serving import address_of, free_port, installed, program, script
from tests.examples.users import Json

TOKEN = "scim-token"


@dataclass(frozen=True)
class Directory:
    """A SCIM server with users, and the expected values of each.

    Attributes:
        client: A client of it.
        ids: Its users.
    """

    client: httpx.Client
    ids: tuple[str, ...]

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables of the gateway."""
        return {"GATEWAY_SOURCES__PROFILE__BASE_URL": address_of(self.client), "SCIM_TOKEN": TOKEN}

    def profile(self, user: str) -> Json:
        """Return the expected values of a user, from the server's response about this user."""
        resource = self.client.get(f"/Users/{user}").raise_for_status().json()
        mails = sorted(resource["emails"], key=lambda mail: not mail.get("primary"))
        formatted = resource.get("name", {}).get("formatted")
        return {
            "id": user,
            "username": resource["userName"],
            "displayName": resource.get("displayName", formatted),
            "email": mails[0]["value"],
            "avatarUrl": next((one["value"] for one in resource.get("photos", [])), None),
            "locale": resource.get("locale"),
            "createdAt": datetime.fromisoformat(resource["meta"]["created"]),
        }


def person(number: int, **more: object) -> Json:
    """Write the request that creates a user; every third user has no optional values."""
    name = f"user-{number}"
    mails: list[Json] = [{"value": f"{name}@home.example", "type": "home"}]
    if number % 2:
        mails.append({"value": f"{name}@work.example", "type": "work", "primary": True})
    resource: dict[str, object] = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": name,
        "name": {"formatted": f"Ünal {number}"},
        "emails": mails,
        **more,
    }
    if number % 3:
        resource["displayName"] = f"User №{number}"
        resource["locale"] = "de-AT"
        resource["photos"] = [{"value": f"https://cdn.example.com/{number}.png", "type": "photo"}]
    return resource


@contextmanager
def scim_server(folder: Path) -> Generator[httpx.Client]:
    """Run a SCIM server without users; give a client of it."""
    installed("scim2_server")
    port = free_port()
    command = [script("scim2-server"), "--port", str(port), "--bearer-token", TOKEN]
    with (
        program(command, ready="Serving SCIM", folder=folder),
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}/v2",
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/scim+json"},
            trust_env=False,
        ) as client,
    ):
        yield client


def create(client: httpx.Client, resource: Json) -> str:
    """Create a user, and return its id."""
    answer: Json = client.post("/Users", json=resource).raise_for_status().json()
    user: str = answer["id"]
    return user
