"""Grouping errors loses none of them; what clients see of it is in ``test_grouped_errors.py``."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.execution.grouped_errors import grouped

ERRORS = st.lists(
    st.builds(
        lambda path, code, source: {
            "message": f"{code} at {path[-1]}",
            "path": path,
            "locations": [{"line": 1, "column": len(str(path[-1]))}],
            "extensions": {"code": code} | ({} if source is None else {"source": source}),
        },
        st.lists(st.sampled_from(["a", "b", 0, 1]), min_size=1, max_size=4),
        st.sampled_from(["FORBIDDEN", "SOURCE_TIMEOUT"]),
        st.sampled_from(["billing", "profile", None]),
    ),
    max_size=12,
)


@given(errors=ERRORS)
def test_no_failed_field_is_lost_or_counted_twice(errors: Sequence[Any]) -> None:
    groups: Sequence[Any] = grouped(errors)

    def pattern(path: Sequence[str | int]) -> tuple[str, ...]:
        return tuple("*" if isinstance(part, int) else part for part in path)

    keys = [
        (one["path"][0], one["extensions"]["code"], one["extensions"].get("source"))
        for one in groups
    ]
    assert len(set(keys)) == len(keys)
    counted = Counter[object]()
    for key, group in zip(keys, groups, strict=True):
        for one in group["extensions"]["paths"]:
            counted[key, pattern(one["path"])] += one["count"]
    assert counted == Counter(
        (
            (one["path"][0], one["extensions"]["code"], one["extensions"].get("source")),
            pattern(one["path"]),
        )
        for one in errors
    )
