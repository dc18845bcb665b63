"""Plans of operations: the selected fields, and the fetches from the sources."""

from collections.abc import Collection, Mapping
from typing import Any

from graphql import OperationDefinitionNode, parse
from graphql.execution.values import VariableValues, get_variable_values

from app.auth.policies import EVERYBODY, Caller, Policies
from app.execution.keys import InputLimits
from app.execution.plan import Fetch, Plan, steps_of
from app.execution.planner import Planner
from app.execution.schema import build_schema
from app.sources.base import UserId
from app.sources.endpoints import endpoints_of
from tests.fakes import settings_for_fakes, user_id

SCHEMA = build_schema()
A, B, C = (user_id(number) for number in (1, 2, 3))


def plan(
    text: str,
    variables: Mapping[str, Any] | None = None,
    *,
    caller: Caller = EVERYBODY,
    key_from: Mapping[str, tuple[str, ...]] | None = None,
    missing: Collection[str] = (),
) -> Plan:
    """Plan the first operation of a document."""
    settings = settings_for_fakes()
    reads = SCHEMA.reads(
        endpoints_of(SCHEMA.definition.sources.values(), settings.sources), key_from or {}
    )
    planner = Planner(SCHEMA.core, reads, InputLimits.from_settings(settings))
    document = parse(text)
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    given = [
        one
        for one in operation.variable_definitions or ()
        if one.variable.name.value not in missing
    ]
    values = get_variable_values(SCHEMA.core, given, dict(variables or {}))
    assert isinstance(values, VariableValues)
    rights = Policies(SCHEMA.definition.policies).rights(caller)
    roots = planner.select(document, operation, values, rights)
    return planner.plan(roots, values, rights, missing)


def fetches_of(found: Plan) -> list[tuple[str, list[str]]]:
    """List the source and the users of each fetch."""
    return [(one.source, list(one.users)) for one in found.fetches]


def test_a_plan_prints_its_fields_users_and_steps() -> None:
    found = plan(
        "query($ids: [ID!]!) { people: users(ids: $ids) { id plan email } me { username } }",
        {"ids": [A, B]},
        caller=Caller(A, frozenset()),
        key_from={"billing": ("profile",)},
    )

    assert str(found).splitlines() == [
        "people: users",
        f"  own user {A}",
        "    id reads nothing",
        "    plan reads billing",
        "    email reads profile",
        f"  users {B}",
        "    id reads nothing",
        "    plan is hidden",
        "    email is hidden",
        "me",
        f"  users {A}",  # all callers may see the same fields of it
        "    username reads profile",
        "step 1",
        f"  profile: {A} {B}",
        "step 2",
        f"  billing by the keys of profile: {A}",
    ]


def test_a_plan_prints_the_errors_of_its_users() -> None:
    found = plan(
        'query($all: [_Any!]!) { user(id: "x") { id } _entities(representations: $all)'
        " { ... on User { plan } } }",
        {"all": [{"__typename": "User", "id": A}, {"__typename": "Pet"}]},
    )

    lines = str(found).splitlines()
    assert lines[0] == "user"
    assert lines[1].startswith('  fails: "x" is not a user id')
    assert lines[2:4] == [
        "_entities",
        (
            '  1 fails: a representation has to be an object with "__typename": "User"'
            ' and the key "id"'
        ),
    ]
    assert lines[-2:] == ["step 1", f"  billing: {A}"]


def test_skipped_fields_are_not_in_the_plan() -> None:
    found = plan(
        "query($yes: Boolean!) {"
        f' user(id: "{A}") {{ id plan @skip(if: $yes) ... @include(if: $yes) {{ username }} }}'
        f' other: user(id: "{B}") @skip(if: $yes) {{ loginCount }} }}',
        {"yes": True},
    )

    assert [*found.roots] == ["user"]
    assert fetches_of(found) == [("profile", [A])]


def test_each_source_is_called_once_for_each_user_in_the_order_of_the_fields() -> None:
    found = plan(
        f'{{ a: users(ids: ["{B}", "{A}", "{B}"]) {{ plan }} b: user(id: "{C}") {{ plan email }}'
        f' c: user(id: "{A}") {{ email }} }}'
    )

    assert fetches_of(found) == [("billing", [B, A, C]), ("profile", [C, A])]
    [group] = found.roots["a"].groups
    assert (group.keys, list(group.places)) == ([B, A, B], [0, 1, 2])


def test_fields_with_one_response_key_are_merged_across_fragments() -> None:
    found = plan(
        f'query {{ user(id: "{A}") {{ balance {{ amount }} ...More }} user(id: "{A}") {{ id }} }}'
        " fragment More on User { balance { amount currency } sum: balance { currency } }"
    )

    [group] = found.roots["user"].groups
    fields = {one.key: [inner.key for inner in one.fields] for one in group.selection.fields}
    assert fields == {"balance": ["amount", "currency"], "sum": ["currency"], "id": []}


