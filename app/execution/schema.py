"""The executable schema: its root fields with their resolvers, and how it is built.

Clients find users by id, by ids, as the caller itself, and by a federation router's
representations. The plan has the users of each root field (``execution/keys.py``) before a resolver
runs. A resolver finds its part of the plan by its response key, and loads it.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, cast

import strawberry
from graphql import GraphQLObjectType, GraphQLSchema
from strawberry.federation import Schema
from strawberry.federation.schema import FederationAny
from strawberry.federation.schema_directives import Authenticated
from strawberry.schema.config import StrawberryConfig
from strawberry.types.base import get_object_definition

from app.auth.policies import PUBLIC, Policy, enforce
from app.errors import GatewayError, SourceError
from app.execution.context import Info
from app.execution.outcome import outcome_of, results_of
from app.execution.planner import SourceReads
from app.schema.directives import ListSize, drop_security, without_security
from app.schema.fields import SourceField, source_fields
from app.schema.user import User
from app.schema.values import DATE_TIME, SAFE_INT, SafeInt
from app.sources.base import SourceSpec
from app.sources.records import PROFILE
from app.sources.records_in_parts import Endpoint, partitions_of
from app.sources.results import SourceResults

Resolved = User | GatewayError | None
"""The result of a key: a user, ``None`` if no source knows it, or its error."""


async def resolve_keys(info: Info) -> list[Resolved]:
    """Resolve the users of a root field by its part of the plan.

    Async because it waits for sources.

    Args:
        info: The resolver info of the root field.

    Returns:
        One result for each key that the field names, in their order.

    Raises:
        GatewayError: The keys are invalid as a whole.
        Exception: A bug of ours prevented a call for one of the users.
    """
    context = info.context
    root = context.plan.roots[str(info.path.key)]
    if root.error is not None:
        raise root.error
    results = await context.loaders.load(context.planner.fetches([root]))
    found = [(group, results_of(group, results)) for group in root.groups]
    for _, of_group in found:
        if of_group.bug is not None:
            raise of_group.bug
    resolved: list[Resolved] = [None] * (root.count or 0)
    for place, error in root.wrong.items():
        resolved[place] = error
    for group, of_group in found:
        needs = group.selection.needs
        for place, key, *row in zip(group.places, group.keys, *of_group.columns, strict=True):
            by_source = dict(zip(needs.sources, row, strict=True))
            outcome = outcome_of(by_source, needs, context.required)
            if outcome.failure is not None:
                resolved[place] = SourceError(outcome.failure)
            elif outcome.known:
                of_user = SourceResults(by_source, context.loaders.partitions)
                resolved[place] = User(results=of_user, id=strawberry.ID(key))
    return resolved


async def _resolve_one(info: Info) -> User | None:
    """Resolve a root field that names one user."""
    [user] = await resolve_keys(info)
    if isinstance(user, GatewayError):
        raise user
    return user


async def resolve_user(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="Id of the user.")],  # noqa: A002, ARG001 # the public name; the plan has read it
) -> User | None:
    """Find one user.

    Args:
        info: The resolver info.
        id: The user's id.

    Returns:
        The user; ``None`` if no asked source knows the id.

    Raises:
        BadUserInputError: The id is invalid.
        SourceError: A source failed whose failure fails the user.
    """
    return await _resolve_one(info)


async def resolve_me(info: Info) -> User | None:
    """Find the caller's own user.

    Args:
        info: The resolver info.

    Returns:
        The user; ``None`` if no asked source knows it.

    Raises:
        UnauthenticatedError: The caller is not authenticated.
        BadUserInputError: The caller's subject is not a user id.
        SourceError: A source failed whose failure fails the user.
    """
    return await _resolve_one(info)


async def resolve_users(
    info: Info,
    ids: Annotated[  # noqa: ARG001 # the plan has read them
        list[strawberry.ID],
        strawberry.argument(
            description="Ids of users, by default 100 at most; the same one may come twice."
        ),
    ],
) -> list[User | None]:
    """Find several users.

    Args:
        info: The resolver info.
        ids: The users' ids.

    Returns:
        One item for each id, in their order; empty if there are no ids.

    Raises:
        BadUserInputError: An id is invalid, or there are too many.
    """
    users = await resolve_keys(info)
    return cast("list[User | None]", users)  # the executor reports an error in it at its position


@strawberry.type(description="The ways into the graph.")
class Query:
    """The root fields."""

    user: User | None = strawberry.field(
        resolver=resolve_user,
        description="The user with this id; `null` when no asked source knows it.",
    )
    me: User | None = strawberry.field(
        resolver=resolve_me,
        description=(
            "The user that the caller is, by its token; `null` when no asked source knows it."
        ),
        directives=[Authenticated()],
    )
    users: list[User | None] = strawberry.field(
        resolver=resolve_users,
        description="The users with these ids, in their order; `null` for each one unknown.",
        directives=[ListSize(assumed_size=100)],  # the gateway itself counts the ids
    )


async def resolve_entities(
    info: Info,
    representations: Sequence[Any],  # noqa: ARG001 # the plan has read them
) -> list[Resolved]:
    """Find the users that a federation router names.

    An invalid representation is an error at its position only; the others are resolved.

    Args:
        info: The resolver info.
        representations: The representations, unchecked; may be empty.

    Returns:
        One result for each representation, in their order.

    Raises:
        BadUserInputError: There are too many representations.
    """
    return await resolve_keys(info)


class GatewaySchema(Schema):
    """The schema of the gateway: an Apollo Federation v2 subgraph.

    Strawberry's own resolver of entities returns ``null`` for all representations if one is
    invalid. This one resolves each on its own, and loads all of them together.
    """

    def __init__(self, *, security_directives: bool) -> None:
        """Build the schema.

        Args:
            security_directives: Whether the schema shows routers who may see which field.
        """
        self._security_directives = security_directives
        super().__init__(  # pyright: ignore[reportUnknownMemberType] # its executors are generic
            query=Query,
            config=StrawberryConfig(scalar_map={datetime: DATE_TIME, SafeInt: SAFE_INT}),
            federation_version="2.9",  # one of the composers in use refuses newer versions
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
        """Resolve a router's representations.

        Args:
            info: The resolver info.
            representations: The representations, unchecked.

        Returns:
            One result for each representation, in their order.

        Raises:
            BadUserInputError: There are too many representations.
        """
        resolved: list[Any] = [*await resolve_entities(info, representations)]
        return resolved

    @property
    def core(self) -> GraphQLSchema:
        """The schema as graphql-core's executor needs it."""
        return self._schema

    @property
    def user(self) -> GraphQLObjectType:
        """The type ``User`` of the schema."""
        return cast("GraphQLObjectType", self.core.type_map["User"])  # it is declared as one

    @property
    def source_fields(self) -> Mapping[str, SourceField]:
        """The fields of ``User`` that read a source, by public name."""
        definition = get_object_definition(User, strict=True)
        return source_fields(definition, self.config.name_converter.get_graphql_name)

    @property
    def policies(self) -> Mapping[str, Policy]:
        """The policy of each field of ``User``, by public name."""
        read = {name: one.may for name, one in self.source_fields.items()}
        return {"__typename": PUBLIC, "id": PUBLIC, **read}

    @property
    def specs(self) -> Sequence[SourceSpec[Any]]:
        """The sources that ``User`` reads, each once."""
        return tuple({one.spec.name: one.spec for one in self.source_fields.values()}.values())

    def reads(
        self,
        endpoints: Mapping[str, Sequence[Endpoint[Any]]],
        key_from: Mapping[str, tuple[str, ...]],
    ) -> SourceReads:
        """Find which sources the fields of ``User`` read.

        Args:
            endpoints: The endpoints of each source, by the name of the source.
            key_from: For an endpoint, the endpoints whose records have its keys, in order.

        Returns:
            The sources and record fields that each field reads.
        """
        partitions = partitions_of(endpoints)

        def endpoints_for(spec: SourceSpec[Any], fields: Collection[str]) -> tuple[str, ...]:
            partition = partitions.get(spec.name)
            return (spec.name,) if partition is None else partition.endpoints_for(fields)

        reads = {
            field: endpoints_for(one.spec, one.fields) for field, one in self.source_fields.items()
        }
        [existence] = endpoints_for(PROFILE, ())
        narrow = {
            one.spec.name: {
                field: reading.fields & one.gives
                for field, reading in self.source_fields.items()
                if one.spec.name in reads[field]
            }
            for several in endpoints.values()
            for one in several
            if one.selects
        }
        return SourceReads(reads=reads, existence=existence, key_from=key_from, narrow=narrow)


def build_schema(*, security_directives: bool = True) -> GatewaySchema:
    """Build the schema.

    Args:
        security_directives: Whether the schema shows routers who may see which field, by
            ``@authenticated``, ``@requiresScopes`` and ``@owner``. The policies apply either way.

    Returns:
        The schema.
    """
    return GatewaySchema(security_directives=security_directives)
