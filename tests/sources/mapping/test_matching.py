"""Matching the rows of a response to the requested keys."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.expressions.ids import folded
from app.sources.base import UserId
from app.sources.mapping.rows import Matches, matches_of, may_be_of_another_case

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
OTHER = "0f8fad5b-d9cb-469f-a165-70867728950f"


def ids(*keys: str) -> list[UserId]:
    """Make keys."""
    return [UserId(key) for key in keys]


def matched(asked: Sequence[str], found: Sequence[str], *, fold_case: bool = False) -> Matches:
    """Find the row of each key."""
    return matches_of(ids(*asked), found, fold_case=fold_case)


def test_a_row_matches_the_identical_key() -> None:
    found = matched("abc", "cax")

    assert found == Matches({UserId("c"): 0, UserId("a"): 1}, frozenset(), 0, 1)


def test_the_first_row_of_a_key_is_used() -> None:
    assert matched("a", "aaa") == Matches({UserId("a"): 0}, frozenset(), 2, 0)


@pytest.mark.parametrize(("asked", "found"), [(ID.upper(), ID), (ID, ID.upper())])
def test_a_uuid_in_capitals_is_the_same_user(asked: str, found: str) -> None:
    assert matched([asked], [OTHER, found]).rows == {asked: 1}
    assert matched([asked, OTHER], [found, OTHER]).rows == {asked: 0, OTHER: 1}


def test_a_uuid_requested_in_both_cases_has_one_row() -> None:
    found = matched([ID, ID.upper()], [ID])

    assert found.rows == {ID: 0, ID.upper(): 0}
    assert (found.duplicate, found.unasked) == (0, 0)


def test_a_row_with_the_exact_key_has_priority() -> None:
    assert matched([ID.upper()], [ID, ID.upper()]).rows == {ID.upper(): 1}
    assert matched(["Ann"], ["ann", "ANN", "Ann"], fold_case=True).rows == {"Ann": 2}


def test_other_keys_differ_by_case_without_fold_case() -> None:
    assert matched(["ann"], ["ANN"]) == Matches({}, frozenset(), 0, 1)
    assert matched(["ann"], ["ANN"], fold_case=True).rows == {"ann": 0}


@pytest.mark.parametrize(
    ("asked", "found"),
    [("stra\u00dfe", "strasse"), ("kim", "\u212aim"), ("sam", "\u017fam"), ("\uff41nn", "ann")],
)
def test_keys_that_are_equal_only_by_unicode_rules_do_not_match(asked: str, found: str) -> None:
    for one, other in ((asked, found), (found, asked)):
        assert not matched([one], [other], fold_case=True).rows


def test_two_rows_that_match_only_without_case_are_ambiguous() -> None:
    found = matched(["ann", "bob"], ["Ann", "ANN", "BOB"], fold_case=True)

    assert found.rows == {"bob": 2}
    assert found.ambiguous == {"ann"}
    assert (found.duplicate, found.unasked) == (2, 0)


KEYS = st.sampled_from(
    [
        *(
            "ann",
            "Ann",
            "ANN",
            "bob",
            "BOB",
            "stra\u00dfe",
            "strasse",
            "STRASSE",
            "\u212a",
            "k",
            "K",
        ),
        *(ID, ID.upper(), ID.swapcase(), OTHER, OTHER.upper(), f"{ID}\n", f"{ID.upper()}\n"),
    ]
)


@example(asked=["ann", "ANN"], found=["Ann", "ANN"], beside="bob", fold_case=True)
@given(
    asked=st.lists(KEYS, unique=True, min_size=1),
    found=st.lists(KEYS),
    beside=KEYS,
    fold_case=st.booleans(),
)
def test_the_row_of_a_key_does_not_depend_on_other_keys(
    asked: list[str], found: list[str], beside: str, *, fold_case: bool
) -> None:
    together = matched(asked, found, fold_case=fold_case)

    for key in asked:
        alone = matched([key], found, fold_case=fold_case)
        assert alone.rows.get(UserId(key)) == together.rows.get(UserId(key))
        assert (key in alone.ambiguous) == (key in together.ambiguous)
        same = {
            one
            for one in found
            if folded(one, fold_case=fold_case) == folded(key, fold_case=fold_case)
        }
        place = together.rows.get(UserId(key))
        if key in found:
            assert place == found.index(key)
        elif len(same) == 1:
            assert place == found.index(same.pop())
        else:
            assert place is None
            assert (key in together.ambiguous) == bool(same)
    more = matched([*dict.fromkeys([*asked, beside])], found, fold_case=fold_case)
    assert together.rows.items() <= more.rows.items()
    assert together.duplicate + together.unasked + len({*together.rows.values()}) == len(found)


@given(asked=st.lists(KEYS, unique=True), found=st.lists(KEYS, unique=True), fold=st.booleans())
def test_a_skipped_search_for_another_case_misses_no_row(
    asked: list[str], found: list[str], *, fold: bool
) -> None:
    rows = matched(asked, found, fold_case=fold).rows
    unasked = len({*found} - {*asked})

    if not may_be_of_another_case(ids(*asked), dict.fromkeys(found), unasked=unasked):
        assert set(rows) == {*asked} & {*found}
