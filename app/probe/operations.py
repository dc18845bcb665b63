"""The operations that the probe runs: all fields of a source, and a page of a list. Pure."""

from collections.abc import Mapping
from typing import Any

from graphql import GraphQLField, GraphQLObjectType, get_named_type

from app.execution.schema import GatewaySchema
from app.sources.base import PageSpec


def fields_of(schema: GatewaySchema) -> Mapping[str, tuple[str, ...]]:
    """List the fields of ``User`` by the source that they read.

    Args:
        schema: The schema.

    Returns:
        Names of fields. Fields with pages, which are read by calls of their own, are left out.
    """
    found: dict[str, tuple[str, ...]] = {}
    for field in schema.definition.fields:
        if field.pages is None:
            found[field.source.name] = (*found.get(field.source.name, ()), field.name)
    return found


def lists_of(schema: GatewaySchema, source: str) -> Mapping[str, PageSpec[Any]]:
    """List the fields of ``User`` that read a list of a source page by page.

    Args:
        schema: The schema.
        source: Name of the source.

    Returns:
        The lists by the names of the fields.
    """
    return {
        field.name: field.pages
        for field in schema.definition.fields
        if field.pages is not None and field.pages.name == source
    }


def operation(schema: GatewaySchema, fields: tuple[str, ...]) -> str:
    """Write an operation that selects fields of users, with all of their subfields.

    Args:
        schema: The schema.
        fields: Names of fields of ``User``.

    Returns:
        The text of the operation. The ids of the users are its variable ``ids``.
    """
    selected = " ".join(name + _selection(_field(schema, name)) for name in fields)
    return f"query Probe($ids: [ID!]!) {{ {_users(schema)} {{ {selected} }} }}"


def list_operation(schema: GatewaySchema, field: str) -> str:
    """Write an operation that selects one page of a list of users.

    Args:
        schema: The schema.
        field: Name of the field of ``User``.

    Returns:
        The text of the operation. Its variables are ``ids``, and ``first`` and ``after`` as the
        field has them.
    """
    page = f"{field}(first: $first, after: $after){_selection(_field(schema, field))}"
    variables = "$ids: [ID!]!, $first: Int, $after: String"
    return f"query Probe({variables}) {{ {_users(schema)} {{ {page} }} }}"


def _users(schema: GatewaySchema) -> str:
    """Write the root field with several users, under the key ``users``."""
    name = schema.definition.names.several
    return f"{'' if name == 'users' else 'users: '}{name}(ids: $ids)"


def _field(schema: GatewaySchema, name: str) -> GraphQLField:
    """Return a field of a user."""
    fields: Mapping[str, GraphQLField] = schema.user.fields
    return fields[name]


def _selection(field: GraphQLField) -> str:
    """Write the selection of all subfields of a field; empty for a scalar."""
    named = get_named_type(field.type)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] # graphql-core's lists are of any type
    if not isinstance(named, GraphQLObjectType):
        return ""
    inner = " ".join(name + _selection(below) for name, below in named.fields.items())
    return f" {{ {inner} }}"
