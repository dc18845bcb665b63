"""Which sources a selection needs."""

from dataclasses import replace
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from app.federation.plan import Plan, Planner

READS = {
    "username": ("profile",),
    "email": ("profile",),
    "plan": ("billing",),
    "balance": ("billing",),
    "loginCount": ("activity",),
}
PLANNER = Planner(reads=READS, existence="profile")


def test_a_selection_needs_the_sources_that_its_fields_read() -> None:
    assert PLANNER.plan(["email"]) == Plan(("profile",), existence_only=False)
    assert PLANNER.plan(["plan", "balance"]) == Plan(("billing",), existence_only=False)
    assert PLANNER.plan(["loginCount", "username"]) == Plan(
        ("profile", "activity"), existence_only=False
    )


def test_a_field_that_reads_no_source_needs_none() -> None:
    assert PLANNER.plan(["id", "__typename", "plan"]).sources == ("billing",)


def test_when_no_field_reads_a_source_one_is_asked_who_exists() -> None:
    existence = Planner(reads=READS, existence="billing")

    for fields in ([], ["id"], ["__typename"], ["id", "__typename"]):
        assert existence.plan(fields) == Plan(("billing",), existence_only=True)


def test_asking_for_a_field_of_the_source_that_knows_who_exists_is_not_asking_for_that_alone() -> (
    None
):
    assert PLANNER.plan(["id", "username"]) == Plan(("profile",), existence_only=False)


def test_the_order_is_the_schema_s_in_whatever_order_the_fields_are_selected() -> None:
    plans = {PLANNER.plan(fields) for fields in permutations(["loginCount", "plan", "email"])}

    assert plans == {Plan(("profile", "billing", "activity"), existence_only=False)}


@given(fields=st.lists(st.sampled_from([*READS, "id", "__typename"]), max_size=10))
def test_any_plan_names_each_source_that_a_field_reads_once_and_no_other(
    fields: list[str],
) -> None:
    plan = PLANNER.plan(iter(fields))

    read = {source for name in fields for source in READS.get(name, ())}
    assert sorted(plan.sources) == sorted(read or {"profile"})
    assert plan.existence_only is not bool(read)


def test_a_plan_prints_as_what_it_is() -> None:
    assert str(PLANNER.plan(["plan"])) == (
        "Plan(sources=('billing',), existence_only=False, for_keys=(), fields={})"
    )


DIVIDED = Planner(
    reads={
        **READS,
        "plan": ("billing.account",),
        "balance": ("billing.balance",),
        "debt": ("billing.account", "billing.balance"),
    },
    existence="profile",
    narrow={
        "profile": {"username": frozenset({"username"}), "email": frozenset({"email", "verified"})},
        "billing.account": {"plan": frozenset({"plan"}), "debt": frozenset({"status"})},
    },
)


def test_of_a_source_with_endpoints_those_are_needed_that_the_fields_read() -> None:
    assert DIVIDED.plan(["balance"]).sources == ("billing.balance",)
    assert DIVIDED.plan(["debt"]).sources == ("billing.account", "billing.balance")
    assert DIVIDED.plan(["plan", "balance"]).sources == ("billing.account", "billing.balance")


def test_a_source_that_can_be_asked_for_some_fields_is_asked_for_those_that_are_read() -> None:
    assert DIVIDED.plan(["username", "id"]).fields == {"profile": {"username"}}
    assert DIVIDED.plan(["email", "username"]).fields == {
        "profile": {"username", "email", "verified"}
    }
    assert DIVIDED.plan(["debt", "plan", "loginCount"]).fields == {
        "billing.account": {"plan", "status"}
    }
    assert DIVIDED.plan(["balance"]).fields == {}


def test_where_only_existence_matters_or_keys_no_field_is_asked_for() -> None:
    by_key = replace(DIVIDED, key_from={"activity": "profile"})

    assert DIVIDED.plan(["id"]).fields == {"profile": frozenset()}
    assert by_key.plan(["loginCount"]).fields == {"profile": frozenset()}


def keyed(**key_from: str) -> Planner:
    """Make a planner where some sources have the keys of others."""
    return Planner(reads=READS, existence="profile", key_from=key_from)


def test_the_source_that_has_another_s_keys_is_needed_but_not_asked_as_such() -> None:
    planner = keyed(billing="profile")

    assert planner.plan(["plan"]) == Plan(("billing",), existence_only=False, for_keys=("profile",))
    assert planner.plan(["plan"]).needed == ("billing", "profile")
    assert planner.plan(["loginCount"]) == Plan(("activity",), existence_only=False)


def test_a_source_that_is_asked_as_such_is_not_asked_for_keys_beside() -> None:
    planner = keyed(billing="profile")

    assert planner.plan(["plan", "email"]) == Plan(("profile", "billing"), existence_only=False)


def test_keys_of_keys_are_needed_too() -> None:
    planner = keyed(activity="billing", billing="profile")

    assert planner.plan(["loginCount"]).for_keys == ("billing", "profile")
    assert planner.plan(["loginCount", "plan"]).for_keys == ("profile",)
    assert planner.plan(["loginCount", "email"]).for_keys == ("billing",)


def test_who_exists_may_need_keys() -> None:
    assert keyed(profile="activity").plan(["id"]) == Plan(
        ("profile",), existence_only=True, for_keys=("activity",)
    )


@given(
    fields=st.lists(st.sampled_from([*READS, "id"]), max_size=10),
    key_from=st.fixed_dictionaries(
        {},
        optional={
            "billing": st.just("profile"),
            "activity": st.sampled_from(["profile", "billing"]),
        },
    ),
)
def test_a_plan_needs_its_sources_and_all_that_lead_to_their_keys_each_once(
    fields: list[str], key_from: dict[str, str]
) -> None:
    plan = keyed(**key_from).plan(fields)

    assert plan.sources == PLANNER.plan(fields).sources
    assert len(set(plan.needed)) == len(plan.needed)
    assert all(key_from.get(one, one) in plan.needed for one in plan.needed)
    assert all(any(key_from.get(one) == other for one in plan.needed) for other in plan.for_keys)
