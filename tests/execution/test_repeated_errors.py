"""Repeated errors: the same errors for many users, stored once."""

from collections.abc import Sequence
from typing import cast

import msgspec
from graphql import GraphQLFormattedError
from hypothesis import given
from hypothesis import strategies as st

from app.execution.grouped_errors import grouped
from app.execution.repeated_errors import RepeatedErrors
from app.execution.request import OperationReport

NAMES = st.from_regex(r"[_A-Za-z][_0-9A-Za-z]{0,8}", fullmatch=True)
PLACES = st.lists(st.integers(0, 10_000), unique=True, max_size=6)


@st.composite
def field_errors(draw: st.DrawFn) -> GraphQLFormattedError:
    """Make the error of a field as the renderer does."""
    extensions = {"code": draw(st.sampled_from(["SOURCE_TIMEOUT", "FORBIDDEN"]))}
    if draw(st.booleans()):
        extensions["source"] = draw(st.sampled_from(["billing", "activity"]))
    lines = draw(st.lists(st.integers(1, 9), max_size=2))
    return cast(
        "GraphQLFormattedError",
        {
            "message": draw(st.sampled_from(["It is down.", 'The "source" is ünavailable: [0,1]'])),
            "locations": [{"line": line, "column": 3} for line in lines],
            "path": [],
            "extensions": extensions,
        },
    )


@given(
    NAMES,
    PLACES,
    st.dictionaries(NAMES, field_errors(), min_size=1, max_size=4).map(
        lambda each: [*each.items()]
    ),
)
def test_repeated_errors_are_equal_to_the_errors_of_each_user(
    root: str, places: Sequence[int], fields: Sequence[tuple[str, GraphQLFormattedError]]
) -> None:
    repeated = RepeatedErrors(root, places, fields)
    every = [
        cast("GraphQLFormattedError", {**error, "path": [root, place, name]})
        for place in places
        for name, error in fields
    ]

    assert [*repeated] == every
    assert len(repeated) == len(every)
    assert [repeated[index] for index in range(len(every))] == every
    assert repeated[:2] == every[:2]
    assert repeated.json() == msgspec.json.encode(every)
    assert grouped(repeated) == grouped(every)
    assert _counted(repeated) == _counted(every)


def _counted(errors: Sequence[GraphQLFormattedError]) -> Sequence[tuple[tuple[str, str], int]]:
    """Count errors in their order, as the report of an operation does."""
    report = OperationReport()
    report.count(errors)
    return [*report.errors.items()]
