"""``@cost`` and ``@listSize``, by which the schema says what its fields cost.

They are those of IBM's "GraphQL Cost Directives" specification, as Apollo Federation has them from
version 2.9 on: routers and other tools read the same numbers from the schema that we count by.
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
