"""The schema without security directives, for routers that do not support them.

Security directives tell routers who may see a field. A router that does not support them has to
refuse the whole supergraph (Apollo's core schemas specification, ``for: SECURITY``). So there is a
schema without them. The policies themselves are not read from directives, and hold either way.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
)
from strawberry.federation.schema_directives import Authenticated, RequiresScopes

from app.graphql.policy import Owner

SECURITY_DIRECTIVES = (Authenticated, RequiresScopes, Owner)

_DEFINITION = "strawberry-definition"
"""Where Strawberry keeps its own definition in an element of GraphQL's schema."""


def without_security(directives: Sequence[object]) -> list[object]:
    """Leave out the security directives.

    Args:
        directives: Directives of one element, or of several.

    Returns:
        The others, in their order.
    """
    return [one for one in directives if not isinstance(one, SECURITY_DIRECTIVES)]


def drop_security(core: GraphQLSchema) -> None:
    """Take the security directives, and their definitions, out of a schema that was just built.

    Strawberry prints an element from the definition that stands in its extensions. Definitions
    belong to all schemas of the process, and are replaced rather than changed.

    Args:
        core: The schema, as Strawberry has built it for graphql-core.
    """
    for element in _elements(core):
        definition = element.extensions.get(_DEFINITION)
        directives: Sequence[object] = getattr(definition, "directives", None) or ()
        kept = without_security(directives)
        if len(kept) < len(directives):
            changed: Any = copy(definition)
            changed.directives = kept
            element.extensions = {**element.extensions, _DEFINITION: changed}
    core.directives = tuple(
        one
        for one in core.directives
        if getattr(one.extensions.get(_DEFINITION), "origin", None) not in SECURITY_DIRECTIVES
    )


def _elements(core: GraphQLSchema) -> Iterator[GraphQLNamedType | GraphQLField]:
    """List what can have a security directive: types, and fields of objects and interfaces."""
    for kind in core.type_map.values():
        yield kind
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            yield from kind.fields.values()
