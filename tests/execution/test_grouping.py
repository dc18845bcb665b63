"""Grouped errors are complete; ``test_grouped_errors.py`` tests the response to clients."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from graphql import GraphQLFormattedError
from hypothesis import given
from hypothesis import strategies as st

from app.execution.grouped_errors import grouped


def error_of(path: list[str | int], code: str, source: str | None) -> GraphQLFormattedError:
    """Make an error as clients get it."""
    return {
        "message": f"{code} at {path[-1]}",
        "path": path,
        "locations": [{"line": 1, "column": len(str(path[-1]))}],
        "extensions": {"code": code} | ({} if source is None else {"source": source}),
    }


ERRORS: st.SearchStrategy[list[GraphQLFormattedError]] = st.lists(
    st.builds(
        error_of,
        st.lists(st.sampled_from(["a", "b", 0, 1]), min_size=1, max_size=4),
        st.sampled_from(["FORBIDDEN", "SOURCE_TIMEOUT"]),
        st.sampled_from(["billing", "profile", None]),
    ),
    max_size=12,
)

Key = tuple[object, object, object]


def key_of(error: Any) -> Key:  # noqa: ANN401 # an error as JSON
    """Return what all errors of a group have in common."""
    return error["path"][0], error["extensions"]["code"], error["extensions"].get("source")


@given(errors=ERRORS)
def test_grouped_errors_count_each_failed_field_once(
    errors: Sequence[GraphQLFormattedError],
) -> None:
    groups: Sequence[Any] = [*grouped(errors)]

    keys = [key_of(one) for one in groups]
    assert keys == [*dict.fromkeys(key_of(one) for one in errors)]
    counted = Counter[object]()
    for key, group in zip(keys, groups, strict=True):
        for one in group["extensions"]["paths"]:
            counted[key, tuple(one["path"])] += one["count"]
    assert counted == Counter(
        (
            key_of(one),
            tuple("*" if isinstance(part, int) else part for part in one.get("path", ())),
        )
        for one in errors
    )
