"""The ways into the graph: by id, by ids, and by a federation router's representations.

Which users a field names is in the plan (``execution/keys.py``), which is there before a resolver
runs. A resolver finds its part of the plan by its response key, and loads it.
"""

from collections.abc import Sequence
from typing import Annotated, Any, cast

import strawberry
from strawberry.federation.schema_directives import Authenticated

from app.errors import GatewayError, SourceFailedError
from app.execution.outcome import bug_of, outcome_of
from app.execution.results import SourceResults
from app.graphql.context import Info
from app.graphql.limits.directives import ListSize
from app.graphql.user import User

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
                resolved[place] = SourceFailedError(outcome.failure)
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
        SourceFailedError: Whether the user exists could not be found out.
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
        SourceFailedError: Whether the user exists could not be found out.
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
