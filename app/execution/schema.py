"""The executable schema: its root fields with their resolvers, and how it is built.

Clients find users by id, by ids, as the caller itself, and by a federation router's
representations. The plan has the users of each root field (``execution/keys.py``) before a resolver
runs. A resolver finds its part of the plan by its response key, and loads it.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Optional, cast

import strawberry
from graphql import GraphQLObjectType, GraphQLSchema
from strawberry.federation import Schema
from strawberry.federation.schema import FederationAny
from strawberry.federation.schema_directives import Authenticated
from strawberry.schema.config import StrawberryConfig

from app.auth.policies import Policies, enforce, owner_directive
from app.errors import GatewayError, SourceError
from app.execution.context import Info
from app.execution.outcome import outcome_of, results_of
from app.execution.running_users import RunningRoot
from app.execution.service_capabilities import CapableSchema
from app.execution.source_reads import LookupRoot, SourceReads
from app.schema.configured import configured
from app.schema.default import DEFAULT_SCHEMA
from app.schema.definitions import LookupDefinition, SchemaDefinition
from app.schema.directives import ListSize
from app.schema.incremental import INCREMENTAL_DIRECTIVES
from app.schema.node import UserNode
from app.schema.scalars import DATE, DATE_TIME, SAFE_INT, URL, SafeInt, Url
from app.schema.types import PythonType, ResolvedUser, TypeBuilder
from app.settings.models import Settings
from app.settings.public_schema import NODE, NODES, UserNames
from app.sources.base import SourceSpec
from app.sources.records_in_parts import Endpoint, partitions_of
from app.sources.results import SourceResults

Resolved = ResolvedUser | GatewayError | None
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
    if context.running is not None:
        return [*await RunningRoot(root, context.running, context).users()]
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
                resolved[place] = ResolvedUser(key, of_user)
    return resolved


async def _resolve_several(info: Info) -> list[Resolved] | AsyncGenerator[Resolved]:
    """Resolve a root field that names several users; one after the other if they are streamed."""
    context = info.context
    root = context.plan.roots[str(info.path.key)]
    if context.running is None or not root.selection.streamed or root.error is not None:
        return await resolve_keys(info)
    return RunningRoot(root, context.running, context).stream()


async def _resolve_one(info: Info) -> Any:  # noqa: ANN401 # the annotation of the field says the type
    """Resolve a root field that names one user; raises its error."""
    [user] = await resolve_keys(info)
    if isinstance(user, GatewayError):
        raise user
    return user


def query_type(
    user: PythonType, definition: SchemaDefinition, *, security_directives: bool
) -> type:
    """Build the root type.

    Args:
        user: The Strawberry type of a user.
        definition: The definition of the schema.
        security_directives: Whether the type shows routers who may ask for the caller's own user.

    Returns:
        The Strawberry type.
    """
    optional: PythonType = Optional[user]  # noqa: UP045 # made at run time
    names = definition.names

    async def resolve_user(
        info: Info,
        id: Annotated[  # noqa: A002, ARG001 # the public name; the plan has read it
            strawberry.ID, strawberry.argument(description=names.in_text("Id of the user."))
        ],
    ) -> Any:  # noqa: ANN401 # the annotation of the field says the type
        return await _resolve_one(info)

    async def resolve_users(
        info: Info,
        ids: Annotated[  # noqa: ARG001 # the plan has read them
            list[strawberry.ID],
            strawberry.argument(
                description=names.in_text(
                    "Ids of users, by default 100 at most; the same one may come twice."
                )
            ),
        ],
    ) -> Any:  # noqa: ANN401 # the same; the executor reports an error in it at its position
        return await _resolve_several(info)

    class Query:
        """The root fields."""

        user: optional = strawberry.field(
            resolver=resolve_user,
            name=names.one,
            description=names.in_text(
                "The user with this id; `null` when no asked source knows it."
            ),
        )
        me: optional = strawberry.field(
            resolver=_resolve_one,
            description=names.in_text(
                "The user that the caller is, by its token; `null` when no asked source knows it."
            ),
            directives=[Authenticated()] if security_directives else [],
        )
        users: list[optional] = strawberry.field(
            resolver=resolve_users,
            name=names.several,
            description=names.in_text(
                "The users with these ids, in their order; `null` for each one unknown."
            ),
            directives=[ListSize(assumed_size=100)],  # the gateway itself counts the ids
        )

    if names.node:
        for name, kind, field in _node_fields(resolve_user, resolve_users):
            Query.__annotations__[name] = kind
            setattr(Query, name, field)
    owner = owner_directive(names)
    for lookup in definition.lookups:
        directives = lookup.may.directives(owner) if security_directives else []
        for number, (name, field) in enumerate(_lookup_fields(lookup, names, directives)):
            several: PythonType = list.__class_getitem__(optional)
            Query.__annotations__[f"lookup_{name}"] = several if number else optional
            setattr(Query, f"lookup_{name}", field)
    return strawberry.type(Query, description="The ways into the graph.")


def _node_fields(
    resolve_one: Callable[..., Any], resolve_several: Callable[..., Any]
) -> Iterator[tuple[str, PythonType, Any]]:
    """Make the root fields ``node`` and ``nodes``: the same users, as objects of an interface."""
    optional: PythonType = Optional[UserNode]  # noqa: UP045 # as of the others
    yield (
        NODE,
        optional,
        strawberry.field(
            resolver=resolve_one,
            name=NODE,
            description="The object with this id; `null` when no asked source knows it.",
        ),
    )
    yield (
        NODES,
        list.__class_getitem__(optional),
        strawberry.field(
            resolver=resolve_several,
            name=NODES,
            description="The objects with these ids, in their order; `null` for each one unknown.",
            directives=[ListSize(assumed_size=100)],
        ),
    )


def _lookup_fields(
    lookup: LookupDefinition, names: UserNames, directives: Sequence[object]
) -> Iterator[tuple[str, Any]]:
    """Make the two root fields of a lookup: one user, and several."""
    kind: PythonType = strawberry.ID if lookup.type == "ID" else str
    keys_kind: PythonType = list.__class_getitem__(kind)

    async def resolve_one(
        info: Info,
        key: Annotated[kind, strawberry.argument(name=lookup.key, description="The key.")],  # noqa: ARG001 # the plan has read it
    ) -> Any:  # noqa: ANN401 # the annotation of the field says the type
        return await _resolve_one(info)

    async def resolve_several(
        info: Info,
        keys: Annotated[  # noqa: ARG001 # the same
            keys_kind,
            strawberry.argument(
                name=lookup.keys,
                description="The keys, by default 100 at most; the same one may come twice.",
            ),
        ],
    ) -> Any:  # noqa: ANN401 # the same
        return await _resolve_several(info)

    yield (
        lookup.name,
        strawberry.field(
            resolver=resolve_one,
            name=lookup.name,
            description=f"{lookup.description} `null` when there is none.",
            directives=directives,
        ),
    )
    yield (
        lookup.several,
        strawberry.field(
            resolver=resolve_several,
            name=lookup.several,
            description=(
                f"{names.in_text('The users')} by their {lookup.keys}, in this order; `null` for"
                " each one unknown."
            ),
            directives=[*directives, ListSize(assumed_size=100)],
        ),
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

    def __init__(self, definition: SchemaDefinition, *, security_directives: bool) -> None:
        """Build the schema.

        Args:
            definition: The definition of the schema.
            security_directives: Whether the schema shows routers who may see which field.
        """
        self.definition = definition
        types = TypeBuilder(definition, security_directives=security_directives)
        super().__init__(  # pyright: ignore[reportUnknownMemberType] # its executors are generic
            query=query_type(types.user(), definition, security_directives=security_directives),
            config=StrawberryConfig(
                scalar_map={datetime: DATE_TIME, date: DATE, SafeInt: SAFE_INT, Url: URL}
            ),
            directives=INCREMENTAL_DIRECTIVES,  # type: ignore[arg-type] # Strawberry's own type is wrong
            federation_version="2.9",  # one of the composers in use refuses newer versions
        )
        if definition.drafts.service_capabilities:
            self._schema: GraphQLSchema = CapableSchema(self._schema)
        enforce(self.user.fields, definition.policies)

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
        """The type of a user."""
        return cast(
            "GraphQLObjectType", self.core.type_map[self.definition.names.type]
        )  # it is declared as one

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

        fields = self.definition.fields
        reads = {field.name: endpoints_for(field.source, field.reads) for field in fields}
        [existence] = endpoints_for(self.definition.existence, ())
        selecting = {name for name, one in self.definition.own.items() if one.selects}
        narrow = {
            one.spec.name: {
                field.name: field.reads & one.gives
                for field in fields
                if one.spec.name in reads[field.name]
            }
            for several in endpoints.values()
            for one in several
            if one.selects or one.spec.name in selecting
        }
        lookups = {
            name: LookupRoot(one.source.name, argument, is_list, one.attribute, one.may)
            for one in self.definition.lookups
            for name, argument, is_list in (
                (one.name, one.key, False),
                (one.several, one.keys, True),
            )
        }
        return SourceReads(
            reads=reads, existence=existence, key_from=key_from, narrow=narrow, lookups=lookups
        )


def policies_of(definition: SchemaDefinition, *, fold_case: bool) -> Policies:
    """Collect the policies of a schema.

    Args:
        definition: The schema.
        fold_case: Whether ids of users that differ only in case are the same.

    Returns:
        The policies of all fields.
    """
    of_roots = [one.may for one in definition.lookups]
    return Policies(definition.policies, of_roots=of_roots, fold_case=fold_case)


def schema_for(
    settings: Settings, *, security_directives: bool | None = None
) -> tuple[GatewaySchema, Settings]:
    """Build the schema that settings define.

    Args:
        settings: All settings.
        security_directives: Whether the schema shows routers who may see which field; ``None``
            for what the settings say.

    Returns:
        The schema, and the settings whose sources have the expressions of its fields.

    Raises:
        ConfigurationError: The settings of the schema do not fit together.
    """
    definition, used = configured(settings)
    if security_directives is None:
        security_directives = settings.has_security_directives
    return build_schema(definition, security_directives=security_directives), used


def build_schema(
    definition: SchemaDefinition = DEFAULT_SCHEMA, *, security_directives: bool = True
) -> GatewaySchema:
    """Build the schema.

    Args:
        definition: The definition of the schema.
        security_directives: Whether the schema shows routers who may see which field, by
            ``@authenticated``, ``@requiresScopes`` and ``@owner``. The policies apply either way.
            A router that does not support them must refuse the whole supergraph (Apollo's core
            schemas specification, ``for: SECURITY``).

    Returns:
        The schema.
    """
    return GatewaySchema(definition, security_directives=security_directives)
