"""The order of errors: that of their places in the answer. Pure.

An executor reports errors as they happen, so that their order would tell which source was faster,
and a compiled operation would differ from an interpreted one. The answer has one order: fields as
they are selected, items as they are numbered, and what is in one before what follows it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from graphql import GraphQLFormattedError

Place: TypeAlias = tuple[list[int], list[int]]
"""Where an error is in the answer; and in the document, where the answer has no such place."""


def in_answer_order(
    errors: Sequence[GraphQLFormattedError], data: Mapping[str, Any] | None
) -> Sequence[GraphQLFormattedError]:
    """Put errors into the order of their places in the answer.

    Args:
        errors: The errors, with their paths.
        data: The data of the answer. Where an error has taken more than its own place with it
            (``PROPAGATE``), what is left of its path decides, and then its place in the document.

    Returns:
        The same errors.
    """
    if len(errors) < 2:  # noqa: PLR2004 # one has no order
        return errors
    numbers: dict[int, Mapping[str, int]] = {}

    def numbered(value: Mapping[str, Any]) -> Mapping[str, int]:
        if (found := numbers.get(id(value))) is None:
            found = numbers[id(value)] = {name: number for number, name in enumerate(value)}
        return found

    def place(error: GraphQLFormattedError) -> Place:
        at: object = data
        steps: list[int] = []
        for part in error.get("path", ()):
            if isinstance(at, dict) and isinstance(part, str) and part in at:
                fields = cast("Mapping[str, Any]", at)
                steps.append(numbered(fields)[part])
                at = fields[part]
            elif isinstance(at, list) and isinstance(part, int):
                steps.append(part)
                at = cast("list[object]", at)[part]
            else:
                break
        [first, *_] = error.get("locations") or [{"line": 0, "column": 0}]
        return steps, [first["line"], first["column"]]

    return sorted(errors, key=place)
