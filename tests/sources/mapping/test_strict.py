"""A record never converts a JSON value of one type to another type."""

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import cache
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import (
    AwareDatetime,
    BeforeValidator,
    Field,
    NaiveDatetime,
    ValidationError,
    create_model,
)

from app.sources.base import Record


class _Level(IntEnum):
    """A number."""

    LOW = 0
    HIGH = 1


class _Word(StrEnum):
    """A word."""

    ONE = "1"


class _Truth(Enum):
    """A truth value, or its number."""

    YES = True


class _Mixed(Enum):
    """A number or a word."""

    ONE = 1
    WORD = "x"


class _Cat(Record):
    """One of two kinds of rows."""

    kind: Literal["cat"] = Field(description="Its kind.")
    born: date = Field(description="When it was born.")


class _Dog(Record):
    """The other kind of rows."""

    kind: Literal["dog"] = Field(description="Its kind.")
    born: AwareDatetime = Field(description="When it was born.")


KINDS: Mapping[str, Any] = {
    "text": str,
    "integer": int,
    "truth": bool,
    "float": float,
    "a literal number": Literal[1],
    "literals": Literal[0, True, "x"],
    "a literal truth value": Literal[True],
    "a number of an enumeration": _Level,
    "a word of an enumeration": _Word,
    "a truth value of an enumeration": _Truth,
    "an enumeration of several types": _Mixed,
    "optional": int | None,
    "either": int | str,
    "truth or number": bool | int,
    "list": list[int],
    "tuple": tuple[bool, ...],
    "object": dict[str, int],
    "list of literals": list[Literal[1]],
    "object of enumerations": dict[str, _Level],
}
"""Types of fields that are written to JSON exactly as they were read."""

VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, -1, 2**70, 0.0, 1.0, 1.5, float("inf"), float("nan")])
    | st.sampled_from(["0", "1", "true", "null", "x", "", "NaN", "1e999", " 1 ", "20260601"])
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


@cache
def made(kind: Any) -> type[Record]:  # noqa: ANN401 # any type of a field
    """Make a record of one field."""
    return create_model("One", __base__=Record, one=(kind, Field(description="The field.")))


def taken(kind: Any, text: str) -> Any:  # noqa: ANN401 # any type of a field
    """Read a value as a field of a type; ``...`` where it is refused."""
    try:
        return vars(made(kind).model_validate_json(f'{{"one": {text}}}'))["one"]
    except ValidationError:
        return ...


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@example(value=True)
@example(value=1.0)
@example(value=float("inf"))
@given(value=VALUES)
def test_an_accepted_value_is_written_as_it_was_read(kind: Any, value: object) -> None:  # noqa: ANN401 # the same
    text = json.dumps(value)
    found = taken(kind, text)

    if found is not ...:
        again = made(kind).model_validate({"one": found}).model_dump_json()
        if kind is float and type(value) is int:  # JSON has one kind of numbers
            assert float(json.loads(again)["one"]) == value
        else:
            assert again == json.dumps({"one": value}, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (_Level, "1", _Level.HIGH),
        (_Word, '"1"', _Word.ONE),
        (_Truth, "true", _Truth.YES),
        (_Mixed, '"x"', _Mixed.WORD),
        (Literal[0, True, "x"], "true", True),
        (float, "1", 1.0),
        (datetime, '"2024-02-29T12:00:00"', datetime(2024, 2, 29, 12)),  # noqa: DTZ001 # it has none
        (NaiveDatetime, '"2024-02-29 12:00:00.5"', datetime(2024, 2, 29, 12, 0, 0, 500_000)),  # noqa: DTZ001 # the same
        (date, '"2024-02-29"', date(2024, 2, 29)),
        (time, '"12:00:00"', time(12)),
        (timedelta, '"PT90M"', timedelta(minutes=90)),
        (Decimal, "1.10", Decimal("1.10")),
        (
            UUID,
            '"0f8fad5b-d9cb-469f-a165-70867728950e"',
            UUID(int=0xF8FAD5BD9CB469FA16570867728950E),
        ),
        (dict[str, AwareDatetime], "{}", {}),
    ],
)
def test_valid_values_are_accepted(kind: Any, text: str, value: object) -> None:  # noqa: ANN401 # any type of a field
    assert taken(kind, text) == value


