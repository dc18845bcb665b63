"""Limits on the size, number and depth of the values of variables."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import LimitError
from app.execution.limits.budget import check_variables
from app.settings.limits import LimitsSettings

VALUES = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        st.none() | st.integers(-9, 9) | st.text(alphabet="[{a,", max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=3,
)


def depth_of(value: object) -> int:
    """Return the depth of nested lists and objects."""
    match value:
        case list():
            return 1 + max(map(depth_of, value), default=0)  # pyright: ignore[reportUnknownArgumentType]
        case dict():
            return 1 + max(map(depth_of, value.values()), default=0)  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return 0


def number_of(value: object) -> int:
    """Count a value and all values in it."""
    match value:
        case list():
            return 1 + sum(map(number_of, value))  # pyright: ignore[reportUnknownArgumentType]
        case dict():
            return 1 + sum(map(number_of, value.values()))  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return 1


def refused_by(values: Mapping[str, Any], **limits: int) -> str | None:
    """Return the limit that refuses values."""
    try:
        check_variables(values, LimitsSettings.model_validate(limits))
    except LimitError as error:
        return error.limit
    return None


@given(VALUES, st.integers(1, 4))
def test_only_values_deeper_than_the_limit_are_refused(
    values: dict[str, Any], allowed: int
) -> None:
    deepest = max(map(depth_of, values.values()), default=0)

    refused = refused_by(values, variables_depth=allowed, variables_bytes=0)

    assert (refused == "variables_depth") is (deepest > allowed)


@given(VALUES, st.integers(1, 12))
@example({"v": ",[{,[{"}, 1)
@example({"v": [[], {}]}, 2)
@example({"v": [[], {}]}, 3)
def test_only_more_values_than_the_limit_are_refused(values: dict[str, Any], allowed: int) -> None:
    number = sum(map(number_of, values.values()))

    refused = refused_by(values, variables_depth=0, variables_values=allowed, variables_bytes=0)

    assert (refused == "variables_values") is (number > allowed)


@given(VALUES, st.integers(1, 60))
def test_only_values_longer_than_the_limit_are_refused(
    values: dict[str, Any], allowed: int
) -> None:
    refused = refused_by(values, variables_depth=0, variables_bytes=allowed)

    assert (refused == "variables_bytes") is bool(values and len(orjson.dumps(values)) > allowed)


@pytest.mark.parametrize("limits", [{}, {"variables_depth": 0}])
def test_values_that_are_too_deep_to_serialize_are_refused(limits: dict[str, int]) -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]

    assert refused_by({"v": value}, **limits) == "variables_depth"


def test_numbers_of_any_length_are_counted_by_their_digits() -> None:
    assert refused_by({"v": 10**4000}, variables_bytes=4000) == "variables_bytes"
    assert refused_by({"v": 10**4000}, variables_bytes=5000) is None
    assert refused_by({"v": 10**100_000}, variables_bytes=0) == "variables_digits"
