"""The private contracts: the rows of each service."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from app.sources.base import MAX_INT, MAX_SAFE_INTEGER, Record
from app.sources.records import (
    AccountRecord,
    ActivityRecord,
    EventRecord,
    InvoiceRecord,
    MoneyRecord,
    ProfileRecord,
)
from tests.fakes import Row, account_row, activity_row, event, invoice, profile_row, user_id

CONTRACTS: Sequence[tuple[type[Record], Row, Collection[str]]] = (
    (ProfileRecord, profile_row(1), profile_row(1).keys() - {"id"}),
    (AccountRecord, account_row(1), account_row(1).keys() - {"userId"}),
    (ActivityRecord, activity_row(1), activity_row(1).keys() - {"userId"}),
    (EventRecord, event(1), frozenset()),
    (InvoiceRecord, invoice(1), frozenset()),
    (MoneyRecord, {"amount": 1, "currency": "EUR"}, frozenset()),
)

FIELDS = [
    pytest.param(record, row, name, name in optional, id=f"{record.__name__}.{name}")
    for record, row, optional in CONTRACTS
    for name in row
]

TIMES = [
    pytest.param(record, row, name, id=f"{record.__name__}.{name}")
    for record, row, _ in CONTRACTS
    for name in row
    if name.endswith("At")
]


def parse(record: type[Record], row: object) -> Record:
    """Read a row from JSON text."""
    return record.model_validate_json(json.dumps(row))


def fits(record: type[Record], row: object) -> bool:
    """Return whether a row fits its contract."""
    try:
        parse(record, row)
    except ValidationError:
        return False
    return True


def test_a_row_of_profile_gives_all_fields_of_its_record() -> None:
    assert parse(ProfileRecord, profile_row(1)).model_dump(exclude_unset=True) == {
        "id": user_id(1),
        "username": "user1",
        "display_name": "User 1",
        "email": "user1@example.com",
        "avatar_url": "https://cdn.example.com/1.png",
        "locale": "de-AT",
        "created_at": datetime(2024, 2, 29, 12, tzinfo=UTC),
    }


def test_a_row_of_billing_gives_all_fields_of_its_record() -> None:
    assert parse(AccountRecord, account_row(1)).model_dump(exclude_unset=True) == {
        "user_id": user_id(1),
        "plan": "pro",
        "status": "active",
        "balance": {"amount": 100, "currency": "EUR"},
        "renews_at": datetime(2026, 12, 1, tzinfo=UTC),
    }


def test_a_row_of_activity_gives_all_fields_of_its_record() -> None:
    at = datetime(2026, 5, 2, 8, tzinfo=UTC)

    assert parse(ActivityRecord, activity_row(1, events=[event(2)])).model_dump(
        exclude_unset=True
    ) == {
        "user_id": user_id(1),
        "last_seen_at": datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC),
        "login_count": 1,
        "events": ({"id": "e2", "type": "login", "occurred_at": at},),
    }


@pytest.mark.parametrize(("record", "row", "name", "optional"), FIELDS)
def test_only_the_key_and_fields_of_nested_objects_are_required(
    record: type[Record], row: Row, name: str, *, optional: bool
) -> None:
    missing = {key: value for key, value in row.items() if key != name}

    assert fits(record, row)
    assert fits(record, missing) is optional
    assert fits(record, {**row, name: None}) is optional
    if optional:
        assert parse(record, missing) == parse(record, {**row, name: None})


@pytest.mark.parametrize(("record", "row", "name", "optional"), FIELDS)
def test_a_value_of_another_type_is_refused(
    record: type[Record], row: Row, name: str, *, optional: bool
) -> None:
    del optional
    others: Sequence[object] = ("a", 7, True)
    if isinstance(row[name], str):
        others = (7, True, ["a"], {"a": "a"})
    elif isinstance(row[name], int):
        others = ("7", 7.5, True, [7])

    assert not [other for other in others if fits(record, {**row, name: other})]


@pytest.mark.parametrize(("record", "row", "optional"), CONTRACTS)
def test_a_row_has_to_use_the_names_of_the_contract(
    record: type[Record], row: Row, optional: frozenset[str]
) -> None:
    python = {field.alias: name for name, field in record.model_fields.items()}
    renamed = {python[name]: value for name, value in row.items()}

    assert set(row) <= set(python)
    assert fits(record, renamed) is (set(row) - optional <= set(renamed))


@pytest.mark.parametrize(("record", "row", "name"), TIMES)
@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-29T12:00:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("2024-02-29T12:00:00.25Z", datetime(2024, 2, 29, 12, 0, 0, 250_000, tzinfo=UTC)),
        (
            "2024-02-29T12:00:00+05:30",
            datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        ),
        ("2024-02-29t12:00:00z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_with_its_offset(
    record: type[Record], row: Row, name: str, text: str, moment: datetime
) -> None:
    parsed = parse(record, {**row, name: text}).model_dump(by_alias=True)[name]

    assert parsed == moment
    assert parsed.utcoffset() == moment.utcoffset()


@pytest.mark.parametrize(("record", "row", "name"), TIMES)
@pytest.mark.parametrize(
    "value",
    [
        "2024-02-29T12:00:00",
        "2024-02-29",
        "12:00:00Z",
        "2023-02-29T12:00:00Z",
        "2024-02-29T25:00:00Z",
        "2024-02-29T12:00:00+25:00",
        "20240229T120000Z",
        "yesterday",
        "",
        1_709_208_000,
        1_709_208_000.5,
    ],
)
def test_a_value_that_is_not_an_rfc_3339_time_with_offset_is_refused(
    record: type[Record], row: Row, name: str, value: object
) -> None:
    assert not fits(record, {**row, name: value})


@pytest.mark.parametrize(
    ("amount", "right"),
    [
        (0, True),
        (-1, True),
        (MAX_SAFE_INTEGER, True),
        (-MAX_SAFE_INTEGER, True),
        (MAX_SAFE_INTEGER + 1, False),
        (-MAX_SAFE_INTEGER - 1, False),
        (10**30, False),
        (1.5, False),
        (1.0, False),
        ("1", False),
        (float("nan"), False),
        (float("inf"), False),
    ],
)
def test_an_amount_is_an_integer_within_the_safe_range_of_json(
    amount: object, *, right: bool
) -> None:
    money = {"amount": amount, "currency": "EUR"}

    assert fits(MoneyRecord, money) is right
    assert fits(AccountRecord, account_row(1, balance=money)) is right
    assert fits(InvoiceRecord, {**invoice(1), "total": money}) is right


@pytest.mark.parametrize(
    ("currency", "right"),
    [
        ("EUR", True),
        ("JPY", True),
        ("XXX", True),
        ("eur", False),
        ("Eur", False),
        ("EU", False),
        ("EURO", False),
        ("EUR ", False),
        ("EUR\n", False),
        ("E R", False),
        ("978", False),
        ("€", False),
        ("ÄÖÜ", False),
        ("", False),
        (978, False),
    ],
)
def test_a_currency_is_three_capital_letters(currency: object, *, right: bool) -> None:
    assert fits(MoneyRecord, {"amount": 1, "currency": currency}) is right


@pytest.mark.parametrize(
    ("count", "right"),
    [(0, True), (MAX_INT, True), (MAX_INT + 1, False), (-1, False), (1.0, False), ("1", False)],
)
def test_a_login_count_is_an_integer_within_the_range_of_graphql(
    count: object, *, right: bool
) -> None:
    assert fits(ActivityRecord, activity_row(1, loginCount=count)) is right


def test_a_row_with_one_malformed_event_is_refused() -> None:
    broken = {**event(1), "occurredAt": "noon"}

    assert fits(ActivityRecord, activity_row(1, events=[]))
    assert not fits(ActivityRecord, activity_row(1, events=[event(2), broken]))


def test_a_record_is_immutable() -> None:
    record = parse(ProfileRecord, profile_row(1))

    with pytest.raises(ValidationError):
        record.username = "other"  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
