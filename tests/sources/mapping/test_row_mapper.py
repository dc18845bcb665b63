"""The row of a service becomes a record by expressions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from app.sources.base import Record, SourceSpec, UserId
from app.sources.mapping.contract import RowDamage
from app.sources.mapping.row_mapper import MappingError, MappingMistake, RowMapper
from app.sources.records import (
    ACTIVITY,
    BILLING,
    PROFILE,
    AccountRecord,
    ActivityRecord,
    MoneyRecord,
    ProfileRecord,
)
from tests.fakes import calm_source, profile_row

USER = UserId("ann")

FIELDS = {
    "username": "login",
    "displayName": "join(' ', [first, last])",
    "email": "(emails[?primary].value)[0] || emails[0].value",
    "created_at": "unix_seconds(created)",
}

ROW = {
    "login": "ann",
    "first": "Ann",
    "last": "B.",
    "emails": [{"value": "a@example.com"}, {"value": "b@example.com", "primary": True}],
    "created": "1700000000",
}

R = TypeVar("R", bound=Record)


def mapper_of(
    spec: SourceSpec[R],
    fields: Mapping[str, str] | None,
    foreign_keys: Mapping[str, str] | None = None,
    **changes: Any,  # noqa: ANN401 # any setting
) -> RowMapper[R]:
    """Make the mapper of a source with some expressions."""
    settings = calm_source(base_url="http://source", fields=fields, **changes)
    return RowMapper(spec, settings, foreign_keys)


def test_a_field_is_made_by_the_expression_of_either_of_its_names() -> None:
    record = mapper_of(PROFILE, FIELDS).record(ROW, USER)

    assert isinstance(record, ProfileRecord)
    assert (record.id, record.username, record.display_name) == ("ann", "ann", "Ann B.")
    assert record.email == "b@example.com"
    assert record.created_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_the_key_of_a_record_is_the_requested_user() -> None:
    record = mapper_of(PROFILE, {**FIELDS, "id": "login"}).record({**ROW, "login": "ANN"}, USER)

    assert isinstance(record, ProfileRecord)
    assert (record.id, record.username) == ("ann", "ANN")


def test_expressions_make_objects_and_lists_with_json_names() -> None:
    account = mapper_of(
        BILLING,
        {"plan": "plan", "status": "'active'", "balance": "money_decimal(due, currency)"},
    ).record({"plan": "pro", "due": Decimal("-12.30"), "currency": "usd"}, USER)
    activity = mapper_of(
        ACTIVITY,
        {
            "login_count": "number(logins)",
            "events": "log[].{id: to_string(n), type: what, occurredAt: unix_millis(at)}",
        },
    ).record({"logins": "7", "log": [{"n": 1, "what": "login", "at": 1700000000000}]}, USER)

    assert isinstance(account, AccountRecord)
    assert account.balance == MoneyRecord(amount=-1230, currency="USD")
    assert isinstance(activity, ActivityRecord)
    assert activity.login_count == 7
    assert activity.events is not None
    [event] = activity.events
    assert (event.id, event.type) == ("1", "login")
    assert event.occurred_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_a_row_without_expressions_has_the_shape_of_the_record() -> None:
    row = {**profile_row(1, id="other"), "extra": 2**70, "userId": "x"}
    record = mapper_of(PROFILE, None).record(row, USER)

    assert isinstance(record, ProfileRecord)
    assert (record.id, record.username) == ("ann", "user1")


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"login": 7}, "username: Input should be a valid string"),
        ({"login": Decimal("7.0")}, "username: Input should be a valid string"),
        ({"created": "soon"}, "createdAt: text that is no number"),
        ({"created": True}, "createdAt: a truth value that is no number"),
        ({"first": 7}, "displayName: join() got number for array-string"),
        ({"login": 2**64}, "username: Input should be a valid string"),
        ({"login": "\ud800"}, "username: it cannot be written as JSON"),
        ({"login": Decimal("NaN")}, "username: Input should be a valid string"),
        ({"emails": [{"value": 7}]}, "email: Input should be a valid string"),
    ],
)
def test_the_message_for_a_malformed_row_has_the_place_but_not_the_value(
    changes: Mapping[str, object], wrong: str
) -> None:
    result = mapper_of(PROFILE, FIELDS).record({**ROW, **changes}, USER)

    assert isinstance(result, RowDamage)
    assert result.text.startswith(wrong)
    [damaged] = result.wrong
    undamaged = mapper_of(PROFILE, FIELDS).record(ROW, USER)
    assert isinstance(undamaged, ProfileRecord)
    assert result.record == undamaged.model_copy(update={damaged: None})


@pytest.mark.parametrize("changes", [{"login": None}, {"emails": []}, {"emails": None}])
def test_a_missing_value_is_null_and_no_failure(changes: Mapping[str, object]) -> None:
    result = mapper_of(PROFILE, FIELDS).record({**ROW, **changes}, USER)

    assert isinstance(result, ProfileRecord)
    assert [result.username, result.email].count(None) == 1
    assert result.display_name is not None


def test_an_optional_field_is_null_without_an_expression_or_a_value() -> None:
    record = mapper_of(PROFILE, {**FIELDS, "locale": "missing"}).record(ROW, USER)

    assert isinstance(record, ProfileRecord)
    assert record.locale is None
    assert record.avatar_url is None


def test_all_mistakes_are_reported_at_once() -> None:
    fields = {"displayName": "a", "display_name": "b", "emial": "c", "shoeSize": "d"}
    with pytest.raises(MappingError) as caught:
        mapper_of(PROFILE, fields)

    everything = "avatarUrl, createdAt, displayName, email, id, locale, username"
    assert caught.value.mistakes == (
        MappingMistake(("fields", "display_name"), "is there already, by its other name."),
        MappingMistake(
            ("fields", "emial"),
            "is no field of profile: did you mean email?",
            unknown="emial",
        ),
        MappingMistake(
            ("fields", "shoeSize"),
            f"is no field of profile: expected one of {everything}.",
            unknown="shoeSize",
        ),
    )
    assert str(caught.value).startswith("fields.display_name is there already")
