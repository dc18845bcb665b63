"""The ways into the graph: by id, by ids, and by a federation router's representations."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

import strawberry
from graphql import GraphQLResolveInfo
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from strawberry.federation.schema_directives import Authenticated

from app.errors import BadUserInputError, SourceFailedError
from app.federation.loaders import Ask
from app.graphql.context import Context, Guards, Info
from app.graphql.limits.directives import ListSize
from app.graphql.selection import selected_fields
from app.graphql.user import User
from app.sources.base import UserId

USER_TYPES = frozenset({"User", "_Entity"})
"""What a fragment on a user can be on: the type, and the union that routers ask for."""

Resolved = User | SourceFailedError | None
"""What becomes of a key: a user, nobody, or a failure to find out."""


async def find_users(info: Info, keys: Sequence[UserId]) -> list[Resolved]:
    """Ask the sources that the selection needs about users, as far as the caller may see it.

    Args:
        info: What Strawberry hands to a resolver of users.
        keys: Whom to ask about; the same user may be in it twice.

    Returns:
        One for each key, in their order.
    """
    context = info.context
    # The one way to the syntax tree: `info.selected_fields` includes what is skipped.
    raw = cast("GraphQLResolveInfo[Context]", info._raw_info)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]
    fields = selected_fields(
        raw.field_nodes,
        types=USER_TYPES,
        fragments=raw.fragments,
        variables=cast("Mapping[str, object]", raw.variable_values),  # Strawberry's are plain
    )
    rights = context.rights
    owned = [rights.is_own(key) for key in keys]
    plans = {own: context.planner.plan(rights.seen(fields, own=own)) for own in {*owned}}
    asks = [Ask(key, plans[own]) for key, own in zip(keys, owned, strict=True)]
    resolved: list[Resolved] = []
    for (key, plan), parts in zip(asks, await context.loaders.load(asks), strict=True):
        # Where no field reads the source, none could say that it failed.
        needed = plan.sources if plan.existence_only else context.required
        if parts.unknown:
            resolved.append(None)
        elif (failure := parts.failure_of(needed)) is not None:
            resolved.append(SourceFailedError(failure))
        else:
            resolved.append(User(parts=parts, id=strawberry.ID(key)))
    return resolved


async def resolve_user(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="Id of the user.")],  # noqa: A002 # the public name
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
    [user] = await find_users(info, [info.context.guards.user_id(id)])
    if isinstance(user, SourceFailedError):
        raise user
    return user


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
    guards, rights = info.context.guards, info.context.rights
    [user] = await find_users(info, [guards.own_id(rights.subject)])
    if isinstance(user, SourceFailedError):
        raise user
    return user


async def resolve_users(
    info: Info,
    ids: Annotated[
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
    guards = info.context.guards
    users = await find_users(info, guards.user_ids(ids))
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


class UserRepresentation(BaseModel):
    """How a federation router names a user (Apollo Federation subgraph specification)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    id: str | int = Field(description="The key. A router sends an ID as text or as an integer.")


async def resolve_entities(
    info: Info, representations: Sequence[Any]
) -> list[Resolved | BadUserInputError]:
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
    guards = info.context.guards
    guards.check_representations(len(representations))
    checked = [representation_key(guards, one) for one in representations]
    keys = [key for key in checked if not isinstance(key, BadUserInputError)]
    users = iter(await find_users(info, keys)) if keys else iter(())
    return [one if isinstance(one, BadUserInputError) else next(users) for one in checked]


def representation_key(guards: Guards, raw: object) -> UserId | BadUserInputError:
    """Read one representation.

    Args:
        guards: Check the key.
        raw: What the router sent.

    Returns:
        The user's key, or what is wrong with it, as a value for its place in the list.
    """
    if not isinstance(raw, dict) or cast("dict[str, object]", raw).get("__typename") != "User":
        return BadUserInputError(
            'a representation has to be an object with "__typename": "User" and the key "id"'
        )
    try:
        return guards.user_id(str(UserRepresentation.model_validate(raw).id))
    except ValidationError:
        return BadUserInputError('a representation of User needs the key "id", a text')
    except BadUserInputError as error:
        return error
