"""Where a source's keys are, as data, and from where they can never be had."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.settings.source import KeyFromSettings, KeyMistake, key_mistakes


def test_an_expression_is_compiled_when_it_is_read() -> None:
    with pytest.raises(ValidationError, match=r"there is no lenght\(\), but length\(\)"):
        KeyFromSettings(source="profile", expression="lenght(a)")
    assert KeyFromSettings(source="profile", expression="a.b").expression == "a.b"


@pytest.mark.parametrize(
    "parents",
    [
        {"a": None, "b": None},
        {"a": None, "b": "a"},
        {"a": None, "b": "a", "c": "a"},
        {"a": "b", "b": "c", "c": None},
    ],
)
def test_keys_may_be_from_any_other_source_and_those_from_another(
    parents: Mapping[str, str | None],
) -> None:
    assert list(key_mistakes(parents)) == []


@pytest.mark.parametrize(
    ("parents", "mistakes"),
    [
        ({"a": "x", "b": None, "c": None}, [("a", "expected one of b, c")]),
        ({"a": "a", "b": None}, [("a", "expected one of b")]),
        (
            {"a": "b", "b": "a", "c": "a"},
            [("a", "expected no cycle (a ← b ← a): none of these sources can be called first")],
        ),
        (
            {"d": "c", "a": "b", "b": "c", "c": "a"},
            [("a", "expected no cycle (a ← b ← c ← a): none of these sources can be called first")],
        ),
        (
            {"a": "b", "b": "a", "c": "x", "d": "c"},
            [
                ("a", "expected no cycle (a ← b ← a): none of these sources can be called first"),
                ("c", "expected one of a, b, d"),
            ],
        ),
    ],
)
def test_keys_that_can_never_be_had_are_told_each_once(
    parents: Mapping[str, str | None], mistakes: list[tuple[str, str]]
) -> None:
    assert list(key_mistakes(parents)) == [KeyMistake(*one) for one in mistakes]


@given(
    parents=st.dictionaries(
        st.sampled_from("abcde"), st.none() | st.sampled_from("abcdex"), max_size=5
    )
)
def test_where_nothing_is_told_every_way_ends(parents: Mapping[str, str | None]) -> None:
    wrong = list(key_mistakes(parents))

    def ends(name: str) -> bool:
        for _ in range(len(parents) + 1):
            parent = parents.get(name)
            if parent is None:
                return name in parents
            name = parent
        return False

    assert (not wrong) == all(ends(name) for name in parents)
