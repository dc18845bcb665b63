"""The exported schema: its text for tools of clients, and how two texts differ. Pure.

The schema for the tools of clients: what a client can ask for, and no parts of federation.

How one text of the schema differs from another, and whom that would break. Pure.
"""

import difflib
from dataclasses import dataclass

from graphql import (
    BreakingChange,
    DangerousChange,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    find_breaking_changes,
    find_dangerous_changes,
    print_schema,
)


def client_text(core: GraphQLSchema) -> str:
    """Write a schema in GraphQL's own words, which every tool can build.

    Names that begin with one underscore are federation's: ``_entities`` and ``_service`` with their
    types. Applied directives are left out, but for those of the GraphQL specification: a tool
    refuses directives without a definition, and those here speak to routers.

    Args:
        core: The schema, with what is federation's.

    Returns:
        Its text, in GraphQL's schema definition language.

    Raises:
        ValueError: It has no queries.
    """
    if core.query_type is None:
        raise ValueError("a schema without queries is nothing that a client could use")
    query = core.query_type.to_kwargs()
    query["fields"] = {
        name: field for name, field in core.query_type.fields.items() if not _is_federations(name)
    }
    client = GraphQLSchema(
        query=GraphQLObjectType(**query),
        mutation=core.mutation_type,
        subscription=core.subscription_type,
        # Objects that are reached by their interfaces alone. All others are reached by fields.
        types=[
            kind
            for kind in core.type_map.values()
            if isinstance(kind, GraphQLObjectType) and kind.interfaces
        ],
    )
    return print_schema(client)


def _is_federations(name: str) -> bool:
    """Tell whether a name is federation's (Apollo Federation subgraph specification)."""
    return name.startswith("_")


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