def test_fields_without_users_call_no_source() -> None:
    found = plan("{ __typename __schema { queryType { name } } }")

    assert [(one.selection.others, one.count) for one in found.roots.values()] == [
        (None, None),
        (None, None),
    ]
    assert found.fetches == []


def test_a_missing_variable_is_in_the_plan_and_causes_no_fetch() -> None:
    found = plan("query($id: ID!) { user(id: $id) { plan } }", missing=["id"])

    assert found.roots["user"].missing == ("id",)
    assert found.roots["user"].count is None
    assert found.fetches == []


def test_steps_are_in_the_order_of_the_keys() -> None:
    users = (UserId("a"),)
    first, second, third = (
        Fetch("profile", users),
        Fetch("billing", users, None, ("profile",)),
        Fetch("activity", users, None, ("billing",)),
    )
    other = Fetch("support", users)

    assert steps_of([third, second, first, other]) == [[first, other], [second], [third]]
    assert steps_of([third]) == [[third]]  # the source with its keys was called before
    assert steps_of([]) == []


BY_MAIL = {"billing": ("profile", "activity"), "activity": ("profile",)}


def test_a_fallback_is_called_if_needed_or_for_its_own_fields() -> None:
    found = plan(
        f'{{ a: users(ids: ["{A}", "{B}"]) {{ plan }} b: user(id: "{C}") {{ loginCount }}'
        f' c: user(id: "{B}") {{ plan loginCount }} }}',
        key_from=BY_MAIL,
    )

    assert [(one.source, one.users, one.if_needed) for one in found.fetches] == [
        ("billing", (A, B), ()),
        ("profile", (A, B, C), ()),
        ("activity", (C, B), (A,)),
    ]


def test_a_plan_prints_the_users_that_a_fallback_may_be_called_for() -> None:
    found = plan(f'{{ user(id: "{A}") {{ plan }} }}', key_from=BY_MAIL)

    lines = str(found).splitlines()
    assert lines[lines.index("step 1") :] == [
        "step 1",
        f"  profile: {A}",
        "step 2",
        f"  activity by the keys of profile: if needed {A}",
        "step 3",
        f"  billing by the keys of profile, else activity: {A}",
    ]


def test_a_fallback_is_in_the_step_after_the_source_before_it() -> None:
    users = (UserId("a"),)
    profile, crm = Fetch("profile", users), Fetch("crm", (), if_needed=users)
    billing = Fetch("billing", users, None, ("profile", "crm"))

    assert steps_of([billing, crm, profile]) == [[profile], [crm], [billing]]


def test_two_fallbacks_that_precede_each_other_are_in_one_step() -> None:
    users = (UserId("a"),)
    profile = Fetch("profile", users)
    crm, erp = (Fetch(name, (), if_needed=users) for name in ("crm", "erp"))
    billing = Fetch("billing", users, None, ("profile", "crm", "erp"))
    activity = Fetch("activity", users, None, ("profile", "erp", "crm"))

    assert steps_of([billing, activity, crm, erp, profile]) == [
        [profile],
        [crm, erp],
        [billing, activity],
    ]


def test_a_plan_has_the_fields_that_come_after_the_first_payload() -> None:
    found = plan(
        f"""query($yes: Boolean!, $no: Boolean!) {{
        user(id: "{A}") {{
            username ...Bill @defer(label: "x") ... @defer(if: $no) {{ loginCount }}
            ... @defer(if: $yes) {{ ... {{ lastSeenAt }} }} }}
        ... @defer {{ other: user(id: "{B}") {{ email }} }}
        user(id: "{A}") {{ ... {{ balance {{ amount }} }} }} }}
        fragment Bill on User {{ plan username balance {{ currency }} }}""",
        {"yes": True, "no": False},
    )

    assert [one for one in str(found).splitlines() if "reads" in one] == [
        "    username reads profile",
        "    plan reads billing, after the first payload",
        "    balance reads billing",
        "    loginCount reads activity",
        "    lastSeenAt reads activity, after the first payload",
        "    email reads profile, after the first payload",
    ]
    [first, _] = found.roots.values()
    assert first.groups[0].selection.first == {"profile", "billing", "activity"}
    assert fetches_of(found) == [("profile", [A, B]), ("billing", [A]), ("activity", [A])]


def test_a_plan_has_the_lists_of_users_that_are_streamed() -> None:
    found = plan(
        f"""query($no: Boolean!) {{
        a: users(ids: ["{A}"]) @stream {{ id }}
        b: users(ids: ["{A}"]) @stream(if: $no, initialCount: 1) {{ id }}
        c: users(ids: ["{A}"]) {{ id }} }}""",
        {"no": False},
    )

    assert [one.selection.streamed for one in found.roots.values()] == [True, False, False]
