"""The directives of incremental delivery, as the draft of the GraphQL specification defines them.

graphql-core reads the directives by their names. Its own definitions differ from the draft's: there
``initialCount`` may be ``null``.
"""

from typing import Annotated

import strawberry
from strawberry.directive import DirectiveLocation

DEFER = "defer"
"""The name of the directive that defers a fragment."""

STREAM = "stream"
"""The name of the directive that streams a list."""

Label = Annotated[
    str | None,
    strawberry.argument(description="Names the directive in the payloads; unique in a document."),
]
"""The argument ``label`` of both directives."""


@strawberry.directive(
    locations=[DirectiveLocation.FRAGMENT_SPREAD, DirectiveLocation.INLINE_FRAGMENT],
    name=DEFER,
    description="Lets the fields of a fragment come in a later payload, as soon as they are there.",
)
def defer(
    if_: Annotated[  # noqa: FBT002 # Strawberry reads it
        bool, strawberry.argument(name="if", description="Whether the fragment is deferred.")
    ] = True,
    label: Label = strawberry.UNSET,
) -> None:
    """Define ``@defer``. The executor carries it out."""
    del if_, label


@strawberry.directive(
    locations=[DirectiveLocation.FIELD],
    name=STREAM,
    description="Lets the items of a list come in later payloads.",
)
def stream(
    if_: Annotated[  # noqa: FBT002 # Strawberry reads it
        bool, strawberry.argument(name="if", description="Whether the list is streamed.")
    ] = True,
    label: Label = strawberry.UNSET,
    initial_count: Annotated[
        int,
        strawberry.argument(
            name="initialCount", description="How many items come with the list itself."
        ),
    ] = 0,
) -> None:
    """Define ``@stream``. The executor carries it out."""
    del if_, label, initial_count


INCREMENTAL_DIRECTIVES = (defer, stream)
"""The directives of incremental delivery."""
