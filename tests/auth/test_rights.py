"""The rights of a caller alone. ``test_policies.py`` tests their effect on responses."""

import pytest
from graphql import GraphQLField, GraphQLString

from app.auth.policies import (
    EVERYBODY,
    NOBODY,
    PUBLIC,
    Caller,
    Policies,
    enforce,
    refusal,
    scoped,
    self_or,
)

POLICIES = Policies({"name": PUBLIC, "plan": self_or("billing:read"), "count": scoped("all:read")})
FIELDS = ("name", "plan", "count")


@pytest.mark.parametrize(
    ("caller", "of_others", "of_own"),
    [
        (EVERYBODY, {"name", "plan", "count"}, {"name", "plan", "count"}),
        (NOBODY, {"name"}, {"name", "plan"}),
        (Caller("a", frozenset({"billing:read"})), {"name", "plan"}, {"name", "plan"}),
        (Caller("a", frozenset({"all:read"})), {"name", "count"}, {"name", "plan", "count"}),
    ],
)
def test_rights_give_the_visible_fields_of_the_own_user_and_of_others(
    caller: Caller, of_others: set[str], of_own: set[str]
) -> None:
    rights = POLICIES.rights(caller)

    assert rights.visible(FIELDS, own=False) == of_others
    assert rights.visible(FIELDS, own=True) == of_own


def test_scopes_that_no_policy_uses_are_ignored() -> None:
    some, other = (POLICIES.rights(Caller("a", frozenset({"billing:read", more}))) for more in "xy")

    assert some.scopes == other.scopes == {"billing:read"}


def test_a_refusal_names_the_audience_of_the_field() -> None:
    error = refusal("plan", POLICIES.rights(NOBODY).policies["plan"])

    assert error.code == "FORBIDDEN"
    assert error.message == "plan is for the user itself and callers with the scope billing:read"


def test_a_field_without_a_policy_is_an_error_at_the_start() -> None:
    with pytest.raises(TypeError, match="plan has no policy: declare it"):
        enforce({"plan": GraphQLField(GraphQLString)}, {"name": PUBLIC})
