"""The schema, put together from its types, and its text."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from graphql import GraphQLObjectType, GraphQLSchema
from strawberry.federation import Schema
from strawberry.federation.schema import FederationAny
from strawberry.schema.config import StrawberryConfig
from strawberry.types.base import get_object_definition

from app.execution.division import divisions_of
from app.execution.planner import SourceReads
from app.graphql.context import Info
from app.graphql.fields import Reading, readings
from app.graphql.policy import PUBLIC, Policy
from app.graphql.query import Query, resolve_entities
from app.graphql.rights import enforce
from app.graphql.scalars import DATE_TIME, SAFE_INT, SafeInt
from app.graphql.security import drop_security, without_security
from app.graphql.user import User
from app.sources.base import SourceSpec
from app.sources.endpoint import Endpoint
from app.sources.profile import PROFILE


class GatewaySchema(Schema):
    """The schema of the gateway: an Apollo Federation v2 subgraph.

    Strawberry's own way to entities answers a wrong representation with ``null`` for all of them;
    ours answers each for itself, and loads them all at once.
    """

    def __init__(self, *, security_directives: bool) -> None:
        """Put it together.

        Args:
            security_directives: Whether it tells routers who may see which field.
        """
        self._security_directives = security_directives
        super().__init__(  # pyright: ignore[reportUnknownMemberType] # its executors are generic
            query=Query,
            config=StrawberryConfig(scalar_map={datetime: DATE_TIME, SafeInt: SAFE_INT}),
            federation_version="2.9",  # one composer in use refuses newer ones
        )
        if not security_directives:
            drop_security(self.core)
        enforce(self.user.fields, self.policies)

    @property
    def schema_directives_in_use(self) -> list[object]:
        """The directives that Strawberry imports by ``@link``."""
        in_use = super().schema_directives_in_use
        return in_use if self._security_directives else without_security(in_use)

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
    def user(self) -> GraphQLObjectType:
        """The type ``User`` in it."""
        return cast("GraphQLObjectType", self.core.type_map["User"])  # it is declared as one

    @property
    def readings(self) -> Mapping[str, Reading]:
        """Which field of ``User`` reads which source, by its public name."""
        definition = get_object_definition(User, strict=True)
        return readings(definition, self.config.name_converter.get_graphql_name)

    @property
    def policies(self) -> Mapping[str, Policy]:
        """Who may see which field of ``User``, by its public name."""
        read = {name: one.may for name, one in self.readings.items()}
        return {"__typename": PUBLIC, "id": PUBLIC, **read}

    @property
    def specs(self) -> Sequence[SourceSpec[Any]]:
        """The sources that ``User`` reads, each once."""
        return tuple({one.spec.name: one.spec for one in self.readings.values()}.values())

    def reads(
        self, endpoints: Mapping[str, Sequence[Endpoint[Any]]], key_from: Mapping[str, str]
    ) -> SourceReads:
        """Find which sources the fields of ``User`` read.

        Args:
            endpoints: What is asked for each source, by its name.
            key_from: The endpoint that has another's keys, by the name of that other.

        Returns:
            What each field reads.
        """
        divisions = divisions_of(endpoints)

        def asked(spec: SourceSpec[Any], fields: Collection[str]) -> tuple[str, ...]:
            division = divisions.get(spec.name)
            return (spec.name,) if division is None else division.of(fields)

        reads = {field: asked(one.spec, one.fields) for field, one in self.readings.items()}
        [existence] = asked(PROFILE, ())
        narrow = {
            one.spec.name: {
                field: reading.fields & one.gives
                for field, reading in self.readings.items()
                if one.spec.name in reads[field]
            }
            for several in endpoints.values()
            for one in several
            if one.selects
        }
        return SourceReads(reads=reads, existence=existence, key_from=key_from, narrow=narrow)


def build_schema(*, security_directives: bool = True) -> GatewaySchema:
    """Put the schema together.

    Args:
        security_directives: Whether it tells routers who may see which field, by
            ``@authenticated``, ``@requiresScopes`` and ``@owner``. The policies hold either way.

    Returns:
        The schema.
    """
    return GatewaySchema(security_directives=security_directives)
