"""Records with only some of their fields."""

import json

import pytest
from pydantic import ValidationError

from app.fastpath.rows import struct_decoder
from app.sources.base import UserId
from app.sources.mapping.decoding import DecoderFactory, validating_decoder, values_of
from app.sources.mapping.rows import RowReader
from app.sources.records import ACTIVITY, BILLING, AccountRecord
from app.sources.records_in_parts import joined, partial
from tests.fakes import account_row


def test_a_partial_record_has_only_its_fields_and_the_key() -> None:
    record = partial(BILLING, {"plan"}).record.model_validate_json('{"userId": "a", "plan": "pro"}')

    assert dict(record) == {"user_id": "a", "plan": "pro"}


def test_a_field_that_was_not_requested_raises_an_error() -> None:
    record = partial(BILLING, {"plan"}).record.model_validate_json('{"userId": "a", "plan": "pro"}')

    with pytest.raises(AttributeError):
        _ = record.renews_at


def test_the_fields_of_a_partial_record_are_as_strict_as_in_the_whole_record() -> None:
    record = partial(ACTIVITY, {"login_count"}).record

    for wrong in ('"1"', "-1", "1.5"):
        with pytest.raises(ValidationError):
            record.model_validate_json(f'{{"userId": "a", "loginCount": {wrong}}}')


@pytest.mark.parametrize("decoders", [validating_decoder, struct_decoder])
def test_other_members_of_a_row_are_ignored(
    decoders: DecoderFactory,
) -> None:
    rows = RowReader(partial(BILLING, {"status"}), decoders=decoders).read(
        b'[{"userId": "a", "status": "active", "plan": 7}]', [UserId("a")]
    )

    [record] = rows.answers
    assert values_of(record) == {"user_id": "a", "status": "active"}


def read(fields: set[str], **row: object) -> AccountRecord:
    """Read some fields of a row."""
    spec = partial(BILLING, fields)
    return spec.record.model_validate_json(json.dumps(account_row(1, **row)))


def test_joined_records_have_the_fields_of_both_and_the_later_value() -> None:
    first, second = read({"plan", "balance"}), read({"plan", "renews_at"}, plan="new")

    whole = joined([first, second])

    assert (whole.plan, whole.renews_at) == ("new", second.renews_at)
    assert whole.balance is first.balance
    with pytest.raises(AttributeError):
        _ = whole.status


def test_a_single_record_is_joined_unchanged() -> None:
    record = read({"plan"})

    assert joined([record]) is record


def test_joined_records_can_be_joined_again() -> None:
    whole = joined([joined([read({"plan"}), read({"status"})]), read({"balance"})])

    assert (whole.plan, whole.status, whole.balance and whole.balance.amount) == (
        "pro",
        "active",
        100,
    )
