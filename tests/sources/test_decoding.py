"""Decoding rows: whatever the quick way lets through, the contract does, with the same values."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
    field_validator,
)

from app.sources.activity import ActivityRecord
from app.sources.base import MAX_INT, MAX_SAFE_INTEGER, Record
from app.sources.billing import AccountRecord, InvoiceRecord
from app.sources.decoding import decoder_of, values_of
from app.sources.profile import ProfileRecord
from tests.fakes import Row, account_row, activity_row, invoice, profile_row

CONTRACTS: Sequence[tuple[type[Record], Row]] = (
    (ProfileRecord, profile_row(1)),
    (AccountRecord, account_row(1)),
    (InvoiceRecord, invoice(1)),
    (ActivityRecord, activity_row(1)),
)

TIMES = st.one_of(
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    st.datetimes().map(datetime.isoformat),
    st.from_regex(
        r"[0-2]\d{3}-[01]\d-[0-3]\d[Tt _][0-2]\d:[0-6]\d(:[0-6]\d([.,]\d{0,6})?)?"
        r"(Z|z|[+-][0-2]\d:?[0-6]\d)?",
        fullmatch=True,
    ),
    st.integers(min_value=-(10**14), max_value=10**14).map(str),
)

WHATEVER = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, MAX_INT, MAX_INT + 1, MAX_SAFE_INTEGER + 1, -MAX_SAFE_INTEGER, 2**64])
    | st.floats()
    | st.text(max_size=5)
    | st.from_regex(r"[A-Z]{2,4}\n?", fullmatch=True)
    | TIMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@st.composite
def altered(draw: st.DrawFn, value: object) -> object:
    """Put something else in some places of a JSON value, leave some out, and add some."""
    if draw(st.integers(min_value=0, max_value=9)) == 0:
        return draw(WHATEVER)
    if isinstance(value, str) and value[4:5] == "-" and draw(st.booleans()):
        return draw(TIMES)
    if isinstance(value, list):
        return [draw(altered(one)) for one in cast("Sequence[object]", value)]
    if isinstance(value, dict):
        kept = {
            name: draw(altered(one))
            for name, one in cast("Row", value).items()
            if draw(st.integers(min_value=0, max_value=19))
        }
        return kept | draw(st.dictionaries(st.sampled_from(["extra", "user_id"]), WHATEVER))
    return value


def told(value: object) -> object:
    """Write what was read so that it can be compared, whichever way it was read."""
    if isinstance(value, Record | msgspec.Struct):
        values = values_of(value)
        return type(value).__name__, list(values), [told(one) for one in values.values()]
    if isinstance(value, list | tuple):
        return [told(one) for one in cast("Sequence[object]", value)]
    return value.isoformat() if isinstance(value, datetime) else repr(value)


def by_contract(record: type[Record], body: bytes) -> list[Record] | None:
    """Read rows as the contract says; ``None`` where one does not fit."""
    try:
        return TypeAdapter(list[record]).validate_json(body)  # type: ignore[valid-type] # a type at run time
    except ValidationError:
        return None


def read(record: type[Record], body: bytes) -> list[Record] | None:
    """Read rows the quick way; ``None`` where one does not fit."""
    try:
        return decoder_of(record)(body)
    except ValidationError:
        return None


@pytest.mark.parametrize(("record", "row"), CONTRACTS)
@given(data=st.data())
def test_rows_are_read_as_the_contract_has_them(
    record: type[Record], row: Row, data: st.DataObject
) -> None:
    rows = [row, data.draw(altered(row))]
    body = json.dumps(rows, ensure_ascii=data.draw(st.booleans())).encode()

    quick, right = read(record, body), by_contract(record, body)

    assert told(quick) == told(right)


@pytest.mark.parametrize(("record", "row"), CONTRACTS)
@given(data=st.data())
def test_text_with_a_character_changed_is_read_as_the_contract_has_it(
    record: type[Record], row: Row, data: st.DataObject
) -> None:
    text = json.dumps([row])
    place = data.draw(st.integers(min_value=0, max_value=len(text) - 1))
    body = (text[:place] + data.draw(st.characters(codec="utf-8")) + text[place + 1 :]).encode()

    quick, right = read(record, body), by_contract(record, body)

    assert told(quick) == told(right)


@pytest.mark.parametrize(("record", "row"), CONTRACTS)
def test_the_records_of_the_sources_are_read_the_quick_way(record: type[Record], row: Row) -> None:
    [read_as] = decoder_of(record)(json.dumps([row]).encode())

    assert isinstance(read_as, msgspec.Struct)


def test_a_time_that_only_the_contract_knows_is_read_all_the_same() -> None:
    [record] = decoder_of(ProfileRecord)(
        json.dumps([profile_row(1, createdAt="2024-02-29 12:00Z")]).encode()
    )

    assert record.created_at.isoformat() == "2024-02-29T12:00:00+00:00"


def test_a_time_that_is_finer_than_microseconds_is_one_next_to_it() -> None:
    body = json.dumps([profile_row(1, createdAt="2024-02-29T12:00:00.9999999Z")]).encode()

    [quick] = decoder_of(ProfileRecord)(body)
    [right] = TypeAdapter(list[ProfileRecord]).validate_json(body)

    assert abs(quick.created_at - right.created_at) <= timedelta(microseconds=1)


@pytest.mark.parametrize("body", [b"", b"[", b"{}", b"[1]", b'[{"id": "\xff"}]', b"[" * 100_000])
def test_what_is_no_array_of_rows_is_refused(body: bytes) -> None:
    with pytest.raises(ValidationError):
        decoder_of(ProfileRecord)(body)


class _Checked(Record):
    """Has a rule of its own."""

    name: str = Field(description="A name.")

    @field_validator("name")
    @classmethod
    def _in_capitals(cls, name: str) -> str:
        """Write it in capitals."""
        return name.upper()


class _Derived(Record):
    """Has a value that is no field."""

    name: str = Field(description="A name.")

    @property
    def length(self) -> int:
        """How long the name is."""
        return len(self.name)


class _Heir(_Checked):
    """Has the rule of another."""

    age: int = Field(description="An age.")


class _Closed(Record):
    """Is strict in what it leaves out."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(description="A name.")


