"""The interface ``Node``, by which Relay finds an object again.

It is that of "GraphQL Global Object Identification". A user is the only object that the gateway can
look up by its id. So the id of a user is its global id, without any change.
"""

import strawberry

from app.settings.public_schema import NODE_TYPE


@strawberry.interface(
    name=NODE_TYPE, description="An object that can be asked for by its id alone, by `node`."
)
class UserNode:
    """What all objects have that can be asked for by their id alone."""

    id: strawberry.ID = strawberry.field(description="Identifies the object among all.")
