"""SCIM, Stripe and json-server, merged by the configuration of docs/sources/federated.md alone."""

import re
import subprocess
import sys
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.examples import scim, stripe, tracker
from tests.examples.conftest import OpenPage
from tests.examples.page import FOLDER, Page
from tests.examples.serving import clean_environment
from tests.examples.users import ACTIVITY, BILLING, PROFILE, Json, users_of

PAGE = Page("federated")
FIELDS = f"{PROFILE} {BILLING} {ACTIVITY}"


@dataclass(frozen=True)
class Services:
    """The three services.

    Attributes:
        directory: Knows who users are.
        books: Knows what they pay.
        tracker: Knows what they do.
    """

    directory: scim.Directory
    books: stripe.Books
    tracker: tracker.Tracker

    @property
    def variables(self) -> Mapping[str, str]:
        """What the gateway's environment has."""
        return {**self.directory.variables, **self.books.variables, **self.tracker.variables}

    def user(self, number: int) -> Json:
        """Tell what the gateway should say of a user, by what each server says of them."""
        customer = self.books.customers[number]
        return {
            **self.directory.profile(self.directory.ids[number]),
            "id": customer,
            **self.books.account(customer),
            **self.tracker.activity(customer),
        }


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Generator[Services]:
    """Run the three, and give them 20 users by their own ways of doing so."""
    with (
        stripe.stripe_server(tmp_path_factory.mktemp("stripe")) as stripe_client,
        scim.scim_server(tmp_path_factory.mktemp("scim")) as scim_client,
        tracker.json_server(tmp_path_factory.mktemp("json-server")) as tracker_client,
    ):
        customers = tuple(stripe.create(stripe_client, number) for number in range(20))
        ids = tuple(
            scim.create(scim_client, scim.person(number, externalId=customer))
            for number, customer in enumerate(customers)
        )
        for number, customer in enumerate(customers):
            tracker.create(tracker_client, customer, number)
        yield Services(
            scim.Directory(scim_client, ids),
            stripe.Books(stripe_client, customers),
            tracker.Tracker(tracker_client, customers),
        )


async def test_every_field_of_twenty_users_is_what_each_server_says(
    services: Services, open_page: OpenPage
) -> None:
    async with open_page(PAGE, services.variables) as gateway:
        users = await users_of(gateway, FIELDS, services.books.customers)

    assert users == [services.user(number) for number in range(20)]


def test_sources_check_finds_nothing_wrong(services: Services, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(PAGE.configuration, encoding="utf-8")
    check = ("sources", "check", "--config", "gateway.toml", "--ids", services.books.customers[1])

    run = subprocess.run(  # noqa: S603 # our own program
        (sys.executable, "-m", "app", *check),
        cwd=tmp_path,
        env=clean_environment({**services.variables, "PYTHONPATH": str(FOLDER.parents[1])}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    well = re.findall(r"(?m)^(\w+) +yes +yes +yes +1 of 1 ", run.stdout)
    assert well == ["profile", "billing", "activity"]
