"""The cost directives of the schema, and the schema without security directives.

``@cost`` and ``@listSize`` are from IBM's "GraphQL Cost Directives" specification, which Apollo
Federation has since version 2.9. Routers and other tools read the same numbers that the gateway
uses.

Security directives tell routers who may see a field. A router that does not support them must
refuse the whole supergraph (Apollo's core schemas specification, ``for: SECURITY``). So the schema
can be built without them. The gateway does not read policies from directives, so the policies apply
in either case.
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
    """The cost of one object that a field returns, if it is not 1."""

    weight: int
    imported_from: ClassVar[ImportedFrom] = ImportedFrom(name="cost", url=_URL)
    minimum_version: ClassVar[FederationVersion] = (2, 9)


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION], name="listSize", print_definition=False
)
class ListSize(FederationDirective):
    """The assumed length of a list, or of the lists in the object that a field returns."""

    assumed_size: int | None = strawberry.UNSET  # unset arguments are not printed
    slicing_arguments: list[str] | None = strawberry.UNSET
    sized_fields: list[str] | None = strawberry.UNSET
    require_one_slicing_argument: bool | None = strawberry.UNSET
    imported_from: ClassVar[ImportedFrom] = ImportedFrom(name="listSize", url=_URL)
    minimum_version: ClassVar[FederationVersion] = (2, 9)


SECURITY_DIRECTIVES = (Authenticated, RequiresScopes, Owner)

_DEFINITION = "strawberry-definition"
"""The extension of a schema element in which Strawberry keeps its definition."""


def without_security(directives: Sequence[object]) -> list[object]:
    """Return the directives that are not security directives.

    Args:
        directives: Directives of schema elements.

    Returns:
        The other directives, in the same order.
    """
    return [directive for directive in directives if not isinstance(directive, SECURITY_DIRECTIVES)]


def drop_security(core: GraphQLSchema) -> None:
    """Remove the security directives and their definitions from a new schema.

    Strawberry prints an element from the definition in its extensions. All schemas of the process
    share these definitions, so they are replaced by changed copies.

    Args:
        core: The graphql-core schema that Strawberry has just built. It is changed.
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
        directive
        for directive in core.directives
        if getattr(directive.extensions.get(_DEFINITION), "origin", None) not in SECURITY_DIRECTIVES
    )


def _elements(core: GraphQLSchema) -> Iterator[GraphQLNamedType | GraphQLField]:
    """Yield the types, and the fields of objects and interfaces: all may have directives."""
    for kind in core.type_map.values():
        yield kind
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            yield from kind.fields.values()