@pytest.mark.parametrize("record", [_Checked, _Derived, _Heir, _Closed])
def test_a_record_with_more_than_fields_is_read_by_its_contract(record: type[Record]) -> None:
    row = {"name": "Ada"} | ({"age": 36} if record is _Heir else {})

    [made] = decoder_of(record)(json.dumps([row]).encode())

    assert isinstance(made, record)


UNUSUAL: Mapping[str, Any] = {
    "float": (float, Field()),
    "datetime": (datetime, Field()),
    "list": (list[str], Field()),
    "union": (str | int, Field()),
    "default": (str, Field(default="x")),
    "factory": (str, Field(default_factory=str)),
    "lax": (int, Field(strict=False)),
    "pattern": (str, Field(pattern=r"^\d+$")),
    "open_pattern": (str, Field(pattern="[0-9]+")),
    "multiple": (int, Field(multiple_of=2)),
    "alias": (str, Field(validation_alias="other")),
    "in_a_tuple": (tuple[Annotated[str, Field(min_length=1)], ...], Field()),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_a_field_of_a_kind_that_is_not_known_to_be_the_same_is_read_by_its_contract(
    name: str,
) -> None:
    record: type[Record] = create_model("Odd", __base__=Record, odd=UNUSUAL[name])
    values = {
        "float": 1.5,
        "datetime": "2024-02-29T12:00:00",
        "list": ["x"],
        "multiple": 2,
        "in_a_tuple": ["x"],
    }
    row = {"odd": values.get(name, "1"), "other": "1"}

    [made] = decoder_of(record)(json.dumps([row]).encode())

    assert isinstance(made, record)


def test_the_values_of_what_was_read_have_their_names_in_python() -> None:
    [quick] = decoder_of(AccountRecord)(json.dumps([account_row(1)]).encode())
    right = AccountRecord.model_validate_json(json.dumps(account_row(1)))

    assert list(values_of(quick)) == list(values_of(right)) == list(AccountRecord.model_fields)
