"""The text of a document, and where its lines begin."""

from graphql import Source
from hypothesis import given
from hypothesis import strategies as st

from app.execution.limits.counts import IndexedSource

TEXTS = st.text(alphabet="a\r\n{", max_size=40)


@given(TEXTS, st.integers(0, 40))
def test_every_position_is_where_graphql_core_finds_it(text: str, position: int) -> None:
    assert IndexedSource(text).get_location(position) == Source(text).get_location(position)
