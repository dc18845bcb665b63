"""The members that an expression reads in one row, and in the rows of a user."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.expressions.expression import EvaluationError, compile_expression
from app.expressions.reading import RowShape

GROUPED: Mapping[str, set[str]] = {
    "[0].at": {"at"},
    "[-1].user.name": {"user"},
    "[*].n": {"n"},
    "sum([*].n)": {"n"},
    "[].n": {"n"},
    "[:20].{id: id, type: kind, at: upper(at)}": {"id", "kind", "at"},
    "length(@)": set(),
    "length([?kind == 'login'])": {"kind"},
    "[?kind == 'login'] | [0].at": {"kind", "at"},
    "([?kind == 'login'])[0].at || [0].at": {"kind", "at"},
    "[?a].b || [*].c": {"a", "b", "c"},
    "([?a] || [?b])[0].c": {"a", "b", "c"},
    "sort_by(@, &at)[-1].id": {"at", "id"},
    "max_by(@, &at).id": {"at", "id"},
    "map(&n, @)": {"n"},
    "reverse(@)[0].n": {"n"},
    "[0].[a, b]": {"a", "b"},
    "{a: [0].x, b: [1].y}": {"x", "y"},
    "[?!deleted].tags[] | [0]": {"deleted", "tags"},
    "at": set(),
    "$status == `200` && [0].at": {"at"},
    "'constant'": set(),
}


def read(text: str, shape: RowShape) -> set[str] | None:
    """Find the members that an expression reads; return ``None`` if it may read any."""
    members = compile_expression(text).members_of(shape)
    return None if members is None else set(members)


@pytest.mark.parametrize(("text", "members"), GROUPED.items())
def test_the_members_that_are_read_in_each_row_of_a_user_are_found(
    text: str, members: set[str]
) -> None:
    assert read(text, RowShape.ROWS) == members


@pytest.mark.parametrize(
    "text",
    [
        "@",
        "[0]",
        "[*]",
        "[?a]",
        "[0] || [1]",
        "[0] && [0].a",
        "![0]",
        "to_string(@)",
        "[*].keys(@)",
        "[0] | length(@)",
        "[*].{row: @}",
        "[[0], [1]]",
        "[0] == [1]",
        "contains(@, `1`)",
        "[?@].a",
        "[*].*",
        "[0].* | [0]",
        "[0][0]",
        "sort_by(@, &@)[0].a",
        "map(&@, @)",
        "not_null([0], [1]).a",
    ],
)
def test_an_expression_that_uses_a_row_as_a_whole_may_read_any_member(text: str) -> None:
    assert compile_expression(text).members_of(RowShape.ROWS) is None


def test_the_members_that_are_read_in_named_rows_are_found() -> None:
    named = RowShape.NAMED_ROWS

    assert read("account.plan || balance.due", named) == {"plan", "due"}
    assert read("*.plan | [0]", named) == {"plan"}
    assert read("account", named) is None


NAMES = ("a", "b", "c", "d")
PATH = st.sampled_from([*NAMES, "a.b", "b[0]", "c[*].a", "d[]", "length(a)", "to_string(b)", "!a"])
OF_A_ROW = st.one_of(
    PATH,
    st.builds("{} || {}".format, PATH, PATH),
    st.builds("{} && {}".format, PATH, PATH),
    st.builds("{{x: {}, y: {}}}".format, PATH, PATH),
    st.builds("[{}, {}]".format, PATH, PATH),
    st.just("@"),
    st.just("keys(@)"),
)
CONDITION = st.one_of(
    st.builds("{} == {}".format, PATH, PATH), PATH, st.builds("!({})".format, PATH), st.just("@")
)
LIST = st.one_of(
    st.just("@"),
    st.just("[*]"),
    st.just("[]"),
    st.just("[1:]"),
    st.builds("[?{}]".format, CONDITION),
    st.builds("sort_by(@, &{})".format, PATH),
    st.just("reverse(@)"),
)
ROWS = st.recursive(
    LIST,
    lambda inner: st.one_of(
        st.builds("({}) | {}".format, inner, LIST),
        st.builds("({} || {})".format, inner, inner),
        st.builds("({} && {})".format, inner, inner),
    ),
    max_leaves=3,
)
OF_ROWS = st.one_of(
    st.builds("({})[*] | [*].[{}]".format, ROWS, OF_A_ROW),
    st.builds("map(&{}, {})".format, OF_A_ROW, ROWS),
    st.builds("({}) | [0].[{}]".format, ROWS, OF_A_ROW),
    st.builds("length({})".format, ROWS),
    st.builds("max_by({}, &{}).[{}]".format, ROWS, PATH, OF_A_ROW),
    st.builds("!({})".format, ROWS),
)
EXPRESSION = st.one_of(
    OF_ROWS,
    st.builds("({}) || ({})".format, OF_ROWS, OF_ROWS),
    st.builds("{{x: {}, y: {}}}".format, OF_ROWS, OF_ROWS),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x", "y"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=4,
)
TABLE = st.lists(st.dictionaries(st.sampled_from(NAMES), JSON, min_size=1), max_size=4)


def result(text: str, value: object) -> object:
    """Evaluate an expression; return the class of the error if it fails."""
    try:
        return compile_expression(text).evaluate(value)
    except EvaluationError:
        return EvaluationError


def reduced(row: Mapping[str, Any], names: frozenset[str]) -> Mapping[str, Any]:
    """Keep only some members of a row."""
    return {name: value for name, value in row.items() if name in names}


@given(text=EXPRESSION, rows=TABLE)
def test_the_found_members_are_enough_for_the_rows_of_a_user(
    text: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    names = compile_expression(text).members_of(RowShape.ROWS)
    if names is not None:
        assert result(text, [reduced(row, names) for row in rows]) == result(text, rows)


@given(text=OF_A_ROW, row=TABLE)
def test_the_found_members_are_enough_for_one_row(
    text: str, row: Sequence[Mapping[str, Any]]
) -> None:
    names = compile_expression(text).members
    if names is not None:
        for one in row:
            assert result(text, reduced(one, names)) == result(text, one)
