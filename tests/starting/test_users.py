"""The pattern of ids, and the unknown user of a probe."""

import pytest

from app.starting.users import UserIdError, tried_users

UUID = "7f1c2a36-0d5e-4a53-9a4e-1f0c3b7a9d10"
NIL = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("ids", "others", "stranger"),
    [
        ([UUID], "e1", NIL),
        (["17", " 18 "], "e1", "0"),
        (["e1"], "e 1", NIL),
        (["ada@example.com", "17"], "a,b", NIL),
        ([NIL, "x"], "é", "0"),
    ],
)
def test_the_pattern_is_the_narrowest_and_the_other_id_is_unknown(
    ids: list[str], others: str, stranger: str
) -> None:
    users = tried_users(ids)

    assert all(users.pattern.fullmatch(one.strip()) for one in ids)
    assert not users.pattern.fullmatch(others)
    assert users.stranger == stranger


@pytest.mark.parametrize("user", ["", "e 1", "a,b", "{id}", "../x", "é", "a\nb", "x" * 129])
def test_an_id_with_unsafe_characters_is_refused(user: str) -> None:
    with pytest.raises(UserIdError, match="expected an id of letters"):
        tried_users([user])
