"""Expressions that only walk names: the same values as by JMESPath's interpreter."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.expressions.expression import compile_expression
from app.fastpath.paths import PathExpression, walking

NAMES = st.sampled_from(["a", "b", "c d", "urn:x.y", "é", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(names=st.lists(NAMES, min_size=1, max_size=4), row=VALUES)
def test_walking_gives_what_the_interpreter_gives(names: list[str], row: object) -> None:
    text = ".".join(map(json.dumps, names))

    walked = walking(text)

    assert isinstance(walked, PathExpression)
    whole = compile_expression(text)
    assert walked.evaluate(row) is whole.evaluate(row)
    assert (walked.text, walked.members, walked.reads_response) == (
        whole.text,
        whole.members,
        whole.reads_response,
    )


@pytest.mark.parametrize(
    "text", ["@", "a[0]", "a || b", "$status", "$headers.x", "a.b[]", "a | b", "{a: b}", "'a'", "*"]
)
def test_all_else_is_left_to_the_interpreter(text: str) -> None:
    assert not isinstance(walking(text), PathExpression)
