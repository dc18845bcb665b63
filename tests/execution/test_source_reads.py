"""The sources that a selection needs."""

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


def test_fields_without_a_source_need_the_source_of_existence() -> None:
    existence = SourceReads(reads=READS, existence="billing")

    for fields in ([], ["id"], ["__typename"], ["id", "__typename"]):
        assert existence.needs(fields) == SourceNeeds(("billing",), existence_only=True)


def test_a_field_of_the_source_of_existence_needs_more_than_existence() -> None:
    assert SOURCE_READS.needs(["id", "username"]) == SourceNeeds(("profile",), existence_only=False)


def test_the_needed_sources_are_in_the_schema_s_order() -> None:
    plans = {SOURCE_READS.needs(fields) for fields in permutations(["loginCount", "plan", "email"])}

    assert plans == {SourceNeeds(("profile", "billing", "activity"), existence_only=False)}


@given(fields=st.lists(st.sampled_from([*READS, "id", "__typename"]), max_size=10))
def test_any_selection_needs_exactly_the_sources_that_its_fields_read(
    fields: list[str],
) -> None:
    plan = SOURCE_READS.needs(iter(fields))

    read = {source for name in fields for source in READS.get(name, ())}
    assert sorted(plan.sources) == sorted(read or {"profile"})
    assert plan.existence_only is not bool(read)


def test_the_needs_print_all_their_fields() -> None:
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


def test_a_selection_needs_only_the_endpoints_that_its_fields_read() -> None:
    assert DIVIDED.needs(["balance"]).sources == ("billing.balance",)
    assert DIVIDED.needs(["debt"]).sources == ("billing.account", "billing.balance")
    assert DIVIDED.needs(["plan", "balance"]).sources == ("billing.account", "billing.balance")


def test_only_the_fields_that_are_read_are_requested_from_a_selective_source() -> None:
    assert DIVIDED.needs(["username", "id"]).fields == {"profile": {"username"}}
    assert DIVIDED.needs(["email", "username"]).fields == {
        "profile": {"username", "email", "verified"}
    }
    assert DIVIDED.needs(["debt", "plan", "loginCount"]).fields == {
        "billing.account": {"plan", "status"}
    }
    assert DIVIDED.needs(["balance"]).fields == {}


def test_no_fields_are_requested_for_existence_or_keys_alone() -> None:
    by_key = replace(DIVIDED, key_from={"activity": ("profile",)})

    assert DIVIDED.needs(["id"]).fields == {"profile": frozenset()}
    assert by_key.needs(["loginCount"]).fields == {"profile": frozenset()}


def keyed(**key_from: str | tuple[str, ...]) -> SourceReads:
    """Make reads in which some sources have the keys of others."""
    several = {name: (one,) if isinstance(one, str) else one for name, one in key_from.items()}
    return SourceReads(reads=READS, existence="profile", key_from=several)


def test_the_source_with_the_keys_of_another_is_needed_for_keys_only() -> None:
    planner = keyed(billing="profile")

    assert planner.needs(["plan"]) == SourceNeeds(
        ("billing",), existence_only=False, for_keys=("profile",)
    )
    assert planner.needs(["plan"]).needed == ("billing", "profile")
    assert planner.needs(["loginCount"]) == SourceNeeds(("activity",), existence_only=False)


def test_a_source_with_selected_fields_is_not_needed_for_keys_only() -> None:
    planner = keyed(billing="profile")

    assert planner.needs(["plan", "email"]) == SourceNeeds(
        ("profile", "billing"), existence_only=False
    )


def test_a_source_with_the_keys_of_a_key_source_is_needed() -> None:
    planner = keyed(activity="billing", billing="profile")

    assert planner.needs(["loginCount"]).for_keys == ("billing", "profile")
    assert planner.needs(["loginCount", "plan"]).for_keys == ("profile",)
    assert planner.needs(["loginCount", "email"]).for_keys == ("billing",)


def test_the_source_of_existence_may_need_keys_of_another_source() -> None:
    assert keyed(profile="activity").needs(["id"]) == SourceNeeds(
        ("profile",), existence_only=True, for_keys=("activity",)
    )


def test_only_the_first_key_source_is_always_called() -> None:
    by_mail = keyed(
        billing=("profile", "billing.by_mail"), **{"billing.by_mail": ("activity", "crm")}
    )

    needs = by_mail.needs(["plan"])

    assert needs.sources == ("billing",)
    assert needs.for_keys == ("profile",)
    assert needs.fallbacks == ("billing.by_mail", "activity", "crm")
    assert needs.needed == ("billing", "profile", "billing.by_mail", "activity", "crm")


def test_a_later_key_source_with_selected_fields_is_always_called() -> None:
    both = keyed(billing=("profile", "activity"))

    assert both.needs(["plan"]).fallbacks == ("activity",)
    assert both.needs(["plan", "loginCount"]).fallbacks == ()
    assert both.needs(["plan", "loginCount"]).for_keys == ("profile",)


def test_a_key_source_that_is_first_for_one_source_is_always_called() -> None:
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
def test_any_selection_needs_each_key_source_once(
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
