"""The demo's User as a configuration file, examples/demo, over the demo's services.

The end-to-end tests of the demo in tests/cli/test_end_to_end.py run with it too, and the tests of
the promises by ``BY_FILE`` of tests/ways.py.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
import pytest
from click.testing import CliRunner

from app.cli import main
from app.demo.people import user_id
from app.demo.services import demo_services
from tests.demo_data import demo_data
from tests.examples.conftest import OpenPage
from tests.examples.page import FOLDER as PAGES
from tests.examples.page import ExampleFolder
from tests.examples.serving import serving
from tests.examples.users import ACTIVITY, BILLING, PROFILE, Json, users_of, with_times

FOLDER = ExampleFolder("demo")
IDS = [user_id(number) for number in range(1, 21)]
NAMES = {"status": "billingStatus"}
WORDS = {
    "active": "ACTIVE",
    "trialing": "TRIALING",
    "past_due": "PAST_DUE",
    "cancelled": "CANCELLED",
    "paused": "UNKNOWN",
}


@dataclass(frozen=True)
class DemoSources:
    """The demo's services.

    Attributes:
        addresses: The address of each.
    """

    addresses: Mapping[str, str]

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables of the gateway."""
        return {
            f"GATEWAY_SOURCES__{name.upper()}__BASE_URL": address
            for name, address in self.addresses.items()
        }

    async def user(self, user: str) -> Json:
        """Return the expected values of a user, from the responses of all services."""
        found: dict[str, object] = {}
        async with httpx.AsyncClient(trust_env=False) as client:
            for name, path in PATHS.items():
                url = f"{self.addresses[name]}{path.format(user)}"
                rows: list[Json] = (await client.get(url)).raise_for_status().json()
                found |= {NAMES.get(key, key): one for row in rows for key, one in row.items()}
        word = found.get("billingStatus")
        found["billingStatus"] = None if word is None else WORDS.get(str(word), "UNKNOWN")
        return {name: found.get(name) for name in NAMES_OF_FIELDS}


PATHS = {
    "profile": "/users?id={}",
    "billing": "/accounts?userId={}",
    "activity": "/summaries?userId={}",
}
NAMES_OF_FIELDS = (
    *("id", "username", "displayName", "email", "avatarUrl", "locale", "createdAt"),
    *("plan", "billingStatus", "balance", "renewsAt", "lastSeenAt", "loginCount", "events"),
)


@pytest.fixture
async def services() -> AsyncGenerator[DemoSources]:
    """Run the three services."""
    async with AsyncExitStack() as stack:
        made = stack.enter_context(demo_services(demo_data()))
        served = {"profile": made.profile, "billing": made.billing, "activity": made.activity}
        yield DemoSources(
            {
                name: await stack.enter_async_context(serving(name, one))
                for name, one in served.items()
            }
        )


def test_the_file_gives_exactly_the_default_schema() -> None:
    arguments = ["schema", "print", "--config", str(FOLDER.path / "gateway.toml")]
    printed = CliRunner().invoke(main, arguments)

    exported = (PAGES.parents[1] / "schema.graphql").read_text(encoding="utf-8")
    assert printed.exit_code == 0
    assert printed.output == exported


async def test_each_user_has_the_values_of_the_services(
    services: DemoSources, open_page: OpenPage
) -> None:
    async with open_page(FOLDER, services.variables) as gateway:
        users = await users_of(gateway, f"{PROFILE} {BILLING} {ACTIVITY}", IDS)
        calls = Counter(str(event["source"]) for event in gateway.events("source.fetch"))

    expected = [with_times(await services.user(user)) for user in IDS]
    assert users == expected
    assert {one["billingStatus"] for one in expected} == {*WORDS.values(), None}
    assert calls == {"profile": 1, "billing": 1, "activity": 1}


async def test_the_query_of_the_page_gets_the_response_of_the_page(
    services: DemoSources, open_page: OpenPage
) -> None:
    async with open_page(FOLDER, services.variables) as gateway:
        reply = await gateway.query(FOLDER.query)

    assert reply.body == FOLDER.answer
