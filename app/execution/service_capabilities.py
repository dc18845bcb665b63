"""The meta-field ``__service``: what the gateway can do beyond its schema. A draft.

It follows "Service capabilities" (graphql-spec, proposal #1208). ``{ __service { capabilities {
name value } } }`` tells clients whether they may send ``onError``, and what is done without it. The
types are not in ``__schema``: tools that do not know the draft refuse names with two underscores.
So a fragment cannot be on one of them. ``__type(name: "__Service")`` finds them, as the draft says.
"""

from collections.abc import Sequence

from graphql import (
    GraphQLCompositeType,
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
)
from msgspec import Struct

FIELD = "__service"


class ServiceCapability(Struct, frozen=True):
    """Something that the gateway can do.

    Attributes:
        name: Its name. Those that begin with ``graphql.`` are the specification's.
        description: What it is.
        value: Its value; ``None`` for those that need none.
    """

    name: str
    description: str
    value: str | None = None


CAPABILITIES: Sequence[ServiceCapability] = (
    ServiceCapability(
        "graphql.operationDescriptions", "Operations and fragments may have descriptions."
    ),
    ServiceCapability("graphql.onError", "Requests may have `onError`: NULL, PROPAGATE or HALT."),
    ServiceCapability(
        "graphql.defaultErrorBehavior", "What an error does in a request without it.", "NULL"
    ),
)
"""All capabilities. The last one is of an earlier version of the draft: the current one has
PROPAGATE as the only default, and this gateway has another."""


class CapableSchema(GraphQLSchema):
    """A schema with ``__service``.

    Args:
        core: The schema to which it is added, valid.
    """

    def __init__(self, core: GraphQLSchema) -> None:
        super().__init__(
            query=core.query_type,
            mutation=core.mutation_type,
            subscription=core.subscription_type,
            types=[*core.type_map.values()],
            directives=core.directives,
            description=core.description,
            extensions=core.extensions,
            assume_valid=True,
        )
        capability = GraphQLObjectType(
            "__Capability",
            {
                "name": GraphQLField(GraphQLNonNull(GraphQLString)),
                "description": GraphQLField(GraphQLString),
                "value": GraphQLField(GraphQLString),
            },
        )
        listed = GraphQLNonNull(GraphQLList(GraphQLNonNull(capability)))
        service = GraphQLObjectType(
            "__Service",
            {
                "description": GraphQLField(GraphQLString, resolve=lambda *_: None),
                "capabilities": GraphQLField(listed, resolve=lambda *_: CAPABILITIES),
            },
        )
        self._own: dict[str, GraphQLNamedType] = {one.name: one for one in (service, capability)}
        self._field = GraphQLField(GraphQLNonNull(service), resolve=lambda *_: True)

    def get_field(self, parent_type: GraphQLCompositeType, field_name: str) -> GraphQLField | None:
        """Return a field of a type.

        Args:
            parent_type: The type.
            field_name: The name of the field.

        Returns:
            The field; ``None`` if the type has no such field.
        """
        if field_name == FIELD:
            return self._field if parent_type is self.query_type else None
        return super().get_field(parent_type, field_name)

    def get_type(self, name: str) -> GraphQLNamedType | None:
        """Return a type.

        Args:
            name: The name of the type.

        Returns:
            The type; ``None`` if there is no such type.
        """
        return self._own.get(name) or super().get_type(name)
