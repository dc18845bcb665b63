"""UUIDs: known as the pattern of user ids knows them."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.expressions.ids import UUID_PATTERN, are_uuids

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def changed(text: str, place: int, character: str) -> str:
    """Put something in the place of a character of a text."""
    return text[:place] + character + text[place + 1 :]


NEARLY: st.SearchStrategy[str] = st.builds(
    changed,
    st.sampled_from([ID, ID.upper()]),
    st.integers(0, 36),
    st.sampled_from(["", "-", " ", "\t", "\n", "g", "0", "F", "é", "٣", "0-", "\x00"]),
)
"""A UUID with one character changed, left out or put in."""

TEXTS = st.lists(st.one_of(st.uuids().map(str), NEARLY, st.text(max_size=40)), max_size=6)


@given(texts=TEXTS)
def test_they_are_uuids_where_each_matches_the_pattern(texts: list[str]) -> None:
    matched = bool(texts) and all(UUID_PATTERN.fullmatch(text) for text in texts)

    assert are_uuids(texts) is matched


@given(ids=st.lists(st.uuids(), min_size=1, max_size=200))
def test_any_number_of_uuids_is_known(ids: list[UUID]) -> None:
    assert are_uuids([str(one) for one in ids])


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([ID[:-1], ID + "0"], id="one borrows from the other"),
        pytest.param([ID[:8] + ID[9:] + "-"], id="a hyphen elsewhere"),
        pytest.param([ID[:-2] + "  "], id="spaces, which fromhex passes over"),
    ],
)
def test_texts_that_only_together_have_the_right_length_are_none(texts: list[str]) -> None:
    assert not are_uuids(texts)
