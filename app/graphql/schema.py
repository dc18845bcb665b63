"""The schema, put together from its types, and its text."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from graphql import GraphQLSchema
from strawberry.federation import Schema
from strawberry.federation.schema import FederationAny
from strawberry.schema.config import StrawberryConfig
from strawberry.types.base import get_object_definition

from app.federation.plan import Planner
from app.graphql.context import Info
from app.graphql.fields import Reading, readings
from app.graphql.query import Query, resolve_entities
from app.graphql.scalars import DATE_TIME, SAFE_INT, SafeInt
from app.graphql.user import User
from app.sources.profile import PROFILE


class GatewaySchema(Schema):
    """The schema of the gateway: an Apollo Federation v2 subgraph.

    Strawberry's own way to entities answers a wrong representation with ``null`` for all of them;
    ours answers each for itself, and loads them all at once.
    """

    async def entities_resolver(  # type: ignore[override] # Strawberry awaits what is awaitable
        self, info: Info, representations: list[FederationAny]
    ) -> list[FederationAny]:
        """Find what a router's representations stand for."""
        found: list[Any] = [*await resolve_entities(info, representations)]
        return found

    @property
    def core(self) -> GraphQLSchema:
        """The same schema, as graphql-core's executor wants it."""
        return self._schema

    @property
    def readings(self) -> Mapping[str, Reading]:
        """Which field of ``User`` reads which source, by its public name."""
        definition = get_object_definition(User, strict=True)
        return readings(definition, self.config.name_converter.get_graphql_name)

    def planner(self, key_from: Mapping[str, str]) -> Planner:
        """Make what finds the sources that a selection of ``User`` needs.

        Args:
            key_from: The source that has another's keys, by the name of that other.

        Returns:
            The planner.
        """
        reads = {field: reading.spec.name for field, reading in self.readings.items()}
        return Planner(reads=reads, existence=PROFILE.name, key_from=key_from)


def build_schema() -> GatewaySchema:
    """Put the schema together.

    Returns:
        The schema. It links federation v2.9, since one composer in use refuses newer ones.
    """
    return GatewaySchema(
        query=Query,
        config=StrawberryConfig(scalar_map={datetime: DATE_TIME, SafeInt: SAFE_INT}),
        federation_version="2.9",
    )
