"""An operation that asks for all that a source has of users. Pure."""

from collections.abc import Mapping

from graphql import GraphQLField, GraphQLObjectType, get_named_type

from app.graphql.schema import GatewaySchema


def fields_of(schema: GatewaySchema) -> Mapping[str, tuple[str, ...]]:
    """List the fields of ``User`` by the source that they read.

    Args:
        schema: The schema.

    Returns:
        Names of fields; those that are read page by page, by calls of their own, are left out.
    """
    found: dict[str, tuple[str, ...]] = {}
    for field, reading in schema.readings.items():
        if reading.pages is None:
            found[reading.spec.name] = (*found.get(reading.spec.name, ()), field)
    return found


def operation(schema: GatewaySchema, fields: tuple[str, ...]) -> str:
    """Write an operation that asks for some fields of users, whole.

    Args:
        schema: The schema.
        fields: Names of fields of ``User``.

    Returns:
        Its text; the users are a variable.
    """
    user = schema.core.get_type("User")
    assert isinstance(user, GraphQLObjectType)  # noqa: S101 # it is ours
    selected = " ".join(name + _selection(user.fields[name]) for name in fields)
    return f"query Probe($ids: [ID!]!) {{ users(ids: $ids) {{ {selected} }} }}"


def _selection(field: GraphQLField) -> str:
    """Select all of a field; nothing needs to be said of a scalar."""
    named = get_named_type(field.type)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] # graphql-core's lists are of any type
    if not isinstance(named, GraphQLObjectType):
        return ""
    inner = " ".join(name + _selection(below) for name, below in named.fields.items())
    return f" {{ {inner} }}"