TIMES: Mapping[str, Any] = {
    "a time": datetime,
    "a time with an offset": AwareDatetime,
    "a time without one": NaiveDatetime,
    "an optional time": datetime | None,
    "a date": date,
    "a list of times": list[AwareDatetime],
    "a time or a number": datetime | int,
    "a time with a check before": Annotated[AwareDatetime, BeforeValidator(lambda value: value)],
}

NO_TIMES = (
    *("0", "1", "-1", "20260601", "1717200000", "1717200000123", "1717200000.5", "1e9", "NaN"),
    *("now", "", " ", "2024", "2024-02", "20240229", "2024-W09-4", "2024-060", "12:00:00"),
    *("2024-02-29T12:00Z", "2024-02-30", "2024-02-30T00:00:00Z", "2024-02-29T24:00:00Z"),
    *("0000-01-01", "0000-01-01T00:00:00Z", "2024-02-29T12:00:61Z", "2024-02-29T12:00:60Z"),
    *("2024-02-29\n", "2024-02-29T12:00:00Z\n", "2024-02-29T12:00:00,5Z", "\u0662024-02-29"),
    *("2024-02-29_12:00:00Z", "2024-02-29T12:00:00\u221201:00", "9999-12-31T23:59:60Z"),
)


@pytest.mark.parametrize("kind", TIMES.values(), ids=TIMES)
@pytest.mark.parametrize("text", NO_TIMES)
def test_text_that_is_not_a_time_is_refused_as_a_time(kind: Any, text: str) -> None:  # noqa: ANN401 # any type of a field
    written = json.dumps(text)
    written = f"[{written}]" if kind == TIMES["a list of times"] else written

    assert taken(kind, written) is ...


@pytest.mark.parametrize("kind", [AwareDatetime, datetime, date])
@pytest.mark.parametrize("text", ["0", "1.5", "true", "[]", "{}"])
def test_other_json_values_are_refused_as_a_time(kind: Any, text: str) -> None:  # noqa: ANN401 # the same
    assert taken(kind, text) is ...


@pytest.mark.parametrize("name", ["0", "1", "20260601", "now"])
@pytest.mark.parametrize("kind", [dict[AwareDatetime, int], dict[date, int]])
def test_a_member_name_that_is_not_a_time_is_refused_as_a_time(kind: Any, name: str) -> None:  # noqa: ANN401 # the same
    assert taken(kind, f'{{"{name}": 1}}') is ...


def test_the_message_for_a_malformed_time_is_a_sentence() -> None:
    record = made(AwareDatetime)

    with pytest.raises(ValidationError) as caught:
        record.model_validate_json('{"one": "20260601"}')

    [error] = caught.value.errors()
    assert error["loc"] == ("one",)
    assert error["msg"] == "Input should be a time as in RFC 3339, with an offset"


def test_a_union_can_have_a_discriminator() -> None:
    kind = Annotated[_Cat | _Dog, Field(discriminator="kind")]

    assert taken(kind, '{"kind": "cat", "born": "2024-02-29"}') == _Cat(
        kind="cat", born=date(2024, 2, 29)
    )
    assert taken(kind, '{"kind": "cat", "born": "0"}') is ...
    assert taken(kind, '{"kind": "dog", "born": "0"}') is ...


class _StrictChain(Record):
    """A row that may hold another of its kind."""

    at: AwareDatetime = Field(description="A time.")
    next: "_StrictChain | None" = Field(default=None, description="The next one.")


@pytest.mark.parametrize(("inner", "fits"), [("2024-02-29T12:00:00Z", True), ("0", False)])
def test_a_recursive_record_is_as_strict(inner: str, *, fits: bool) -> None:
    body = {"at": "2024-02-29T12:00:00Z", "next": {"at": inner, "next": {"at": inner}}}

    if fits:
        assert _StrictChain.model_validate_json(json.dumps(body)).next is not None
    else:
        with pytest.raises(ValidationError):
            _StrictChain.model_validate_json(json.dumps(body))


def test_values_from_python_are_still_strict() -> None:
    record = made(AwareDatetime)

    with pytest.raises(ValidationError):
        record.model_validate({"one": "2024-02-29T12:00:00Z"})
    assert made(_Level).model_validate({"one": _Level.LOW}).model_dump() == {"one": _Level.LOW}
