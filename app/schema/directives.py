"""The cost directives of the schema.

``@cost`` and ``@listSize`` are from IBM's "GraphQL Cost Directives" specification, which Apollo
Federation has since version 2.9. Routers and other tools read the same numbers that the gateway
uses.
"""

from typing import ClassVar

import strawberry
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
