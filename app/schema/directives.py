"""The cost directives of the schema, and one that is a draft.

``@cost`` and ``@listSize`` are from IBM's "GraphQL Cost Directives" specification, which Apollo
Federation has since version 2.9. Routers and other tools read the same numbers that the gateway
uses.
"""

from collections.abc import Iterable
from dataclasses import field
from typing import ClassVar

import strawberry
from graphql import GraphQLField
from strawberry.federation.schema_directives import FederationDirective, ImportedFrom
from strawberry.federation.versions import FederationVersion
from strawberry.schema_directive import Location

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


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="semanticNonNull",
    description=(
        "Draft: the field is `null` only with an error, at these levels of its lists. 0 is the"
        " field itself."
    ),
)
class SemanticNonNull:
    """Marks a field that is ``null`` only with an error (Nullability Working Group, a draft)."""

    levels: list[int] = field(default_factory=lambda: [0])


def directives_of(definition: GraphQLField) -> Iterable[object]:
    """List the directives of a field that was defined by Strawberry.

    Args:
        definition: The field in graphql-core's schema.

    Returns:
        The directives.
    """
    field_definition = definition.extensions.get("strawberry-definition")
    return getattr(field_definition, "directives", None) or ()
