"""The order of errors: that of their places in the answer."""

from typing import Any

import pytest
from graphql import GraphQLFormattedError
from hypothesis import given
from hypothesis import strategies as st

from app.execution.response_errors import in_answer_order

Data = dict[str, Any] | None


def failed(*path: str | int, line: int = 1, column: int = 1) -> GraphQLFormattedError:
    """Make an error at a place."""
    return {
        "message": ".".join(map(str, path)),
        "path": list(path),
        "locations": [{"line": line, "column": column}],
    }


def told(errors: list[GraphQLFormattedError], data: Data) -> list[str]:
    """Give the places of errors in their order."""
    return [error.get("message", "") for error in in_answer_order(errors, data)]


def test_fields_are_in_the_order_of_the_answer_and_not_of_their_names() -> None:
    data: Data = {"z": {"b": None, "a": None}, "a": None}

    assert told([failed("a"), failed("z", "a"), failed("z", "b")], data) == ["z.b", "z.a", "a"]


def test_items_are_in_the_order_of_their_numbers() -> None:
    data: Data = {"u": [{"x": None} for _ in range(12)]}
    errors = [failed("u", number, "x") for number in (11, 2, 10, 0)]

    assert told(errors, data) == ["u.0.x", "u.2.x", "u.10.x", "u.11.x"]


def test_an_item_that_is_null_is_where_it_would_be() -> None:
    data: Data = {"u": [{"x": None}, None, {"x": None}]}

    assert told([failed("u", 2, "x"), failed("u", 1), failed("u", 0, "x")], data) == [
        *("u.0.x", "u.1", "u.2.x"),
    ]


@pytest.mark.parametrize("data", [None, {"u": None}])
def test_where_the_answer_has_no_such_place_the_document_decides(data: Data) -> None:
    errors = [
        failed("u", "c", line=2, column=1),
        failed("u", "b", line=1, column=9),
        failed("u", "a", line=1, column=4),
    ]

    assert told(errors, data) == ["u.a", "u.b", "u.c"]


@pytest.mark.parametrize("errors", [[], [failed("a")], [{"message": "no path"}]])
def test_one_error_or_none_is_as_it_is(errors: list[GraphQLFormattedError]) -> None:
    assert in_answer_order(errors, {"a": None}) == errors


ANSWERS = st.recursive(
    st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcde"), inner),
    max_leaves=12,
)


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """List the places in an answer where there is nothing, in their order."""
    if isinstance(value, dict):
        return [one for name, inner in value.items() for one in places(inner, (*path, name))]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return [one for at, inner in enumerate(value) for one in places(inner, (*path, at))]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return [path]


@given(data=st.dictionaries(st.sampled_from("abcde"), ANSWERS, max_size=4), chance=st.randoms())
def test_however_errors_come_their_order_is_the_answer_s(data: dict[str, Any], chance: Any) -> None:  # noqa: ANN401 # a Random
    wanted = [".".join(map(str, path)) for path in places(data) if path]
    errors = [failed(*path) for path in places(data) if path]
    chance.shuffle(errors)

    assert told(errors, data) == wanted
