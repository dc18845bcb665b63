"""The values of one row become a record, despite other members of the row."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, ConfigDict, Field, create_model, field_validator, model_validator

from app.fastpath.rows import struct_decoder
from app.settings.response import AnswerSettings
from app.sources.base import Record
from app.sources.mapping.contract import RowContract, RowDamage, unwritable
from app.sources.mapping.decoding import values_of
from app.sources.mapping.scan import UNREADABLE, scan
from app.sources.records import AccountRecord, ActivityRecord
from tests.fakes import Row, account_row, activity_row, event
from tests.fastpath.test_decoding import told
from tests.sources.odd import ODD, json_texts, with_member

ROWS: Sequence[tuple[type[Record], Row]] = (
    (AccountRecord, account_row(1)),
    (ActivityRecord, activity_row(1)),
)


def scanned(text: bytes) -> object:
    """Read a row in the same way as a response."""
    rows = scan(text, AnswerSettings(many=False)).rows
    assert rows is not None
    return rows[0]


@pytest.mark.parametrize(("record", "row"), ROWS)
@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_an_unknown_member_of_a_row_may_have_any_value(
    record: type[Record], row: Row, value: bytes
) -> None:
    found = RowContract(record).read(scanned(with_member(json.dumps(row).encode(), "x", value)))

    assert found == RowContract(record).read(row)
    assert isinstance(found, record)


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_an_unknown_member_of_a_nested_object_may_have_any_value(value: bytes) -> None:
    account = json.dumps({**account_row(1), "balance": None}).encode()
    balance = with_member(b'{"amount": 1, "currency": "EUR"}', "x", value)
    activity = json.dumps({**activity_row(1), "events": None}).encode()
    events = b"[" + with_member(json.dumps(event(1)).encode(), "x", value) + b"]"

    first = RowContract(AccountRecord).read(scanned(with_member(account, "balance", balance)))
    second = RowContract(ActivityRecord).read(scanned(with_member(activity, "events", events)))

    assert isinstance(first, AccountRecord)
    assert first.balance is not None
    assert first.balance.amount == 1
    assert isinstance(second, ActivityRecord)
    assert second.events is not None
    assert len(second.events) == 1


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", ["plan", "status", "balance", "renewsAt", "userId"])
def test_an_unreadable_field_fails_alone_and_is_reported_without_its_value(
    name: str, value: bytes
) -> None:
    row = {one: of_it for one, of_it in account_row(1).items() if one != name}
    found = RowContract(AccountRecord).read(
        scanned(with_member(json.dumps(row).encode(), name, value))
    )

    assert isinstance(found, RowDamage)
    assert found.text.startswith(name)
    assert "Ada" not in found.text
    if name == "userId":
        assert found.record is None
    else:
        assert found.record == RowContract(AccountRecord).read(row)
        assert len(found.wrong) == 1


def test_only_the_unwritable_field_is_named_and_no_other_member() -> None:
    row = {**account_row(1), "plan": "\ud83d", "secret": "\ud83d"}

    found = RowContract(AccountRecord).read(row)
    other = RowContract(AccountRecord).read({**account_row(1), "plan": 7, "secret": "\ud83d"})

    assert isinstance(found, RowDamage)
    assert found.text.startswith("plan: it cannot be written as JSON: ")
    assert isinstance(other, RowDamage)
    assert "secret" not in str(other.wrong)
    assert found.record == other.record == RowContract(AccountRecord).read({**row, "plan": None})
    assert set(unwritable(row)) == {"plan", "secret"}
    assert not unwritable(["\ud83d"])


class _Wide(Record):
    """A row with fields of wide types."""

    number: int = Field(description="A number of any size.")
    anything: Any = Field(default=None, description="Anything.")
    counts: Mapping[str, int] = Field(default={}, description="Numbers by name.")


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**300])
def test_a_large_number_is_read_like_in_the_fast_decoder(number: int) -> None:
    row = {"number": number, "counts": {"a": number}}
    [quick] = struct_decoder(_Wide)(json.dumps([row]).encode())

    assert RowContract(_Wide).read(row) == quick


def test_a_field_of_any_type_refuses_unreadable_values() -> None:
    for odd in (UNREADABLE, "\ud83d", ["\ud83d"], {"\ud83d": 1}):
        found = RowContract(_Wide).read({"number": 1, "anything": odd})
        assert isinstance(found, RowDamage)
        assert set(found.wrong) == {"anything"}
        assert found.record == _Wide(number=1)


class _Validated(AccountRecord):
    """A record with its own validators, which get the whole row."""

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, row: Any) -> Any:  # noqa: ANN401 # any row
        """Take the plan by its former name."""
        named: Row = row
        return {"plan": named.get("tariff"), **named}

    @field_validator("plan")
    @classmethod
    def _in_capitals(cls, plan: str) -> str:
        """Write it in capitals."""
        return plan.upper()


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_validators_of_a_record_get_all_readable_members(value: bytes) -> None:
    row = {one: of_it for one, of_it in account_row(1).items() if one != "plan"}
    text = json.dumps({**row, "tariff": "pro"}).encode()

    found = RowContract(_Validated).read(scanned(with_member(text, "x", value)))

    assert isinstance(found, _Validated)
    assert found.plan == "PRO"


class _Chain(Record):
    """A row that may hold another of its kind."""

    name: str = Field(description="A name.")
    next: "_Chain | None" = Field(default=None, description="The next one.")


class _Open(Record):
    """A row whose unknown members are kept."""

    model_config = ConfigDict(extra="allow")
    name: str = Field(description="A name.")


@pytest.mark.parametrize(
    "record",
    [
        _Open,
        create_model(
            "Either",
            __base__=Record,
            name=(str, Field(validation_alias=AliasChoices("name", "title"))),
        ),
    ],
)
def test_a_record_that_may_read_any_member_fails_with_any_odd_member(record: type[Record]) -> None:
    assert isinstance(RowContract(record).read({"name": "Ada"}), record)
    damage = RowContract(record).read({"name": "Ada", "x": "\ud83d"})
    assert isinstance(damage, RowDamage)
    assert damage.record is None


def test_a_recursive_record_can_be_read() -> None:
    found = RowContract(_Chain).read({"name": "a", "x": "\ud83d", "next": {"name": "b"}})

    assert isinstance(found, _Chain)
    assert found.next == _Chain(name="b")


@pytest.mark.parametrize(("record", "row"), ROWS)
@given(value=json_texts, name=st.sampled_from(["x", "plan", "renewsAt", "lastSeenAt", "events"]))
def test_a_row_is_read_like_in_the_fast_decoder(
    record: type[Record], row: Row, value: bytes, name: str
) -> None:
    kept = {one: of_it for one, of_it in row.items() if one != name}
    text = with_member(json.dumps(kept).encode(), name, value)
    try:
        [quick] = struct_decoder(record)(b"[" + text + b"]")
    except ValueError:
        return
    found = RowContract(record).read(scanned(text))

    assert not isinstance(found, RowDamage)
    assert told(list(values_of(found).values())) == told(list(values_of(quick).values()))


def test_a_decimal_number_keeps_its_digits() -> None:
    found = RowContract(_Wide).read({"number": 1, "anything": [Decimal("1.50"), Decimal(2)]})

    assert isinstance(found, _Wide)
    assert found.anything == [1.5, 2]
