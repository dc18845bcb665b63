"""Which sources a selection needs."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.execution.plan import SourceNeeds
from app.execution.source_reads import SourceReads

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
        "SourceNeeds(sources=('billing',), existence_only=False, for_keys=(), fallbacks=(), "
        "fields={}, exists=False)"
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
    by_key = replace(DIVIDED, key_from={"activity": ("profile",)})

    assert DIVIDED.needs(["id"]).fields == {"profile": frozenset()}
    assert by_key.needs(["loginCount"]).fields == {"profile": frozenset()}


def keyed(**key_from: str | tuple[str, ...]) -> SourceReads:
    """Make a planner where some sources have the keys of others."""
    several = {name: (one,) if isinstance(one, str) else one for name, one in key_from.items()}
    return SourceReads(reads=READS, existence="profile", key_from=several)


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


def test_of_several_places_only_the_first_is_asked_in_any_case() -> None:
    by_mail = keyed(
        billing=("profile", "billing.by_mail"), **{"billing.by_mail": ("activity", "crm")}
    )

    needs = by_mail.needs(["plan"])

    assert needs.sources == ("billing",)
    assert needs.for_keys == ("profile",)
    assert needs.fallbacks == ("billing.by_mail", "activity", "crm")
    assert needs.needed == ("billing", "profile", "billing.by_mail", "activity", "crm")


def test_a_later_place_whose_fields_are_wanted_is_asked_in_any_case() -> None:
    both = keyed(billing=("profile", "activity"))

    assert both.needs(["plan"]).fallbacks == ("activity",)
    assert both.needs(["plan", "loginCount"]).fallbacks == ()
    assert both.needs(["plan", "loginCount"]).for_keys == ("profile",)


def test_a_later_place_of_one_that_is_the_first_of_another_is_asked_in_any_case() -> None:
    both = keyed(billing=("profile", "crm"), activity="crm")

    assert both.needs(["plan"]).fallbacks == ("crm",)
    assert both.needs(["plan", "loginCount"]).fallbacks == ()


@given(
    fields=st.lists(st.sampled_from([*READS, "id"]), max_size=10),
    key_from=st.fixed_dictionaries(
        {},
        optional={
            "billing": st.sampled_from(["profile", ("profile", "crm"), ("crm", "profile")]),
            "activity": st.sampled_from(["profile", "billing", ("billing", "crm", "profile")]),
            "crm": st.just("profile"),
        },
    ),
)
def test_a_plan_needs_its_sources_and_all_that_lead_to_their_keys_each_once(
    fields: list[str], key_from: dict[str, str | tuple[str, ...]]
) -> None:
    reads = keyed(**key_from)
    plan = reads.needs(fields)
    needed = set(plan.needed)

    assert plan.sources == SOURCE_READS.needs(fields).sources
    assert len(needed) == len(plan.needed)
    assert all(needed.issuperset(reads.key_from.get(one, ())) for one in plan.needed)
    always = {*plan.always}
    firsts = {reads.key_from[one][0] for one in always if one in reads.key_from}
    later = {other for one in needed for other in reads.key_from.get(one, ())}
    assert always == {*plan.sources, *firsts}
    assert {*plan.fallbacks} <= later
