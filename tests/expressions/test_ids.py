"""Ids of users that differ in case: when they are the same user."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.expressions.ids import UUID_PATTERN, folded, same_user

ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@given(user=st.uuids().map(str), data=st.data())
def test_case_is_ignored_in_a_uuid(user: str, data: st.DataObject) -> None:
    written = "".join(data.draw(st.sampled_from([one.lower(), one.upper()])) for one in user)

    assert folded(written) == folded(user) == user


@given(user=st.text(max_size=40))
def test_an_id_that_is_not_a_uuid_is_not_folded(user: str) -> None:
    if not UUID_PATTERN.fullmatch(user):
        assert folded(user) == user


@pytest.mark.parametrize(
    "user",
    [
        *(f"{ID.upper()}\n", f" {ID.upper()}", f"{ID.upper()}0", ID.upper()[:-1], "ANN"),
        *(ID.upper().replace("-", ""), f"{{{ID.upper()}}}", f"urn:uuid:{ID.upper()}"),
        *(ID.upper().replace("A", "\uff21"), ID.upper().replace("0", "\u0660")),
    ],
)
def test_an_id_that_only_resembles_a_uuid_keeps_its_case(user: str) -> None:
    assert folded(user) == user


@given(one=st.text(max_size=12), other=st.text(max_size=12))
def test_only_ascii_letters_are_folded(one: str, other: str) -> None:
    small = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")

    same = folded(one, fold_case=True) == folded(other, fold_case=True)
    assert same == (one.translate(small) == other.translate(small))
    assert same_user(one, other, fold_case=True) == same
    assert same_user(one, other) == (folded(one) == folded(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("stra\u00dfe", "strasse"),
        ("STRASSE", "stra\u00dfe"),
        ("\u212aelvin", "kelvin"),
        ("\u017fam", "sam"),
        ("\u0130d", "id"),
        ("I\u0307d", "\u0130d"),
        ("\u0131d", "id"),
        ("\uff21nn", "ann"),
        ("\u03a3", "\u03c2"),
        ("\u00c9ric", "\u00e9ric"),
        ("ann\n", "ann"),
        ("ann\x00", "ann"),
    ],
)
def test_ids_that_are_equal_only_by_unicode_folding_are_different_users(
    one: str, other: str
) -> None:
    assert folded(one, fold_case=True) != folded(other, fold_case=True)
    assert not same_user(one, other, fold_case=True)
