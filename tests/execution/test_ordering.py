"""The order of errors is the order of their paths in the response."""

from typing import Any

import pytest
from graphql import GraphQLFormattedError
from hypothesis import given
from hypothesis import strategies as st

from app.execution.response_errors import in_answer_order

Data = dict[str, Any] | None


def failed(*path: str | int, line: int = 1, column: int = 1) -> GraphQLFormattedError:
    """Make an error at a path."""
    return {
        "message": ".".join(map(str, path)),
        "path": list(path),
        "locations": [{"line": line, "column": column}],
    }


def ordered(errors: list[GraphQLFormattedError], data: Data) -> list[str]:
    """Return the paths of errors in their order."""
    return [error.get("message", "") for error in in_answer_order(errors, data)]


def test_errors_of_fields_are_in_the_order_of_the_response_not_of_names() -> None:
    data: Data = {"z": {"b": None, "a": None}, "a": None}

    assert ordered([failed("a"), failed("z", "a"), failed("z", "b")], data) == ["z.b", "z.a", "a"]


def test_errors_of_items_are_in_the_order_of_their_indexes() -> None:
    data: Data = {"u": [{"x": None} for _ in range(12)]}
    errors = [failed("u", number, "x") for number in (11, 2, 10, 0)]

    assert ordered(errors, data) == ["u.0.x", "u.2.x", "u.10.x", "u.11.x"]


def test_an_error_of_a_null_item_is_at_the_item_s_index() -> None:
    data: Data = {"u": [{"x": None}, None, {"x": None}]}

    assert ordered([failed("u", 2, "x"), failed("u", 1), failed("u", 0, "x")], data) == [
        *("u.0.x", "u.1", "u.2.x"),
    ]


@pytest.mark.parametrize("data", [None, {"u": None}])
def test_errors_without_a_place_in_the_response_are_in_the_document_s_order(data: Data) -> None:
    errors = [
        failed("u", "c", line=2, column=1),
        failed("u", "b", line=1, column=9),
        failed("u", "a", line=1, column=4),
    ]

    assert ordered(errors, data) == ["u.a", "u.b", "u.c"]


@pytest.mark.parametrize("errors", [[], [failed("a")], [{"message": "no path"}]])
def test_one_error_or_none_is_returned_unchanged(errors: list[GraphQLFormattedError]) -> None:
    assert in_answer_order(errors, {"a": None}) == errors


ANSWERS = st.recursive(
    st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcde"), inner),
    max_leaves=12,
)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """List the paths of nulls in a response, in their order."""
    if isinstance(value, dict):
        return [one for name, inner in value.items() for one in places(inner, (*path, name))]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return [one for at, inner in enumerate(value) for one in places(inner, (*path, at))]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return [path]


@given(data=st.dictionaries(st.sampled_from("abcde"), ANSWERS, max_size=4), chance=st.randoms())
def test_errors_in_any_order_are_sorted_by_the_response(data: dict[str, Any], chance: Any) -> None:  # noqa: ANN401 # a Random
    wanted = [".".join(map(str, path)) for path in places(data) if path]
    errors = [failed(*path) for path in places(data) if path]
    chance.shuffle(errors)

    assert ordered(errors, data) == wanted
