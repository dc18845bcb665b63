"""Example queries of a schema, for people who explore it. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from graphql import parse, print_ast
from msgspec import Struct

from app.schema.definitions import ObjectDefinition, SchemaDefinition, UserField, type_name


class ExampleQuery(Struct, frozen=True):
    """A query with the values of its variables.

    Attributes:
        title: What it shows.
        query: The text of the operation.
        variables: The values. A text that is empty is to be filled in.
    """

    title: str
    query: str
    variables: Mapping[str, str | Sequence[str]]


def example_queries(definition: SchemaDefinition) -> Sequence[ExampleQuery]:
    """Write a query for each way into a schema.

    Args:
        definition: The schema.

    Returns:
        The queries: one user, several users, each list that is read page by page, and lookups.
    """
    return [
        ExampleQuery(title, f"# {title}\n{print_ast(parse(query))}\n", variables)
        for title, query, variables in _queries(definition)
    ]


def _queries(
    definition: SchemaDefinition,
) -> Iterator[tuple[str, str, Mapping[str, str | Sequence[str]]]]:
    """Yield the title, the text and the variables of each query."""
    names = definition.names
    objects = {one.name: one for one in definition.objects}
    rows = [one for one in definition.fields if one.pages is None]
    every = " ".join(["id", *(_selected(one, objects) for one in rows)])
    title = _capital(names.one)
    yield (
        f"One {names.one}, with all fields. Put an id into the variables.",
        f"query One{title}($id: ID!) {{ {names.one}(id: $id) {{ {every} }} }}",
        {"id": ""},
    )
    first = [one for one in rows if one.source is rows[0].source]
    some = " ".join(["id", *(_selected(one, objects) for one in first)])
    yield (
        "Several: one call to each source.",
        f"query Several($ids: [ID!]!) {{ {names.several}(ids: $ids) {{ {some} }} }}",
        {"ids": [""]},
    )
    for field in definition.fields:
        if field.pages is not None:
            item = _inner(type_name(field.kind), objects)
            page = f"edges {{ cursor node{item} }} pageInfo {{ hasNextPage endCursor }}"
            title = f"{_capital(field.name)}Pages"
            paged = f"{field.name}(first: 5, after: $after) {{ {page} }}"
            yield (
                f"{field.name} in pages: put endCursor into after.",
                f"query {title}($id: ID!, $after: String) {{ {names.one}(id: $id) {{ {paged} }} }}",
                {"id": ""},
            )
    for lookup in definition.lookups:
        found = f"{lookup.name}({lookup.key}: $key) {{ {some} }}"
        yield (
            f"Found by {lookup.key}.",
            f"query {_capital(lookup.name)}($key: {lookup.type}!) {{ {found} }}",
            {"key": ""},
        )


def _capital(name: str) -> str:
    """Return a name with a capital letter first."""
    return name[:1].upper() + name[1:]


def _selected(field: UserField, objects: Mapping[str, ObjectDefinition]) -> str:
    """Write a field of a user with all fields inside."""
    return field.name + _inner(type_name(field.kind), objects)


def _inner(kind: str, objects: Mapping[str, ObjectDefinition]) -> str:
    """Write the selection of all fields of an object; empty for another type."""
    if kind not in objects:
        return ""
    fields = objects[kind].fields
    return f" {{ {' '.join(one.name + _inner(type_name(one.kind), objects) for one in fields)} }}"
