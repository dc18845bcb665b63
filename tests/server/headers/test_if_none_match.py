"""Entity tags that clients send."""

from hypothesis import given
from hypothesis import strategies as st

from app.server.client_caching import matches

TAGS = st.text("abc", max_size=2).map(lambda text: f'"{text}"')


@given(tags=st.lists(TAGS), weak=st.booleans(), tag=TAGS)
def test_each_tag_of_a_client_matches_weak_or_strong(
    *, tags: list[str], weak: bool, tag: str
) -> None:
    text = " , ".join(f"W/{one}" if weak else one for one in tags)

    assert matches(text, tag) == (tag in tags)
    assert matches("*", tag)
