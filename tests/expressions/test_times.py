"""Times in the formats of services."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, TypeAdapter

from app.expressions.money import InexactError
from app.expressions.times import from_iso, from_rfc3339, from_unix

RFC_3339 = TypeAdapter[datetime](AwareDatetime)

TIMES = st.datetimes(
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 # hypothesis adds the offset
    max_value=datetime(9998, 12, 31),  # noqa: DTZ001 # the same
    timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(text: str) -> datetime:
    """Read a written time strictly."""
    assert text.endswith("Z")
    return RFC_3339.validate_json(f'"{text}"', strict=True)


def iso(text: str) -> datetime:
    """Read a time with an offset."""
    return read(from_iso(text, without_offset_is_utc=False))


@given(
    time=TIMES,
    between=st.sampled_from("Tt "),
    point=st.sampled_from(".,"),
    colon=st.booleans(),
    basic=st.booleans(),
    blank=st.booleans(),
    more=st.text("0123456789", max_size=12),
)
def test_a_time_is_the_same_in_all_its_forms(  # noqa: PLR0917 # one for each part of the form
    time: datetime,
    between: str,
    point: str,
    colon: bool,  # noqa: FBT001 # hypothesis draws them
    basic: bool,  # noqa: FBT001 # the same
    blank: bool,  # noqa: FBT001 # the same
    more: str,
) -> None:
    year = f"{time.year:04}"
    day = time.strftime("%m%d" if basic else "-%m-%d")
    clock = time.strftime("%H%M%S" if basic else "%H:%M:%S")
    offset = time.strftime("%z")
    offset = f"{offset[:3]}:{offset[3:]}" if colon else offset
    text = f"{year}{day}{between}{clock}{point}{time.microsecond:06}{more}{' ' * blank}{offset}"

    assert iso(text) == time


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29T12:00:00Z",
        "2024-02-29 12:00:00z",
        "2024-02-29 12:00:00 UTC",
        "2024-02-29 12:00 GMT",
        "2024-02-29T12Z",
        "20240229T120000Z",
        "2024-02-29T12:00:00.0000000Z",
        "2024-02-29T12:00:00.000000000+00:00",
        "2024-02-29T12:00:00,0-00",
        "2024-02-29T13:00:00+01",
        "2024-02-29T13:00:00+0100",
        "2024-02-29T17:45:00+05:45",
        "2024-02-28T24:00:00-12:00",
    ],
)
def test_common_forms_of_a_time_are_read(text: str) -> None:
    assert iso(text) == datetime(2024, 2, 29, 12, tzinfo=UTC)


LEAP_SECONDS = [
    *("2016-12-31T23:59:60Z", "2017-01-01T00:59:60+01:00", "2016-12-31T15:59:60-08:00"),
    *("2017-01-01 05:44:60.0+0545", "2016-12-31t23:59:60z", "2016-12-31T23:59:60-00:00"),
]


@pytest.mark.parametrize("text", LEAP_SECONDS)
def test_a_leap_second_is_the_second_that_follows_it(text: str) -> None:
    assert iso(text) == from_rfc3339(text) == datetime(2017, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        *("2024-02-29T11:59:60Z", "2024-02-29T23:58:60Z", "2024-02-29T22:59:60Z"),
        *("2024-02-29T23:59:60+01:00", "2024-02-29T00:59:60Z", "2024-02-29T23:59:61Z"),
        *("2024-02-29T24:00:60Z", "9999-12-31T23:59:60Z"),
    ],
)
def test_a_leap_second_that_cannot_exist_is_an_error(text: str) -> None:
    with pytest.raises(InexactError):
        iso(text)
    with pytest.raises(InexactError):
        from_rfc3339(text)


@given(time=TIMES, separator=st.sampled_from("Tt "), more=st.text("0123456789", max_size=4))
def test_a_time_by_rfc_3339_is_read_with_its_offset(
    time: datetime, separator: str, more: str
) -> None:
    text = time.isoformat(separator, "microseconds")

    found = from_rfc3339(f"{text[:26]}{more}{text[26:]}")

    assert found - time == timedelta(microseconds=more[:1] >= "5")
    assert found.utcoffset() == time.utcoffset()


def test_fractions_of_a_microsecond_are_rounded_within_the_calendar() -> None:
    last = datetime.max.replace(tzinfo=UTC)

    assert from_rfc3339("9999-12-31T23:59:59.9999999Z") == last
    assert from_rfc3339("9999-12-31T23:59:59.9999985Z") == last
    assert from_rfc3339("1999-12-31T23:59:59.9999995Z") == datetime(2000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "0", "20260601", "1717200000", "2024-02-29", "2024-02-29T12:00Z"),
        *("20240229T120000Z", "2024-02-29T12:00:00,5Z", "2024-02-29T12:00:00.Z", "12:00:00Z"),
        *("2024-02-29T24:00:00Z", "2024-W09-4T12:00:00Z", "2024-060T12:00:00Z"),
        *("2024-02-30T00:00:00Z", "2024-13-01T00:00:00Z", "2024-02-29T12:60:00Z"),
        *("0000-01-01T00:00:00Z", "2024-02-29T12:00:00+24:00", "2024-02-29T12:00:00+01:60"),
        *("2024-02-29T12:00:00Z\n", "2024-02-29T12:00:00Z\x00", " 2024-02-29T12:00:00Z"),
        *("2024-02-29T12:00:00+01", "2024-02-29T12:00:00UTC", "2024-02-29_12:00:00Z"),
        *("\u0662\u0660\u0662\u0664-02-29T12:00:00Z", "2024-02-29T12:00:00\u221201:00"),
    ],
)
def test_a_text_that_is_not_a_time_by_rfc_3339_is_an_error(text: str) -> None:
    with pytest.raises(InexactError):
        from_rfc3339(text)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
        ("20240229", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2024-02-29T12:00:00.5", datetime(2024, 2, 29, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2024-02-29 12:00", datetime(2024, 2, 29, 12, tzinfo=UTC)),
    ],
)
def test_a_time_without_an_offset_is_an_error_or_utc_as_configured(
    text: str, time: datetime
) -> None:
    assert read(from_iso(text, without_offset_is_utc=True)) == time
    with pytest.raises(InexactError, match="without an offset"):
        from_iso(text, without_offset_is_utc=False)


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "1700000000", "2012010112", "2024-02-30T00:00:00Z", "2024-13-01T00:00:00Z"),
        *("2024-02-29T25:00:00Z", "2024-02-29T24:00:01Z", "2024-02-29T12:60:00Z"),
        *("2024-02-29T12:00:61Z", "2024-02-29T12:00:00+24:00", "2024-02-29T12:00:00+01:60"),
        *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"),
        *("2024-0229T12:00:00Z", "24-02-29T12:00:00Z", "2024-02-29T12:00:00Z\n", "2024-02-29Z"),
        *("٢٠٢٤-02-29T12:00:00Z", "2024-02-29T12:00:00." + "0" * 31 + "Z", "2024-W09-4T12:00Z"),
    ],
)
def test_a_text_that_is_not_a_time_is_an_error(text: str) -> None:
    with pytest.raises(InexactError):
        from_iso(text, without_offset_is_utc=True)


@given(time=TIMES)
def test_unix_times_are_exact_to_the_microsecond(time: datetime) -> None:
    microseconds = (time - EPOCH) // timedelta(microseconds=1)

    assert read(from_unix(Decimal(microseconds).scaleb(-6), 0)) == time
    assert read(from_unix(Decimal(microseconds).scaleb(-3), 3)) == time
    assert read(from_unix(microseconds // 10**6, 0)) == time.replace(microsecond=0)


def test_fractions_of_a_microsecond_in_a_unix_time_are_cut_off() -> None:
    assert from_unix(Decimal("0.0000019"), 0) == "1970-01-01T00:00:00.000001Z"
    assert from_unix(Decimal("-0.0000001"), 0) == "1969-12-31T23:59:59.999999Z"


@pytest.mark.parametrize("number", [10**12, -(10**12), 10**39, Decimal("1E+9999999")])
def test_a_unix_time_beyond_the_calendar_is_an_error(number: int | Decimal) -> None:
    with pytest.raises(InexactError):
        from_unix(number, 0)
