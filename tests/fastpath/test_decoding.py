"""The fast decoder accepts exactly the rows that the contract accepts, with the same values."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Annotated, Any, Union, cast

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AwareDatetime,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
    field_validator,
)

from app.fastpath.rows import struct_decoder
from app.sources.base import MAX_INT, MAX_SAFE_INTEGER, Record
from app.sources.field_types import SCALAR_FIELDS, OneOf
from app.sources.mapping.decoding import RowDecoder, validating_decoder, values_of
from app.sources.records import (
    AccountRecord,
    ActivityRecord,
    EventRecord,
    InvoiceRecord,
    ProfileRecord,
)
from tests.fakes import Row, account_row, activity_row, event, invoice, profile_row


class _Inner(Record):
    """An object within a row."""

    text: str = Field(min_length=1, max_length=3, description="Some text.")
    number: int | None = Field(default=None, ge=-2, le=2, description="A number.")


class _Everything(Record):
    """A row with a field of each kind that both decoders know."""

    text: str = Field(description="Text.")
    code: str = Field(pattern=r"^[A-Z]{2,3}(-[0-9]+)?$", description="Text of a pattern.")
    number: int = Field(description="A number of any size.")
    truth: bool = Field(description="True or false.")
    moment_at: AwareDatetime = Field(description="A time.")
    perhaps: bool | None = Field(default=None, description="True, false or nothing.")
    inner: _Inner = Field(description="An object.")
    several: tuple[_Inner, ...] = Field(description="Objects.")
    numbers: tuple[int, ...] | None = Field(default=None, description="Numbers, or none.")


EVERYTHING: Row = {
    "text": "x",
    "code": "AB-1",
    "number": 2**70,
    "truth": True,
    "momentAt": "2024-02-29T12:00:00Z",
    "perhaps": None,
    "inner": {"text": "abc", "number": -2},
    "several": [{"text": "a"}, {"text": "b", "number": None}],
    "numbers": [1, -0],
}

CONTRACTS: Sequence[tuple[type[Record], Row]] = (
    (ProfileRecord, profile_row(1)),
    (AccountRecord, account_row(1)),
    (InvoiceRecord, invoice(1)),
    (ActivityRecord, activity_row(1)),
    (_Everything, EVERYTHING),
)

RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):?(\d\d))",
    re.ASCII,
)
END = datetime.max.replace(tzinfo=UTC)


def plain_time(text: str) -> datetime | None:
    """Read a time by RFC 3339 and our documentation; return ``None`` if it is not a time."""
    match = RFC_3339.fullmatch(text)
    if match is None:
        return None
    day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    ahead = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    if ahead >= timedelta(days=1) or int(minutes or 0) > 59 or int(hour) > 23:
        return None
    leap = second == "60"
    try:
        whole = datetime.fromisoformat(f"{day}T{hour}:{minute}:{'59' if leap else second}")
        zone = timezone(-ahead if sign == "-" else ahead)
        somewhen = whole.replace(year=2000)  # far from the ends of the calendar
        if leap and (somewhen - zone.utcoffset(None)).strftime("%H%M") != "2359":
            return None
        exact = whole.replace(tzinfo=zone) + timedelta(seconds=leap)
        nanoseconds = int(((fraction or "") + "0" * 9)[:7] + "00")
        micro = exact + timedelta(microseconds=nanoseconds // 1000)
    except (ValueError, OverflowError):
        return None
    if nanoseconds % 1000 >= 500 and micro.replace(tzinfo=UTC) != END:
        micro += timedelta(microseconds=1)
    return micro


TIMES = st.one_of(
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    st.datetimes().map(datetime.isoformat),
    st.from_regex(
        r"[0-2]\d{3}-[01]\d-[0-3]\d[Tt _][0-2]\d:[0-6]\d(:[0-6]\d([.,]\d{0,9})?)?"
        r"(Z|z|[+-][0-2]\d:?[0-6]\d)?",
        fullmatch=True,
    ),
    st.from_regex(
        r"(0001-01-01|2016-12-31|9999-12-31)T(23:59|00:00|12:59):(59|60)(\.9{1,8})?"
        r"(Z|[+-](00:00|11:00|23:59))",
        fullmatch=True,
    ),
    st.integers(min_value=-(10**14), max_value=10**14).map(str),
    st.sampled_from(
        [
            *("0", "20260601", "1717200000.5", "-1", "1e9", "NaN", "infinity", "now", ""),
            *("2024-02-29", "2024-02-29T12:00Z", "20240229T120000Z", "2024-W09-4T12:00:00Z"),
            *("2024-02-29T24:00:00Z", "2024-02-29T12:00:00,5Z", "2024-02-29T12:00:00\u221201:00"),
            *("2024-02-29T12:00:00Z\n", " 2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z\x00"),
            *("2024-02-29T12:00:00+01", "2024-02-29T12:00:00-00:00", "0000-01-01T00:00:00Z"),
            *("\u0662\u0660\u0662\u0664-02-29T12:00:00Z", "\uff12024-02-29T12:00:00Z"),
            *("9999-12-31T23:59:59.9999999Z", "2016-12-31T23:59:60Z", "2017-01-01T00:59:60+01:00"),
        ]
    ),
)

WHATEVER = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, MAX_INT, MAX_INT + 1, MAX_SAFE_INTEGER + 1, -MAX_SAFE_INTEGER, 2**64])
    | st.floats()
    | st.text(max_size=5)
    | st.from_regex(r"[A-Z]{2,4}(-\d)?\n?", fullmatch=True)
    | TIMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@st.composite
def altered(draw: st.DrawFn, value: object) -> object:
    """Replace, remove and add parts of a JSON value at random."""
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
    """Return what a decoder returned in a form that can be compared."""
    if isinstance(value, Record | msgspec.Struct):
        values = values_of(value)
        return type(value).__name__, list(values), [told(one) for one in values.values()]
    if isinstance(value, list | tuple):
        return [told(one) for one in cast("Sequence[object]", value)]
    return value.isoformat() if isinstance(value, datetime) else repr(value)


@cache
def adapter_of(record: type[Record]) -> TypeAdapter[list[Record]]:
    """Make the decoder of rows by their contract, once."""
    return TypeAdapter(list[record])  # type: ignore[valid-type] # a type at run time


@cache
def fast_decoder_of(record: type[Record]) -> Callable[[bytes], list[Record]]:
    """Make the fast decoder of rows, once."""
    return struct_decoder(record)


def by_contract(record: type[Record], body: bytes) -> list[Record] | None:
    """Read rows by the contract; return ``None`` if one does not fit."""
    try:
        return adapter_of(record).validate_json(body)
    except ValidationError:
        return None


def read(record: type[Record], body: bytes) -> list[Record] | None:
    """Read rows by the fast decoder; return ``None`` if one does not fit."""
    try:
        return fast_decoder_of(record)(body)
    except ValidationError:
        return None


@pytest.mark.parametrize(("record", "row"), CONTRACTS)
@given(data=st.data())
def test_the_fast_decoder_reads_rows_like_the_contract(
    record: type[Record], row: Row, data: st.DataObject
) -> None:
    rows = [row, data.draw(altered(row))]
    body = json.dumps(rows, ensure_ascii=data.draw(st.booleans())).encode()

    fast, right = read(record, body), by_contract(record, body)

    assert told(fast) == told(right)


@pytest.mark.parametrize(("record", "row"), CONTRACTS)
@given(data=st.data())
def test_the_fast_decoder_reads_a_changed_character_like_the_contract(
    record: type[Record], row: Row, data: st.DataObject
) -> None:
    text = json.dumps([row])
    place = data.draw(st.integers(min_value=0, max_value=len(text) - 1))
    body = (text[:place] + data.draw(st.characters(codec="utf-8")) + text[place + 1 :]).encode()

    fast, right = read(record, body), by_contract(record, body)

    assert told(fast) == told(right)


@pytest.mark.parametrize(("record", "row"), CONTRACTS)
def test_the_records_of_the_sources_are_read_by_the_fast_decoder(
    record: type[Record], row: Row
) -> None:
    [read_as] = struct_decoder(record)(json.dumps([row]).encode())

    assert isinstance(read_as, msgspec.Struct)


@example(text="20260601")
@example(text="0")
@example(text="2016-12-31T23:59:60Z")
@example(text="9999-12-31T00:00:60-23:59")
@example(text="9999-12-31T23:59:59.9999999Z")
@given(text=TIMES)
def test_the_decoders_and_a_plain_reader_read_the_same_times(text: str) -> None:
    body = json.dumps([{**event(1), "occurredAt": text}]).encode()
    fast, right = read(EventRecord, body), by_contract(EventRecord, body)
    plain = plain_time(text)

    assert told(fast) == told(right)
    if plain is None:
        assert right is None
    else:
        assert right is not None
        [found] = right
        assert isinstance(found, EventRecord)
        assert found.occurred_at.isoformat() == plain.isoformat()


@given(text=TIMES)
def test_only_leap_seconds_and_the_end_of_the_calendar_need_the_contract(text: str) -> None:
    found = read(EventRecord, json.dumps([{**event(1), "occurredAt": text}]).encode())

    if found is not None and not isinstance(found[0], msgspec.Struct):
        assert ":60" in text or text.startswith("9999-12-31T23:59:59.999999")


class _ValidatedEvent(EventRecord):
    """A record that is only read by its contract."""

    @field_validator("type")
    @classmethod
    def _any_type(cls, text: str) -> str:
        """Let any text pass."""
        return text


@given(text=TIMES)
def test_a_record_with_validators_takes_the_same_times(text: str) -> None:
    body = json.dumps([{**event(1), "occurredAt": text}]).encode()

    [plain, validated] = [read(one, body) for one in (EventRecord, _ValidatedEvent)]

    assert (plain is None) == (validated is None)
    if plain is not None and validated is not None:
        assert told(values_of(plain[0])["occurred_at"]) == told(
            values_of(validated[0])["occurred_at"]
        )


@pytest.mark.parametrize("body", [b"", b"[", b"{}", b"[1]", b'[{"id": "\xff"}]', b"[" * 100_000])
def test_a_body_that_is_not_an_array_of_rows_is_refused(body: bytes) -> None:
    with pytest.raises(ValidationError):
        struct_decoder(ProfileRecord)(body)


class _Checked(Record):
    """A record with a validator."""

    name: str = Field(description="A name.")

    @field_validator("name")
    @classmethod
    def _in_capitals(cls, name: str) -> str:
        """Change it to upper case."""
        return name.upper()


class _Derived(Record):
    """A record with a property."""

    name: str = Field(description="A name.")

    @property
    def length(self) -> int:
        """The length of the name."""
        return len(self.name)


class _Inherited(_Checked):
    """A record with an inherited validator."""

    age: int = Field(description="An age.")


class _Closed(Record):
    """A record that forbids extra members."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(description="A name.")


