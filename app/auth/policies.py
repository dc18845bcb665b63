"""The caller, the policies of fields, and what a caller may see by them.

Who asks, as far as that decides over what may be seen.

Who may see a field of a user: declared beside the field, and visible in the schema.

Routers of Apollo's kind know ``@authenticated`` and ``@requiresScopes``. Neither can say that a
user sees what is its own without a scope, so that ``@owner`` says it for people and for tools of
ours; ``@authenticated`` beside it holds whoever may ask.

What one caller may see of users. Pure: found by policies and by what the caller has shown.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import GraphQLField, GraphQLFieldResolver, GraphQLResolveInfo
from strawberry.federation.schema_directives import Authenticated, RequiresScopes
from strawberry.schema_directive import Location

from app.errors import ForbiddenError
from app.expressions.ids import same_user
from app.readonly import readonly


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        subject: The user that the caller is; ``None`` where it is none, or nobody knows.
        scopes: What the caller was granted (RFC 6749, section 3.3).
        trusted: Whether it sees everything, since callers are not told apart.
        router: Whether it asks through the router, which may read the schema.
    """

    subject: str | None = None
    scopes: frozenset[str] = frozenset()
    trusted: bool = False
    router: bool = False


NOBODY = Caller()
"""A caller who has shown nothing, where that is allowed."""

EVERYBODY = Caller(trusted=True)
"""Every caller, where they are not told apart."""


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    description=(
        "Who may see the field: the user that it is of, and whoever was granted one of the"
        " scopes. For everyone else it is `null`, with the error `FORBIDDEN`."
    ),
)
class Owner:
    """Only the user itself sees the field, and whoever has a scope."""

    or_scopes: list[str]


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may see a field of a user.

    Attributes:
        scope: What a caller needs to have been granted; ``None`` where all may see it.
        own: Whether the user that it is a field of sees it without that.
    """

    scope: str | None = None
    own: bool = False

    def allows(self, scopes: Collection[str], *, own: bool) -> bool:
        """Tell whether a caller may see the field.

        Args:
            scopes: What the caller was granted.
            own: Whether it is the user that the field is of.

        Returns:
            Whether it may.
        """
        return self.scope is None or self.scope in scopes or (self.own and own)

    @property
    def directives(self) -> list[object]:
        """What the schema says of it."""
        if self.scope is None:
            return []
        if self.own:
            return [Authenticated(), Owner(or_scopes=[self.scope])]
        return [RequiresScopes(scopes=[[self.scope]])]

    @property
    def whose(self) -> str:
        """Whom the field is for, in a sentence."""
        if self.scope is None:
            return "everyone"
        others = f"callers with the scope {self.scope}"
        return f"the user itself and {others}" if self.own else others


def refusal(field: str, policy: Policy) -> ForbiddenError:
    """Say who may see a field that the caller may not.

    Args:
        field: The field's public name.
        policy: Who may see it.

    Returns:
        The error for its place.
    """
    return ForbiddenError(f"{field} is for {policy.whose}")


PUBLIC = Policy()
"""For every caller."""


def self_or(scope: str) -> Policy:
    """Let the user itself see a field, and whoever was granted a scope.

    Args:
        scope: The scope.

    Returns:
        The policy.
    """
    return Policy(scope, own=True)


def scoped(scope: str) -> Policy:
    """Let only those see a field who were granted a scope.

    Args:
        scope: The scope.

    Returns:
        The policy.
    """
    return Policy(scope)


@readonly(frozen=True, slots=True)
class Rights:
    """What one caller may see of users.

    Attributes:
        subject: The user that it is; ``None`` where it is none.
        scopes: What it was granted, of that which some policy names: callers that have the same in
            it see the same, but for what is their own.
        policies: Who may see the fields of a user, by the field's public name.
        fold_case: Whether users' ids that differ in case alone are the same.
    """

    subject: str | None
    scopes: frozenset[str]
    policies: Mapping[str, Policy]
    fold_case: bool = False

    def is_own(self, user: str) -> bool:
        """Tell whether a user is the caller itself.

        Args:
            user: The user's id.

        Returns:
            Whether it is.
        """
        subject = self.subject
        return subject is not None and same_user(user, subject, fold_case=self.fold_case)

    def allows(self, field: str, *, own: bool) -> bool:
        """Tell whether it may see a field.

        Args:
            field: The field's public name.
            own: Whether it is the user that the field is of.

        Returns:
            Whether it may.
        """
        return self.policies[field].allows(self.scopes, own=own)

    def seen(self, fields: Iterable[str], *, own: bool) -> frozenset[str]:
        """Leave out what it may not see.

        Args:
            fields: Public names of fields.
            own: Whether it is the user that they are of.

        Returns:
            Those that it may see.
        """
        return frozenset(field for field in fields if self.allows(field, own=own))


class Policies:
    """Who may see the fields of a user. Shared by all requests."""

    def __init__(self, policies: Mapping[str, Policy], *, fold_case: bool = False) -> None:
        """Make them.

        Args:
            policies: Who may see the fields of a user, by the field's public name.
            fold_case: Whether users' ids that differ in case alone are the same.
        """
        self._policies = policies
        self._fold_case = fold_case
        self._scopes = frozenset(one.scope for one in policies.values() if one.scope is not None)
        self._all = Rights(None, self._scopes, policies)

    def rights(self, caller: Caller) -> Rights:
        """Find what a caller may see.

        Args:
            caller: Who asks.

        Returns:
            Its rights.
        """
        if caller.trusted:
            return self._all
        scopes = self._scopes & caller.scopes
        return Rights(caller.subject, scopes, self._policies, self._fold_case)


def enforce(fields: Mapping[str, GraphQLField], policies: Mapping[str, Policy]) -> None:
    """Put the policies of a user's fields before their resolvers, whatever those are.

    Args:
        fields: The fields of GraphQL's own schema, whose resolvers are replaced.
        policies: Who may see them, by their names.

    Raises:
        TypeError: A field has no policy: nobody has said who may see it.
    """
    for name, field in fields.items():
        if name not in policies:
            raise TypeError(f"nobody has said who may see {name}: declare it with `may=…`")
        if policies[name] != PUBLIC and field.resolve is not None:
            field.resolve = _guarded(name, field.resolve)


def _guarded(name: str, resolve: GraphQLFieldResolver) -> GraphQLFieldResolver:
    """Let a field's resolver be reached only by those who may see the field."""

    def guarded(user: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:  # noqa: ANN401 # a resolver's own signature
        rights: Rights = info.context.rights
        if not rights.allows(name, own=rights.is_own(user.id)):
            raise refusal(name, rights.policies[name])
        return resolve(user, info, **arguments)

    return guarded
