"""Writing users: what a function that reads a record is known by, and how times are written."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, TypeAdapter

from app.graphql.scalars import write_time
from app.graphql.writer import attribute_of

TIMES = TypeAdapter(AwareDatetime)


@dataclass
class Row:
    """A record."""

    name: str | None
    nickname: str | None


def renamed(row: Row) -> str | None:
    """Read an attribute by a function."""
    return row.name


def test_a_function_that_reads_one_attribute_is_known_by_it() -> None:
    plain: Callable[[Row], object] = lambda row: row.nickname  # noqa: E731 # as fields have it

    assert attribute_of(plain) == "nickname"
    assert attribute_of(renamed) == "name"


def test_nothing_is_kept_of_a_function_that_was_looked_at() -> None:
    looked_at: Callable[[Row], object] = lambda row: row.name  # noqa: E731 # as fields have it
    left = weakref.ref(looked_at)

    attribute_of(looked_at)
    del looked_at

    assert left() is None


MORE: list[Callable[[Any], object]] = [
    lambda row: row,
    lambda _: None,
    lambda _: "constant",
    lambda row: row.name.lower(),
    lambda row: row.name[0],
    lambda row: [row.name],
    lambda row: row.name or row.nickname,
    lambda row: row.name and row.nickname,
    lambda row: row.name if row.name is not None else row.nickname,
    lambda row: name if (name := row.name) is not None else row.nickname,
    lambda row: name if (name := row.name) is not None else "nobody",
    lambda row: name if isinstance(name := row.name, str) else None,
    lambda row: row.name if row.nickname is None else None,
    lambda row: row.name if row.name == "x" else None,
    lambda row: {"x": 1}.get(row.name),
    lambda row: getattr(row, "name", None) or "x",
    lambda row: len(row.name),
    lambda row: 1 / 0 if row.name is None else row.name,
]
"""Functions that do more than read one attribute."""


@pytest.mark.parametrize("get", MORE, ids=range(len(MORE)))
def test_a_function_that_does_more_is_not_taken_for_less(get: Callable[[Any], object]) -> None:
    assert attribute_of(get) is None


@given(moment=st.datetimes(timezones=st.timezones() | st.none()), minutes=st.integers(-1439, 1439))
def test_orjson_writes_the_times_of_records_as_the_scalar_does(
    moment: datetime, minutes: int
) -> None:
    sign, offset = "-" if minutes < 0 else "+", abs(minutes)
    text = f"{moment.replace(tzinfo=None).isoformat()}{sign}{offset // 60:02}:{offset % 60:02}"
    parsed = TIMES.validate_json(orjson.dumps(text), strict=True)

    written = orjson.loads(orjson.dumps(parsed, option=orjson.OPT_UTC_Z))

    assert written == write_time(parsed)
