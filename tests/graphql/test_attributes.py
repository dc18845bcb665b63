"""Which fields of a record a getter reads, found in its code."""

from collections.abc import Callable
from typing import Any

import pytest

from app.graphql.attributes import attributes_read
from app.graphql.resolvers import latest_events
from app.graphql.schema import build_schema
from app.graphql.values import BillingStatus


def first_of(record: Any) -> object:  # noqa: ANN401 # a record
    """Read by a function of more than one line."""
    if record.first is not None:
        return record.first.name
    for one in record.others:
        return one
    return record.last


KNOWN: list[tuple[Callable[[Any], object], set[str]]] = [
    (lambda a: a.status, {"status"}),
    (lambda a: BillingStatus.of(a.status), {"status"}),
    (lambda a: a.balance.amount if a.status == "active" else None, {"balance", "status"}),
    (lambda a: a.name or a.nickname, {"name", "nickname"}),
    (lambda a: [one.id for one in a.events], {"events"}),
    (lambda _: "constant", set[str]()),
    (latest_events({"first": 2}), {"events"}),
    (first_of, {"first", "others", "last"}),
]


@pytest.mark.parametrize(("get", "names"), KNOWN)
def test_the_attributes_on_every_branch_are_found(
    get: Callable[[Any], object], names: set[str]
) -> None:
    found = attributes_read(get)

    assert found is not None
    assert set(found) == names


def kept(record: Any) -> object:  # noqa: ANN401 # a record
    """Read by another name."""
    other = record
    return other.name


def more(record: Any, other: object = None) -> object:  # noqa: ANN401 # a record
    """Take a second argument."""
    return record.name if other is None else other


def many(*records: Any) -> object:  # noqa: ANN401 # records
    """Take any number of them."""
    return records[0].name


UNKNOWN: list[Callable[[Any], object]] = [
    lambda a: a,
    lambda a: [a],
    lambda a: getattr(a, "name"),  # noqa: B009 # on purpose
    lambda a: lambda: a.name,
    lambda a: a["name"],
    lambda a: (a.name, a),
    more,
    many,
    kept,
    len,
]


@pytest.mark.parametrize("get", UNKNOWN)
def test_whatever_else_is_done_with_the_record_nothing_is_known(
    get: Callable[[Any], object],
) -> None:
    assert attributes_read(get) is None


def test_the_fields_of_the_schema_are_all_known() -> None:
    assert {name: set(one.fields) for name, one in build_schema().readings.items()} == {
        "username": {"username"},
        "displayName": {"display_name"},
        "email": {"email"},
        "avatarUrl": {"avatar_url"},
        "locale": {"locale"},
        "createdAt": {"created_at"},
        "plan": {"plan"},
        "billingStatus": {"status"},
        "balance": {"balance"},
        "renewsAt": {"renews_at"},
        "invoices": set(),
        "lastSeenAt": {"last_seen_at"},
        "loginCount": {"login_count"},
        "events": {"events"},
    }
