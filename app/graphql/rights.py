"""What one caller may see of users. Pure: found by policies and by what the caller has shown."""

from collections.abc import Iterable, Mapping
from typing import Any

from graphql import GraphQLField, GraphQLFieldResolver, GraphQLResolveInfo

from app.graphql.caller import Caller
from app.graphql.policy import PUBLIC, Policy, refusal
from app.readonly import readonly
from app.shapes.ids import same_user


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
