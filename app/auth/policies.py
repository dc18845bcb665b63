"""Callers, the policies of fields, and the rights of a caller. Pure.

A policy says who may see a field of a user. It is declared with the field, and the schema has it
as directives. Apollo's routers support ``@authenticated`` and ``@requiresScopes``. Neither can say
that users see their own field without a scope. So such a field has ``@owner``, for people and for
our tools, and ``@authenticated``, which routers enforce.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import strawberry
from graphql import GraphQLField, GraphQLFieldResolver, GraphQLResolveInfo
from msgspec import Struct
from strawberry.federation.schema_directives import Authenticated, RequiresScopes
from strawberry.schema_directive import Location

from app.errors import ForbiddenError
from app.expressions.ids import same_user
from app.settings.public_schema import UserNames


class Caller(Struct, frozen=True):
    """Who asks.

    Attributes:
        subject: The id of the user that the caller is; ``None`` if it is unknown or not a user.
        scopes: The scopes of the caller (RFC 6749, section 3.3).
        trusted: Whether the caller may see everything, because callers are not authenticated.
        router: Whether the request came through the router, which may read the schema.
    """

    subject: str | None = None
    scopes: frozenset[str] = frozenset()
    trusted: bool = False
    router: bool = False


NOBODY = Caller()
"""A caller without a token, where that is allowed."""

EVERYBODY = Caller(trusted=True)
"""Every caller, where callers are not authenticated."""


OwnerDirective: TypeAlias = Callable[[Sequence[str]], object]
"""Makes ``@owner`` for some scopes."""


def owner_directive(names: UserNames) -> OwnerDirective:
    """Define the directive ``@owner`` of a schema.

    Args:
        names: What the schema calls users.

    Returns:
        A function that makes the directive for some scopes.
    """

    @strawberry.schema_directive(
        locations=[Location.FIELD_DEFINITION],
        description=names.in_text(
            "Only the user itself and callers with one of the scopes may see the field. For all"
            " others it is `null`, with the error `FORBIDDEN`."
        ),
    )
    class Owner:
        """Only the user itself and callers with one of the scopes see the field."""

        or_scopes: list[str]

    return lambda scopes: Owner(or_scopes=[*scopes])


class Policy(Struct, frozen=True):
    """Who may see a field of a user.

    Attributes:
        scopes: The scopes of which a caller needs one. Without scopes, every caller may see the
            field, or the user itself only.
        own: Whether users see their own field without a scope.
    """

    scopes: tuple[str, ...] = ()
    own: bool = False

    @property
    def public(self) -> bool:
        """Whether every caller may see the field."""
        return not self.scopes and not self.own

    def allows(self, scopes: Collection[str], *, own: bool) -> bool:
        """Return whether a caller may see the field.

        Args:
            scopes: The scopes of the caller.
            own: Whether the field belongs to the caller's own user.

        Returns:
            Whether the caller may see it.
        """
        if self.public or (self.own and own):
            return True
        return any(one in scopes for one in self.scopes)

    def directives(self, owner: OwnerDirective) -> list[object]:
        """Return the directives of the field in the schema.

        Args:
            owner: Makes the directive of fields that users see without a scope.

        Returns:
            The directives.
        """
        if self.own:
            return [Authenticated(), owner(self.scopes)]
        return [RequiresScopes(scopes=[[one] for one in self.scopes])] if self.scopes else []

    @property
    def audience(self) -> str:
        """Who may see the field, in words, as part of a sentence."""
        if not self.scopes:
            return "the user itself" if self.own else "everyone"
        several = len(self.scopes) > 1
        which = f"one of the scopes {', '.join(self.scopes)}" if several else self.scopes[0]
        others = f"callers with {which if several else f'the scope {which}'}"
        return f"the user itself and {others}" if self.own else others


def refusal(field: str, policy: Policy) -> ForbiddenError:
    """Make the error of a field that the caller may not see.

    Args:
        field: The field's public name.
        policy: The field's policy.

    Returns:
        The error. Its message says who may see the field.
    """
    return ForbiddenError(f"{field} is for {policy.audience}")


PUBLIC = Policy()
"""Every caller may see the field."""


def self_or(scope: str, *others: str) -> Policy:
    """Make the policy of a field for the user itself and callers with a scope.

    Args:
        scope: The scope.
        others: Other scopes, each of which is as good.

    Returns:
        The policy.
    """
    return Policy((scope, *others), own=True)


def scoped(scope: str, *others: str) -> Policy:
    """Make the policy of a field for callers with a scope only.

    Args:
        scope: The scope.
        others: Other scopes, each of which is as good.

    Returns:
        The policy.
    """
    return Policy((scope, *others))


SELF = Policy(own=True)
"""Only the user itself may see the field."""


def policy_of(text: str) -> Policy:
    """Read a policy as settings have it.

    Args:
        text: ``public``, ``self``, a scope, or ``self or`` and a scope.

    Returns:
        The policy.
    """
    if text == "public":
        return PUBLIC
    if text == "self":
        return SELF
    scope = text.removeprefix("self or ")
    return self_or(scope) if scope != text else scoped(scope)


class Rights(Struct, frozen=True):
    """What one caller may see of users.

    Attributes:
        subject: The id of the user that the caller is; ``None`` if it is none.
        scopes: The scopes of the caller that some policy names. Callers with the same ones see the
            same fields of other users.
        policies: The policies of a user's fields, by the field's public name.
        fold_case: Whether ids of users that differ only in case are the same.
    """

    subject: str | None
    scopes: frozenset[str]
    policies: Mapping[str, Policy]
    fold_case: bool = False

    def is_own(self, user: str) -> bool:
        """Return whether a user is the caller itself.

        Args:
            user: The user's id.

        Returns:
            Whether it is the caller's subject.
        """
        subject = self.subject
        return subject is not None and same_user(user, subject, fold_case=self.fold_case)

    def allows(self, field: str, *, own: bool) -> bool:
        """Return whether the caller may see a field.

        Args:
            field: The field's public name.
            own: Whether the field belongs to the caller's own user.

        Returns:
            Whether the caller may see it.
        """
        return self.policies[field].allows(self.scopes, own=own)

    def visible(self, fields: Iterable[str], *, own: bool) -> frozenset[str]:
        """Return the fields that the caller may see.

        Args:
            fields: Public names of fields.
            own: Whether the fields belong to the caller's own user.

        Returns:
            Those of the fields that the caller may see.
        """
        return frozenset(field for field in fields if self.allows(field, own=own))


class Policies:
    """The policies of all fields of a user. Shared by all requests."""

    def __init__(
        self,
        policies: Mapping[str, Policy],
        *,
        of_roots: Collection[Policy] = (),
        fold_case: bool = False,
    ) -> None:
        """Collect the policies.

        Args:
            policies: The policies of a user's fields, by the field's public name.
            of_roots: The policies of root fields.
            fold_case: Whether ids of users that differ only in case are the same.
        """
        self._policies = policies
        self._fold_case = fold_case
        self._scopes = frozenset(
            scope for policy in (*policies.values(), *of_roots) for scope in policy.scopes
        )
        self._all = Rights(None, self._scopes, dict.fromkeys(policies, PUBLIC))

    def rights(self, caller: Caller) -> Rights:
        """Return what a caller may see.

        Args:
            caller: The caller.

        Returns:
            The caller's rights.
        """
        if caller.trusted:
            return self._all
        scopes = self._scopes & caller.scopes
        return Rights(caller.subject, scopes, self._policies, self._fold_case)


def enforce(fields: Mapping[str, GraphQLField], policies: Mapping[str, Policy]) -> None:
    """Check the policies of a user's fields before each resolver runs.

    Args:
        fields: The fields in graphql-core's schema. Their resolvers are replaced.
        policies: The policies, by the public names of the fields.

    Raises:
        TypeError: A field has no policy.
    """
    for name, field in fields.items():
        if name not in policies:
            raise TypeError(f"{name} has no policy: declare it with `may=…`")
        if policies[name] != PUBLIC and field.resolve is not None:
            field.resolve = _guarded(name, field.resolve)


def _guarded(name: str, resolve: GraphQLFieldResolver) -> GraphQLFieldResolver:
    """Wrap a resolver so that it runs only for callers that may see the field."""

    def guarded(user: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:  # noqa: ANN401 # a resolver's own signature
        rights: Rights = info.context.rights
        if not rights.allows(name, own=rights.is_own(user.id)):
            raise refusal(name, rights.policies[name])
        return resolve(user, info, **arguments)

    return guarded
