"""Positions in the text of a document."""

from graphql import Source
from hypothesis import given
from hypothesis import strategies as st

from app.execution.limits.counts import IndexedSource

TEXTS = st.text(alphabet="a\r\n{", max_size=40)


@given(TEXTS, st.integers(0, 40))
def test_every_position_has_the_line_and_column_of_graphql_core(text: str, position: int) -> None:
    assert IndexedSource(text).get_location(position) == Source(text).get_location(position)
