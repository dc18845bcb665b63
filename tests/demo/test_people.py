"""The users of the demo: always the same, and different enough to show all features."""

from datetime import timedelta
from hashlib import sha256

import pytest

from app.demo.database import DATA_VERSION
from app.demo.people import NOW, AccountRow, Person, SummaryRow, people, user_id


@pytest.fixture(scope="module")
def everyone() -> tuple[Person, ...]:
    """All users."""
    return tuple(people())


@pytest.fixture(scope="module")
def accounts(everyone: tuple[Person, ...]) -> tuple[AccountRow, ...]:
    """All accounts."""
    return tuple(person.account for person in everyone if person.account)


@pytest.fixture(scope="module")
def summaries(everyone: tuple[Person, ...]) -> tuple[SummaryRow, ...]:
    """All summaries."""
    return tuple(person.summary for person in everyone if person.summary)


def test_the_data_of_a_version_never_changes(everyone: tuple[Person, ...]) -> None:
    # If this fails, existing data folders have other data: raise DATA_VERSION.
    rows = (
        row
        for person in everyone
        for row in (person.user, person.account, *person.invoices, person.summary)
        if row
    )
    digest = sha256("\n".join(row.model_dump_json() for row in rows).encode()).hexdigest()
    assert (DATA_VERSION, digest[:16]) == (1, "ac264071db4ba3d2")


def test_ids_run_from_1_to_1000(everyone: tuple[Person, ...]) -> None:
    ids = [person.user.id for person in everyone]
    assert ids == [f"00000000-0000-4000-8000-{n:012d}" for n in range(1, 1001)]
    assert ids[0] == user_id(1)


def test_usernames_are_unique_and_plain(everyone: tuple[Person, ...]) -> None:
    usernames = [person.user.username for person in everyone]
    assert len(set(usernames)) == 1000
    assert all(name.isascii() and name == name.lower() and len(name) > 2 for name in usernames)


def test_names_are_unique_and_not_only_latin(everyone: tuple[Person, ...]) -> None:
    names = {person.user.display_name for person in everyone}
    assert len(names) == 1000
    assert sum(not name.isascii() for name in names) > 400


def test_emails_have_reserved_domains(everyone: tuple[Person, ...]) -> None:
    domains = {person.user.email.partition("@")[2] for person in everyone}
    assert domains == {"example.com", "example.org", "example.net"}


def test_some_users_have_no_avatar_or_locale(everyone: tuple[Person, ...]) -> None:
    assert 100 < sum(person.user.avatar_url is None for person in everyone) < 300
    assert 50 < sum(person.user.locale is None for person in everyone) < 150


def test_every_17th_user_has_no_account_and_every_23rd_no_activity(
    everyone: tuple[Person, ...],
) -> None:
    without_account = [n for n, person in enumerate(everyone, 1) if person.account is None]
    without_activity = [n for n, person in enumerate(everyone, 1) if person.summary is None]
    assert without_account == list(range(17, 1001, 17))
    assert without_activity == list(range(23, 1001, 23))
    assert all(not everyone[n - 1].invoices for n in without_account)


def test_the_first_user_has_all_values(everyone: tuple[Person, ...]) -> None:
    first = everyone[0]
    assert first.user.avatar_url
    assert first.user.locale
    assert first.account
    assert first.account.renews_at
    assert len(first.invoices) == 48
    assert first.summary
    assert first.summary.last_seen_at
    assert len(first.summary.events) == 20


def test_statuses_are_those_of_the_contract_and_one_unknown_status(
    accounts: tuple[AccountRow, ...],
) -> None:
    statuses = [account.status for account in accounts]
    known = {"active", "trialing", "past_due", "cancelled", "canceled"}
    assert set(statuses) == known | {"paused"}
    assert statuses.count("paused") == 2


def test_balances_have_many_currencies_and_are_sometimes_negative(
    accounts: tuple[AccountRow, ...],
) -> None:
    currencies = {account.balance.currency for account in accounts}
    assert {"JPY", "USD", "EUR", "KWD"} < currencies  # with 0, 2, 2 and 3 decimals
    assert all(len(code) == 3 and code.isupper() for code in currencies)
    assert 50 < sum(account.balance.amount < 0 for account in accounts) < 300


def test_some_plans_renew_in_the_future(accounts: tuple[AccountRow, ...]) -> None:
    renewals = [account.renews_at for account in accounts]
    assert 200 < sum(renews is None for renews in renewals) < 500
    assert all(NOW < renews < NOW + timedelta(days=31) for renews in renewals if renews)


def test_invoices_are_dated_between_sign_up_and_now(everyone: tuple[Person, ...]) -> None:
    for person in everyone:
        issued = [invoice.issued_at for invoice in person.invoices]
        assert issued == sorted(set(issued))
        assert all(person.user.created_at < moment < NOW for moment in issued)


def test_users_have_0_to_60_invoices_and_many_have_a_second_page(
    everyone: tuple[Person, ...],
) -> None:
    counts = [len(person.invoices) for person in everyone]
    assert (min(counts), max(counts)) == (0, 60)
    assert sum(count > 20 for count in counts) > 200


def test_invoice_ids_and_numbers_are_unique(everyone: tuple[Person, ...]) -> None:
    invoices = [invoice for person in everyone for invoice in person.invoices]
    assert len({invoice.id for invoice in invoices}) == len(invoices)
    assert len({invoice.number for invoice in invoices}) == len(invoices)


def test_events_are_newest_first_and_start_with_the_last_sign_in(
    summaries: tuple[SummaryRow, ...],
) -> None:
    for summary in summaries:
        moments = [event.occurred_at for event in summary.events]
        assert moments == sorted(set(moments), reverse=True)
        assert summary.last_seen_at == (moments[0] if moments else None)
        assert summary.login_count >= len(moments)
    assert any(summary.last_seen_at is None for summary in summaries)
    assert max(len(summary.events) for summary in summaries) == 20
