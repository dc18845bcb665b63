"""Which sources a selection needs."""

from dataclasses import replace
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from app.execution.plan import SourceNeeds
from app.execution.planner import SourceReads

READS = {
    "username": ("profile",),
    "email": ("profile",),
    "plan": ("billing",),
    "balance": ("billing",),
    "loginCount": ("activity",),
}
SOURCE_READS = SourceReads(reads=READS, existence="profile")


def test_a_selection_needs_the_sources_that_its_fields_read() -> None:
    assert SOURCE_READS.needs(["email"]) == SourceNeeds(("profile",), existence_only=False)
    assert SOURCE_READS.needs(["plan", "balance"]) == SourceNeeds(
        ("billing",), existence_only=False
    )
    assert SOURCE_READS.needs(["loginCount", "username"]) == SourceNeeds(
        ("profile", "activity"), existence_only=False
    )


def test_a_field_that_reads_no_source_needs_none() -> None:
    assert SOURCE_READS.needs(["id", "__typename", "plan"]).sources == ("billing",)


def test_when_no_field_reads_a_source_one_is_asked_who_exists() -> None:
    existence = SourceReads(reads=READS, existence="billing")

    for fields in ([], ["id"], ["__typename"], ["id", "__typename"]):
        assert existence.needs(fields) == SourceNeeds(("billing",), existence_only=True)


def test_asking_for_a_field_of_the_source_that_knows_who_exists_is_not_asking_for_that_alone() -> (
    None
):
    assert SOURCE_READS.needs(["id", "username"]) == SourceNeeds(("profile",), existence_only=False)


def test_the_order_is_the_schema_s_in_whatever_order_the_fields_are_selected() -> None:
    plans = {SOURCE_READS.needs(fields) for fields in permutations(["loginCount", "plan", "email"])}

    assert plans == {SourceNeeds(("profile", "billing", "activity"), existence_only=False)}


@given(fields=st.lists(st.sampled_from([*READS, "id", "__typename"]), max_size=10))
def test_any_plan_names_each_source_that_a_field_reads_once_and_no_other(
    fields: list[str],
) -> None:
    plan = SOURCE_READS.needs(iter(fields))

    read = {source for name in fields for source in READS.get(name, ())}
    assert sorted(plan.sources) == sorted(read or {"profile"})
    assert plan.existence_only is not bool(read)


def test_a_plan_prints_as_what_it_is() -> None:
    assert str(SOURCE_READS.needs(["plan"])) == (
        "SourceNeeds(sources=('billing',), existence_only=False, for_keys=(), fields={})"
    )


DIVIDED = SourceReads(
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
    assert DIVIDED.needs(["balance"]).sources == ("billing.balance",)
    assert DIVIDED.needs(["debt"]).sources == ("billing.account", "billing.balance")
    assert DIVIDED.needs(["plan", "balance"]).sources == ("billing.account", "billing.balance")


def test_a_source_that_can_be_asked_for_some_fields_is_asked_for_those_that_are_read() -> None:
    assert DIVIDED.needs(["username", "id"]).fields == {"profile": {"username"}}
    assert DIVIDED.needs(["email", "username"]).fields == {
        "profile": {"username", "email", "verified"}
    }
    assert DIVIDED.needs(["debt", "plan", "loginCount"]).fields == {
        "billing.account": {"plan", "status"}
    }
    assert DIVIDED.needs(["balance"]).fields == {}


def test_where_only_existence_matters_or_keys_no_field_is_asked_for() -> None:
    by_key = replace(DIVIDED, key_from={"activity": "profile"})

    assert DIVIDED.needs(["id"]).fields == {"profile": frozenset()}
    assert by_key.needs(["loginCount"]).fields == {"profile": frozenset()}


def keyed(**key_from: str) -> SourceReads:
    """Make a planner where some sources have the keys of others."""
    return SourceReads(reads=READS, existence="profile", key_from=key_from)


def test_the_source_that_has_another_s_keys_is_needed_but_not_asked_as_such() -> None:
    planner = keyed(billing="profile")

    assert planner.needs(["plan"]) == SourceNeeds(
        ("billing",), existence_only=False, for_keys=("profile",)
    )
    assert planner.needs(["plan"]).needed == ("billing", "profile")
    assert planner.needs(["loginCount"]) == SourceNeeds(("activity",), existence_only=False)


def test_a_source_that_is_asked_as_such_is_not_asked_for_keys_beside() -> None:
    planner = keyed(billing="profile")

    assert planner.needs(["plan", "email"]) == SourceNeeds(
        ("profile", "billing"), existence_only=False
    )


def test_keys_of_keys_are_needed_too() -> None:
    planner = keyed(activity="billing", billing="profile")

    assert planner.needs(["loginCount"]).for_keys == ("billing", "profile")
    assert planner.needs(["loginCount", "plan"]).for_keys == ("profile",)
    assert planner.needs(["loginCount", "email"]).for_keys == ("billing",)


def test_who_exists_may_need_keys() -> None:
    assert keyed(profile="activity").needs(["id"]) == SourceNeeds(
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
    plan = keyed(**key_from).needs(fields)

    assert plan.sources == SOURCE_READS.needs(fields).sources
    assert len(set(plan.needed)) == len(plan.needed)
    assert all(key_from.get(one, one) in plan.needed for one in plan.needed)
    assert all(any(key_from.get(one) == other for one in plan.needed) for other in plan.for_keys)
