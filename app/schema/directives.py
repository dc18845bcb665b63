"""The directives of the schema: what fields cost, and the schema without security directives.

``@cost`` and ``@listSize``, by which the schema says what its fields cost.

They are those of IBM's "GraphQL Cost Directives" specification, as Apollo Federation has them from
version 2.9 on: routers and other tools read the same numbers from the schema that we count by.

The schema without security directives, for routers that do not support them.

Security directives tell routers who may see a field. A router that does not support them has to
refuse the whole supergraph (Apollo's core schemas specification, ``for: SECURITY``). So there is a
schema without them. The policies themselves are not read from directives, and hold either way.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, ClassVar

import strawberry
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
)
from strawberry.federation.schema_directives import (
    Authenticated,
    FederationDirective,
    ImportedFrom,
    RequiresScopes,
)
from strawberry.federation.versions import FederationVersion
from strawberry.schema_directive import Location

from app.auth.policies import Owner

_URL = "https://specs.apollo.dev/federation/v2.9"


@strawberry.schema_directive(
    locations=[
        Location.ARGUMENT_DEFINITION,
        Location.ENUM,
        Location.FIELD_DEFINITION,
        Location.INPUT_FIELD_DEFINITION,
        Location.OBJECT,
        Location.SCALAR,
    ],
    name="cost",
    print_definition=False,
)
class Cost(FederationDirective):
    """What one object costs where a field gives it, if that is not 1."""

    weight: int
    imported_from: ClassVar[ImportedFrom] = ImportedFrom(name="cost", url=_URL)
    minimum_version: ClassVar[FederationVersion] = (2, 9)


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION], name="listSize", print_definition=False
)
class ListSize(FederationDirective):
    """How long a list is, or the lists in the object that a field gives."""

    assumed_size: int | None = strawberry.UNSET  # what is not set is not written either
    slicing_arguments: list[str] | None = strawberry.UNSET
    sized_fields: list[str] | None = strawberry.UNSET
    require_one_slicing_argument: bool | None = strawberry.UNSET
    imported_from: ClassVar[ImportedFrom] = ImportedFrom(name="listSize", url=_URL)
    minimum_version: ClassVar[FederationVersion] = (2, 9)


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
