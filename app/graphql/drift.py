"""How one text of the schema differs from another, and whom that would break. Pure."""

import difflib
from dataclasses import dataclass

from graphql import (
    BreakingChange,
    DangerousChange,
    build_schema,
    find_breaking_changes,
    find_dangerous_changes,
)


@dataclass(frozen=True, slots=True)
class Drift:
    """The way from one schema to another.

    Attributes:
        diff: The lines that differ, as a unified diff; empty when the texts are the same.
        breaking: Changes after which operations that were valid are not, one sentence each.
        dangerous: Changes after which valid operations may surprise their clients.
    """

    diff: str
    breaking: tuple[str, ...]
    dangerous: tuple[str, ...]


def compare(exported: str, current: str, *, name: str) -> Drift:
    """Compare an exported schema with the current one.

    Args:
        exported: The text that was exported.
        current: The text that the code gives now.
        name: What to call the exported text in the diff.

    Returns:
        How the current schema differs from the exported one.

    Raises:
        GraphQLSyntaxError: The exported text is no schema.
        TypeError: It names a type that it does not have.
    """
    # Federation's directives are used without a definition, as routers want it.
    old = build_schema(exported, assume_valid_sdl=True)
    new = build_schema(current, assume_valid_sdl=True)
    breaking: list[BreakingChange] = find_breaking_changes(old, new)
    dangerous: list[DangerousChange] = find_dangerous_changes(old, new)
    diff = difflib.unified_diff(
        exported.splitlines(keepends=True),
        current.splitlines(keepends=True),
        fromfile=name,
        tofile="the code",
    )
    return Drift(
        diff="".join(diff),
        breaking=tuple(change.description for change in breaking),
        dangerous=tuple(change.description for change in dangerous),
    )