@pytest.mark.parametrize("record", [_Checked, _Derived, _Inherited, _Closed])
def test_a_record_with_more_than_plain_fields_is_read_by_its_contract(record: type[Record]) -> None:
    row = {"name": "Ada"} | ({"age": 36} if record is _Inherited else {})

    [made] = struct_decoder(record)(json.dumps([row]).encode())

    assert isinstance(made, record)


WORDS = OneOf(frozenset({"low", "high"}))
OWN_TYPES: Mapping[str, Any] = {**SCALAR_FIELDS, "Enum": Annotated[str, AfterValidator(WORDS)]}

ANY_VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["low", "HIGH", "2026-06-01", "2026-06-1", "2026-06-01T00:00:00Z", "1.5"]),
    st.sampled_from(["http://a", "https://a/b?c", "ftp://a", "http://", "-0", "1e400", "NaN"]),
    st.lists(st.just("low"), max_size=2),
    st.dictionaries(st.just("a"), st.integers(), max_size=1),
)


@pytest.mark.parametrize("name", OWN_TYPES)
@given(values=st.lists(ANY_VALUE, min_size=1, max_size=3))
def test_configured_fields_are_read_like_their_contract(name: str, values: list[object]) -> None:
    kind: Any = Union[OWN_TYPES[name], None]  # noqa: UP007 # made at run time
    fields: Mapping[str, Any] = {"one": (kind, None), "many": (tuple[kind, ...], ...)}
    record: type[Record] = create_model("Row", __base__=Record, **fields)
    row = {"one": values[0], "many": values}
    body = json.dumps([row]).encode()

    def read(decode: RowDecoder[Record]) -> object:
        try:
            [one] = decode(body)
        except ValidationError:
            return None
        found = values_of(one)
        # The types are compared too, because `True == 1`.
        values: list[object] = [found["one"], *found["many"]]
        return [(type(value), value) for value in values]

    assert read(struct_decoder(record)) == read(validating_decoder(record))


