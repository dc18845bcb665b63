"""SCIM, Stripe and json-server, merged by the configuration of docs/sources/federated.md."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import GatewayClient
from tests.examples import scim, stripe, tracker
from tests.examples.conftest import OpenPage
from tests.examples.page import FOLDER, ExamplePage
from tests.examples.serving import clean_environment
from tests.examples.users import ACTIVITY, BILLING, PROFILE, Json, users_of

PAGE = ExamplePage("federated")
FIELDS = f"{PROFILE} {BILLING} {ACTIVITY}"


@dataclass(frozen=True)
class Services:
    """The three services.

    Attributes:
        directory: The profiles: twenty users with a customer's id, then the others.
        stripe_fake: The customers and their payments.
        tracker: The events.
    """

    directory: scim.Directory
    stripe_fake: stripe.StripeFake
    tracker: tracker.Tracker

    @property
    def variables(self) -> Mapping[str, str]:
        """The variables of the gateway."""
        return {**self.directory.variables, **self.stripe_fake.variables, **self.tracker.variables}

    def user(self, number: int) -> Json:
        """Return the expected values of a user, from the responses of all servers."""
        user = self.directory.ids[number]
        return {
            **self.directory.profile(user),
            **self.stripe_fake.account(self.stripe_fake.customers[number]),
            **self.tracker.activity(user),
        }

    @property
    def unknown_to_stripe(self) -> Sequence[str]:
        """The users that Stripe does not know: without a customer's id, and with a wrong one."""
        return self.directory.ids[20:22]

    @property
    def found_by_mail(self) -> str:
        """The user without a customer's id whose mail address Stripe knows."""
        return self.directory.ids[22]

    @property
    def with_shared_mail(self) -> str:
        """The user without a customer's id whose mail address two customers have."""
        return self.directory.ids[23]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Generator[Services]:
    """Run the three services, and create 20 users by their own APIs."""
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
        gone = scim.person(21, externalId="cus_gone")
        others = (scim.person(20), gone, scim.person(22), scim.person(23))
        ids = (*ids, *(scim.create(scim_client, one) for one in others))
        found = stripe.create(stripe_client, 22, email="user-22@home.example")
        for number in (23, 24):
            stripe.create(stripe_client, number, email="user-23@work.example")
        for number, user in enumerate(ids[:20]):
            tracker.create(tracker_client, user, number)
        yield Services(
            scim.Directory(scim_client, ids),
            stripe.StripeFake(stripe_client, (*customers, found)),
            tracker.Tracker(tracker_client, ids),
        )


def calls(gateway: GatewayClient) -> Counter[tuple[str, int]]:
    """Count the calls to each source, by their number of users."""
    return Counter((one["source"], one["keys"]) for one in gateway.events("source.fetch"))


async def test_each_user_has_the_values_of_all_servers(
    services: Services, open_page: OpenPage
) -> None:
    async with open_page(PAGE, services.variables) as gateway:
        users = await users_of(gateway, FIELDS, services.directory.ids[:20])

    assert users == [services.user(number) for number in range(20)]
    assert calls(gateway) == {
        ("profile", 20): 1,
        ("billing.subscription", 1): 20,
        ("billing.customer", 1): 20,
        ("activity", 20): 1,
    }


async def test_billing_alone_is_called_with_keys_of_profile(
    services: Services, open_page: OpenPage
) -> None:
    async with open_page(PAGE, services.variables) as gateway:
        users = await users_of(gateway, BILLING, services.directory.ids[:20])

    customers = services.stripe_fake.customers[:20]
    assert users == [services.stripe_fake.account(customer) for customer in customers]
    assert calls(gateway) == {
        ("profile", 20): 1,
        ("billing.subscription", 1): 20,
        ("billing.customer", 1): 20,
    }


async def test_users_unknown_to_stripe_have_no_billing(
    services: Services, open_page: OpenPage
) -> None:
    async with open_page(PAGE, services.variables) as gateway:
        users = await users_of(gateway, "username plan loginCount", services.unknown_to_stripe)

    nothing = {"plan": None, "loginCount": 0}
    assert users == [{"username": "user-20", **nothing}, {"username": "user-21", **nothing}]
    assert calls(gateway) == {
        ("profile", 2): 1,
        ("billing.by_mail", 1): 1,
        ("billing.subscription", 1): 1,
        ("activity", 2): 1,
    }
    [warning] = gateway.events("source.unknown_keys")
    assert warning["source"] == "billing.subscription"


async def test_a_user_without_a_customer_s_id_is_found_by_mail_address(
    services: Services, open_page: OpenPage
) -> None:
    users = [services.directory.ids[1], services.found_by_mail]
    async with open_page(PAGE, services.variables) as gateway:
        found = await users_of(gateway, BILLING, users)

    customers = services.stripe_fake.customers
    assert found == [services.stripe_fake.account(customers[number]) for number in (1, 20)]
    assert calls(gateway) == {
        ("profile", 2): 1,
        ("billing.by_mail", 1): 1,
        ("billing.subscription", 1): 2,
        ("billing.customer", 1): 2,
    }


async def test_a_mail_address_of_two_customers_fails_billing_of_that_user(
    services: Services, open_page: OpenPage
) -> None:
    query = "query($ids: [ID!]!) { users(ids: $ids) { username plan } }"
    async with open_page(PAGE, services.variables) as gateway:
        reply = await gateway.query(query, ids=[services.found_by_mail, services.with_shared_mail])

    assert [one["username"] for one in reply.data["users"]] == ["user-22", "user-23"]
    assert [one["plan"] for one in reply.data["users"]] == ["basic", None]
    assert reply.codes == {"users.1.plan": "SOURCE_MALFORMED"}


def test_sources_check_passes(services: Services, tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(PAGE.configuration, encoding="utf-8")
    check = ("sources", "check", "--config", "gateway.toml", "--ids", services.directory.ids[1])

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
