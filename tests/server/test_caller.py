"""The keys by which callers are counted: by address or by subject."""

import pytest
from starlette.types import Scope

from app.auth.policies import NOBODY, Caller
from app.server.rate_limit import UNKNOWN, by_address, by_subject, site_of


def scope(client: str | None, *forwarded: str) -> Scope:
    """Make a request from an address, with headers of proxies."""
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"type": "http", "headers": headers, "client": client and (client, 1234)}


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:443", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", UNKNOWN),
        ("unknown", UNKNOWN),
        ("_hidden", UNKNOWN),
        ("x" * 100_000, UNKNOWN),
    ],
)
def test_addresses_of_one_site_have_the_same_key(address: str, site: str) -> None:
    assert site_of(address) == site


def test_forwarded_headers_are_ignored_without_trusted_proxies() -> None:
    assert by_address(0)(scope("192.0.2.1", "203.0.113.9"), NOBODY) == "address:192.0.2.1"
    assert by_address(0)(scope(None), NOBODY) == f"address:{UNKNOWN}"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "caller"),
    [
        (1, ["203.0.113.9"], "203.0.113.9"),
        (1, ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (1, ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (2, ["198.51.100.1, 203.0.113.9, 192.0.2.7"], "203.0.113.9"),
        (2, ["203.0.113.9"], "192.0.2.1"),
        (1, [], UNKNOWN),
        (1, ["nonsense"], UNKNOWN),
    ],
)
def test_only_the_forwarded_address_of_the_trusted_proxies_is_used(
    proxies: int, forwarded: list[str], caller: str
) -> None:
    assert by_address(proxies)(scope("192.0.2.1", *forwarded), NOBODY) == f"address:{caller}"


def test_a_user_is_counted_by_subject_and_an_anonymous_caller_by_address() -> None:
    key_of = by_subject(0)
    user = Caller(subject="a")

    assert key_of(scope("192.0.2.1"), user) == key_of(scope("192.0.2.2"), user)
    assert key_of(scope("192.0.2.1"), NOBODY) == by_address(0)(scope("192.0.2.1"), NOBODY)


def test_subjects_and_addresses_have_different_keys() -> None:
    key_of = by_subject(0)
    long = "x" * 65
    digest = key_of(scope(None), Caller(subject=long))
    subjects = ["192.0.2.1", "address:192.0.2.1", long, long + "x", digest, digest.split(":")[1]]

    found = [key_of(scope("192.0.2.1"), Caller(subject=one)) for one in subjects]

    assert len({*found, key_of(scope("192.0.2.1"), NOBODY)}) == len(subjects) + 1


def test_the_key_of_a_long_subject_is_short() -> None:
    found = by_subject(0)(scope(None), Caller(subject="\U0001f600" * 8_000))

    assert len(found) < 80
