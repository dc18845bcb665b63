"""What is asked in place of users, and whose answers those are."""

from hypothesis import given
from hypothesis import strategies as st

from app.errors import Code, SourceError
from app.federation.keyed import Keyed

FAILED = SourceError("profile", Code.SOURCE_TIMEOUT, "slow")


def test_each_key_is_asked_once_and_answers_all_who_share_it() -> None:
    keyed = Keyed(["b", None, "a", FAILED, "b"])

    assert keyed.asked == ["b", "a"]
    assert keyed.answers({"a": 1, "b": None}) == [None, None, 1, FAILED, None]


def test_where_nobody_has_a_key_nothing_is_asked() -> None:
    keyed: Keyed[str] = Keyed([None, FAILED])

    assert keyed.asked == []
    assert keyed.answers({}) == [None, FAILED]


@given(places=st.lists(st.none() | st.just(FAILED) | st.text(max_size=2)))
def test_who_has_a_key_gets_what_it_says_and_who_has_none_what_is_there(
    places: list[str | SourceError | None],
) -> None:
    keyed = Keyed(places)

    assert len(set(keyed.asked)) == len(keyed.asked)
    assert keyed.answers({key: (key,) for key in keyed.asked}) == [
        (place,) if isinstance(place, str) else place for place in places
    ]
