"""The executable schema: its root fields with their resolvers, and how it is built.

The ways into the graph: by id, by ids, and by a federation router's representations.

Which users a field names is in the plan (``execution/keys.py``), which is there before a resolver
runs. A resolver finds its part of the plan by its response key, and loads it.

The schema, put together from its types, and its text.
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
from app.execution.outcome import bug_of, outcome_of
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
"""What becomes of a key: a user, nobody, or what is wrong with it."""


async def resolve_keys(info: Info) -> list[Resolved]:
    """Resolve the users of a root field, as its part of the plan says.

    Args:
        info: What Strawberry hands to a resolver of a root field.

    Returns:
        One for each key that the field names, in their order.

    Raises:
        GatewayError: The field names its users wrongly.
        Exception: A bug of ours kept a source from being asked about one of them.
    """
    context = info.context
    root = context.plan.roots[str(info.path.key)]
    if root.error is not None:
        raise root.error
    results = await context.loaders.load(context.planner.fetches([root]))
    if (bug := bug_of(root.groups, results)) is not None:
        raise bug
    resolved: list[Resolved] = [None] * (root.count or 0)
    for place, error in root.wrong.items():
        resolved[place] = error
    for group in root.groups:
        needs = group.selection.needs
        for place, key in zip(group.places, group.keys, strict=True):
            said = {name: results[name][key] for name in needs.sources}
            outcome = outcome_of(said, needs, context.required)
            if outcome.failure is not None:
                resolved[place] = SourceError(outcome.failure)
            elif outcome.known:
                parts = SourceResults(said, context.loaders.divisions)
                resolved[place] = User(results=parts, id=strawberry.ID(key))
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
        info: What Strawberry hands to a resolver.
        id: The user's id.

    Returns:
        The user, or ``None`` when no asked source knows the id.

    Raises:
        BadUserInputError: It is no id.
        SourceError: Whether the user exists could not be found out.
    """
    return await _resolve_one(info)


async def resolve_me(info: Info) -> User | None:
    """Find the user that the caller is.

    Args:
        info: What Strawberry hands to a resolver.

    Returns:
        The user, or ``None`` when no asked source knows it.

    Raises:
        UnauthenticatedError: The caller has not shown who it is.
        BadUserInputError: It is no user.
        SourceError: Whether the user exists could not be found out.
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
        info: What Strawberry hands to a resolver.
        ids: The users' ids.

    Returns:
        One for each id, in their order; nothing where there are no ids.

    Raises:
        BadUserInputError: One is no id, or there are too many.
    """
    users = await resolve_keys(info)
    return cast("list[User | None]", users)  # a failure in it becomes an error at its place


@strawberry.type(description="The ways into the graph.")
class Query:
    """The ways into the graph."""

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
        directives=[ListSize(assumed_size=100)],  # here it is counted by the ids themselves
    )


async def resolve_entities(
    info: Info,
    representations: Sequence[Any],  # noqa: ARG001 # the plan has read them
) -> list[Resolved]:
    """Find the users that a federation router names.

    Each representation stands for itself: one that is wrong is an error at its place, and the
    others are answered.

    Args:
        info: What Strawberry hands to a resolver.
        representations: What the router sent, unchecked; perhaps nothing.

    Returns:
        One for each representation, in their order.

    Raises:
        BadUserInputError: There are too many.
    """
    return await resolve_keys(info)


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
    def source_fields(self) -> Mapping[str, SourceField]:
        """Which field of ``User`` reads which source, by its public name."""
        definition = get_object_definition(User, strict=True)
        return source_fields(definition, self.config.name_converter.get_graphql_name)

    @property
    def policies(self) -> Mapping[str, Policy]:
        """Who may see which field of ``User``, by its public name."""
        read = {name: one.may for name, one in self.source_fields.items()}
        return {"__typename": PUBLIC, "id": PUBLIC, **read}

    @property
    def specs(self) -> Sequence[SourceSpec[Any]]:
        """The sources that ``User`` reads, each once."""
        return tuple({one.spec.name: one.spec for one in self.source_fields.values()}.values())

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
        divisions = partitions_of(endpoints)

        def asked(spec: SourceSpec[Any], fields: Collection[str]) -> tuple[str, ...]:
            division = divisions.get(spec.name)
            return (spec.name,) if division is None else division.endpoints_for(fields)

        reads = {field: asked(one.spec, one.fields) for field, one in self.source_fields.items()}
        [existence] = asked(PROFILE, ())
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
    """Put the schema together.

    Args:
        security_directives: Whether it tells routers who may see which field, by
            ``@authenticated``, ``@requiresScopes`` and ``@owner``. The policies hold either way.

    Returns:
        The schema.
    """
    return GatewaySchema(security_directives=security_directives)
