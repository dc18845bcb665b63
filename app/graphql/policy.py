"""Who may see a field of a user: declared beside the field, and visible in the schema.

Routers of Apollo's kind know ``@authenticated`` and ``@requiresScopes``. Neither can say that a
user sees what is its own without a scope, so that ``@owner`` says it for people and for tools of
ours; ``@authenticated`` beside it holds whoever may ask.
"""

from collections.abc import Collection
from dataclasses import dataclass

import strawberry
from strawberry.federation.schema_directives import Authenticated, RequiresScopes
from strawberry.schema_directive import Location

from app.errors import ForbiddenError


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
