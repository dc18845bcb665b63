"""Groups the errors of an answer: one for each failed source and root field. Pure.

By the specification, each failed field has an error at its path. If one source fails, or the caller
may not see one field, a list of fifty users has fifty errors or more, which differ only in their
paths. A client may ask for one error instead, with the paths as patterns:

    {"message": "The billing source is unavailable.", "path": ["users"],
     "extensions": {"code": "SOURCE_UNAVAILABLE", "source": "billing",
                    "paths": [{"path": ["users", "*", "plan"], "count": 50}]}}

Errors are made and sorted as always, and grouped at the end. So both renderers group in the same
way.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from graphql import GraphQLFormattedError

from app.execution.repeated_errors import RepeatedErrors
from app.execution.response_errors import MAX_MESSAGE

ITEM = "*"
"""What stands in a pattern for the number of an item in a list."""

GroupKey: TypeAlias = tuple[str | int, object, object]
"""What the errors of a group have in common: root field, code and source."""


def grouped(errors: Sequence[GraphQLFormattedError]) -> list[GraphQLFormattedError]:
    """Group errors by root field, code and source.

    Args:
        errors: The errors of an executed operation, in the order of the answer. They are not
            changed.

    Returns:
        One error for each group, in the order of the first error of each. ``path`` is that of the
        root field, and ``extensions.paths`` has the paths of the group, each with the number of its
        errors. If their messages differ, as those of fields that the caller may not see do, the
        message has each of them once. Errors without a path stay as they are.
    """
    each, times = errors, 1
    if isinstance(errors, RepeatedErrors):
        each, times = errors.of_one, len(errors.places)
    groups: dict[GroupKey, list[GraphQLFormattedError]] = {}
    for number, error in enumerate(each):
        path, extensions = error.get("path"), error.get("extensions", {})
        key: GroupKey = (number, None, None)
        if path:
            key = (path[0], extensions.get("code"), extensions.get("source"))
        groups.setdefault(key, []).append(error)
    return [
        _group(several, times) if several[0].get("path") else several[0]
        for several in groups.values()
    ]


def _group(errors: Sequence[GraphQLFormattedError], times: int) -> GraphQLFormattedError:
    """Make one error of those of a group, each of which there is so many times."""
    first = errors[0]
    counts: dict[tuple[str, ...], int] = {}
    for error in errors:
        pattern = tuple(ITEM if isinstance(part, int) else part for part in error.get("path", ()))
        counts[pattern] = counts.get(pattern, 0) + times
    paths = [{"path": [*pattern], "count": count} for pattern, count in counts.items()]
    group: GraphQLFormattedError = {
        "message": _joined(dict.fromkeys(error.get("message", "") for error in errors)),
        "path": [*first.get("path", ())][:1],
        "extensions": {**first.get("extensions", {}), "paths": paths},
    }
    if locations := [*_locations(errors)]:
        group["locations"] = locations
    return group


def _joined(messages: dict[str, None]) -> str:
    """Join different messages, up to ``MAX_MESSAGE`` characters."""
    text = "; ".join(messages)
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + "…"


def _locations(errors: Sequence[GraphQLFormattedError]) -> Iterator[Any]:
    """Yield the different locations of errors in the document."""
    seen: set[tuple[int, int]] = set()
    for error in errors:
        for location in error.get("locations", ()):
            place = location["line"], location["column"]
            if place not in seen:
                seen.add(place)
                yield location