@pytest.mark.parametrize("name", [one for one in OWN_TYPES if one != "URL"])
def test_configured_fields_are_read_by_structs(name: str) -> None:
    fields: Mapping[str, Any] = {"one": (OWN_TYPES[name], ...)}
    record: type[Record] = create_model("Row", __base__=Record, **fields)
    right = {"Int": 1, "SafeInt": 2, "Float": 1.5, "Boolean": True, "Date": "2026-06-01"}
    row = {"one": right.get(name, "low" if name != "DateTime" else "2026-06-01T00:00:00Z")}

    [made] = struct_decoder(record)(json.dumps([row]).encode())

    assert not isinstance(made, Record)


UNUSUAL: Mapping[str, Any] = {
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
    "quote": (str, Field(alias='a"b')),
    "control": (str, Field(alias="a\nb")),
    "in_a_tuple": (tuple[Annotated[str, Field(min_length=1)], ...], Field()),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_a_field_of_an_unusual_kind_is_read_by_its_contract(
    name: str,
) -> None:
    record: type[Record] = create_model("Odd", __base__=Record, odd=UNUSUAL[name])
    values = {
        "datetime": "2024-02-29T12:00:00",
        "list": ["x"],
        "multiple": 2,
        "in_a_tuple": ["x"],
    }
    row = {"odd": values.get(name, "1"), "other": "1", 'a"b': "1", "a\nb": "1"}

    [made] = struct_decoder(record)(json.dumps([row]).encode())

    assert isinstance(made, record)


def test_the_values_of_a_decoded_row_have_their_names_in_python() -> None:
    [fast] = struct_decoder(AccountRecord)(json.dumps([account_row(1)]).encode())
    right = AccountRecord.model_validate_json(json.dumps(account_row(1)))

    assert list(values_of(fast)) == list(values_of(right)) == list(AccountRecord.model_fields)
