"""Policies alone. ``test_policies.py`` tests their effect on responses."""

import pytest

from app.auth.policies import PUBLIC, Policy, scoped, self_or


@pytest.mark.parametrize(
    ("policy", "of_others", "of_own", "with_the_scope", "with_another"),
    [
        (PUBLIC, True, True, True, True),
        (self_or("a:read"), False, True, True, False),
        (scoped("a:read"), False, False, True, False),
    ],
)
def test_a_policy_allows_a_field_by_owner_and_scope(
    policy: Policy,
    of_others: bool,  # noqa: FBT001 # columns of the table
    of_own: bool,  # noqa: FBT001
    with_the_scope: bool,  # noqa: FBT001
    with_another: bool,  # noqa: FBT001
) -> None:
    assert policy.allows((), own=False) is of_others
    assert policy.allows((), own=True) is of_own
    assert policy.allows(("b:read", "a:read"), own=False) is with_the_scope
    assert policy.allows(("a", "a:rea", "a:read:all"), own=False) is with_another


def test_a_policy_describes_its_audience() -> None:
    assert PUBLIC.audience == "everyone"
    assert self_or("a:read").audience == "the user itself and callers with the scope a:read"
    assert scoped("a:read").audience == "callers with the scope a:read"
