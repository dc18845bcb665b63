"""Who may see what, through HTTP: compiled and interpreted, by every way into the graph."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.auth.policies import EVERYBODY, NOBODY, Policies, policy_of
from app.settings.resilience import CacheSettings
from tests.callers import by_headers, headers_of
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import (
    FakeServices,
    Row,
    calm_source,
    failing,
    invoice,
    settings_for_fakes,
    user_id,
)
from tests.fastpath.test_compiled import Writing
from tests.partial import SelectingActivity, SelectingProfile, selecting
from tests.properties import examples
from tests.ways import EVERY, Ways

FIELDS = "username email plan loginCount lastSeenAt"
OWN, OTHER = user_id(1), user_id(2)
USERS = "query($ids: [ID!]!) { users(ids: $ids) { %s } }"

HIDDEN = "FORBIDDEN"


@pytest.fixture(params=EVERY, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Have every test done in all ways."""
    ways: Ways = request.param
    return ways


@pytest.fixture
async def gateway(open_gateway: OpenGateway, services: FakeServices) -> Any:  # noqa: ANN401 # a fixture's
    """Open the gateway to callers who say who they are."""
    services.know(*range(1, 5))
    async with open_gateway(settings_for_fakes(explain=True), by_headers) as opened:
        yield opened


@pytest.mark.parametrize("may", ["public", "self", "hr:read", "self or hr:read"])
def test_where_callers_are_not_known_each_of_them_sees_every_field(may: str) -> None:
    policies = Policies({"salary": policy_of(may)})

    assert policies.rights(EVERYBODY).allows("salary", own=False)
    assert policies.rights(NOBODY).allows("salary", own=False) is (may == "public")


@pytest.mark.parametrize(
    ("subject", "scopes", "hidden"),
    [
        (None, (), "email plan loginCount lastSeenAt"),
        (OTHER, (), "email plan loginCount lastSeenAt"),
        (OWN, (), "loginCount"),
        (OWN.replace("-", ""), (), "email plan loginCount lastSeenAt"),
        (OTHER, ("profile:read",), "plan loginCount lastSeenAt"),
        (OTHER, ("billing:read",), "email loginCount lastSeenAt"),
        (OTHER, ("activity:read",), "email plan"),
        (None, ("profile:read", "billing:read", "activity:read"), ""),
        (OWN, ("activity:read", "something:else"), ""),
    ],
)
async def test_a_field_that_one_may_not_see_is_null_with_an_error_at_its_place(
    gateway: GatewayClient, subject: str | None, scopes: tuple[str, ...], hidden: str
) -> None:
    reply = await gateway.query_as(
        headers_of(subject, *scopes), f'{{ user(id: "{OWN}") {{ {FIELDS} }} }}'
    )

    user = reply.data["user"]
    assert list(user) == FIELDS.split()
    assert {name for name, value in user.items() if value is None} == set(hidden.split())
    assert reply.codes == {f"user.{name}": HIDDEN for name in hidden.split()}


async def test_a_refusal_says_whom_the_field_is_for(gateway: GatewayClient) -> None:
    reply = await gateway.query_as(headers_of(OTHER), f'{{ user(id: "{OWN}") {{ plan }} }}')

    [error] = reply.errors
    assert error == {
        "message": "plan is for the user itself and callers with the scope billing:read",
        "locations": [{"line": 1, "column": 54}],
        "path": ["user", "plan"],
        "extensions": {"code": HIDDEN},
    }


async def test_of_many_users_only_the_own_one_is_asked_about(
    gateway: GatewayClient, services: FakeServices
) -> None:
    ids = [user_id(number) for number in (2, 1, 3, 1)]

    reply = await gateway.query_as(headers_of(OWN), USERS % "username plan", ids=ids)

    assert reply.data["users"] == [
        {"username": "user2", "plan": None},
        {"username": "user1", "plan": "pro"},
        {"username": "user3", "plan": None},
        {"username": "user1", "plan": "pro"},
    ]
    assert reply.codes == {"users.0.plan": HIDDEN, "users.2.plan": HIDDEN}
    assert services.billing.batches == [[OWN]]
    assert [sorted(batch) for batch in services.profile.batches] == [sorted(set(ids))]


async def test_a_source_of_which_nothing_may_be_seen_is_not_called(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.billing.behaviour = failing(503)
    query = f'{{ user(id: "{OTHER}") {{ plan balance {{ amount }} loginCount }} }}'

    reply = await gateway.query_as(headers_of(OWN), query)

    assert reply.data["user"] == {"plan": None, "balance": None, "loginCount": None}
    assert set(reply.codes.values()) == {HIDDEN}
    assert services.calls == {"profile": 1, "billing": 0, "activity": 0}  # whether it exists


async def test_what_is_hidden_of_a_user_that_does_not_exist_is_no_error(
    gateway: GatewayClient,
) -> None:
    reply = await gateway.query_as(headers_of(OWN), f'{{ user(id: "{user_id(9)}") {{ plan }} }}')

    assert reply.body == {"data": {"user": None}}


async def test_aliases_fragments_and_conditions_are_no_way_around(
    gateway: GatewayClient, services: FakeServices
) -> None:
    query = (
        "query($on: Boolean!) { user(id: $id) { username: email a: plan ...F"
        " ... on User { b: plan @include(if: $on) } ... { balance { amount } } } }"
        " fragment F on User { plan lastSeenAt @skip(if: $on) events(first: 1) { id } }"
    ).replace("$id", f'"{OTHER}"')

    reply = await gateway.query_as(headers_of(OWN), query, on=True)

    keys = ["username", "a", "plan", "events", "b", "balance"]
    assert reply.data["user"] == dict.fromkeys(keys)
    assert list(reply.data["user"]) == keys
    assert reply.codes == {f"user.{key}": HIDDEN for key in keys}
    assert services.calls == {"profile": 1, "billing": 0, "activity": 0}


async def test_a_hidden_field_says_nothing_of_its_arguments_and_loads_no_page(
    gateway: GatewayClient, services: FakeServices
) -> None:
    query = (
        f'{{ user(id: "{OTHER}") {{ username events(first: -1) {{ id }}'
        " invoices(first: 1000) { edges { node { id } } } } }"
    )

    reply = await gateway.query_as(headers_of(OWN), query)

    assert reply.codes == {"user.events": HIDDEN, "user.invoices": HIDDEN}
    assert services.billing.requests == []


async def test_own_invoices_are_shown(gateway: GatewayClient, services: FakeServices) -> None:
    services.billing.invoices = {user_id(number): [invoice(number)] for number in (1, 2)}
    query = USERS % "invoices { edges { node { total { amount } } } }"

    reply = await gateway.query_as(headers_of(OWN), query, ids=[OTHER, OWN])

    assert [user["invoices"] is None for user in reply.data["users"]] == [True, False]
    assert reply.codes == {"users.0.invoices": HIDDEN}
    assert {one.url.params["userId"] for one in services.billing.requests} == {OWN}


async def test_representations_of_a_router_are_no_way_around(
    gateway: GatewayClient, services: FakeServices
) -> None:
    query = (
        "query($r: [_Any!]!) { _entities(representations: $r) { ... on User { username plan } } }"
    )
    named = [{"__typename": "User", "id": one} for one in (OTHER, OWN)]

    reply = await gateway.query_as(headers_of(OWN), query, r=named)

    assert reply.data["_entities"] == [
        {"username": "user2", "plan": None},
        {"username": "user1", "plan": "pro"},
    ]
    assert reply.codes == {"_entities.0.plan": HIDDEN}
    assert services.billing.batches == [[OWN]]


@pytest.mark.parametrize("told", ["always", "never"])
async def test_of_a_thousand_representations_only_the_own_ones_show_what_is_hidden(
    open_gateway: OpenGateway, services: FakeServices, told: str
) -> None:
    for name, service in services.by_name.items():
        service.rows = {user_id(number): marked_rows(number)[name] for number in range(999)}
    numbers = [number if number % 100 else 1 for number in range(999)]
    query = (
        "query($r: [_Any!]!) { _entities(representations: $r) { ... on User"
        " { username plan loginCount } } }"
    )
    named = [{"__typename": "User", "id": user_id(number)} for number in numbers]
    wrong = {"__typename": "User", "id": "no id"}

    # The schema may be without directives for routers; the policies are the same.
    async with open_gateway(settings_for_fakes(security_directives=told), by_headers) as gateway:
        reply = await gateway.query_as(headers_of(OWN), query, r=[*named, wrong])

    assert reply.data["_entities"] == [
        *(
            {
                "username": f"user{number}",
                "plan": f"plan {marker('plan', 1)}" if number == 1 else None,
                "loginCount": None,
            }
            for number in numbers
        ),
        None,
    ]
    hidden = {f"_entities.{place}.loginCount" for place in range(999)}
    hidden |= {f"_entities.{place}.plan" for place, number in enumerate(numbers) if number != 1}
    assert reply.codes == {**dict.fromkeys(hidden, HIDDEN), "_entities.999": "BAD_USER_INPUT"}
    assert services.billing.batches == [[OWN]]
    assert services.activity.batches == []
    assert sorted({key for batch in services.profile.batches for key in batch}) == sorted(
        {user_id(number) for number in numbers}
    )


async def test_one_document_shows_each_caller_what_is_theirs(gateway: GatewayClient) -> None:
    seen: list[list[str | None]] = []
    for subject, scopes in [(None, "billing:read"), (OTHER, ""), (OWN, ""), (None, "billing:read")]:
        reply = await gateway.query_as(
            headers_of(subject, scopes), USERS % "plan", ids=[OWN, OTHER]
        )
        seen.append([user["plan"] for user in reply.data["users"]])

    assert seen == [["pro", "pro"], [None, "pro"], ["pro", None], ["pro", "pro"]]


async def test_what_was_kept_for_one_caller_is_not_shown_to_another(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    kept = settings_for_fakes()
    billing = calm_source(base_url="http://billing", cache=CacheSettings(enabled=True))
    kept = kept.model_copy(update={"sources": {**kept.sources, "billing": billing}})
    query = f'{{ user(id: "{OWN}") {{ plan }} }}'
    async with open_gateway(kept, by_headers) as gateway:
        mine = await gateway.query_as(headers_of(OWN), query)
        theirs = await gateway.query_as(headers_of(OTHER), query)
        granted = await gateway.query_as(headers_of(OTHER, "billing:read"), query)

    assert [one.data["user"]["plan"] for one in (mine, theirs, granted)] == ["pro", None, "pro"]
    assert services.calls["billing"] == 1


async def test_a_service_that_can_send_fewer_fields_is_not_asked_for_hidden_ones(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.profile, services.activity = profile, _ = SelectingProfile(""), SelectingActivity("")
    services.know(1, 2)
    async with open_gateway(selecting(), by_headers) as gateway:
        query = f'{{ user(id: "{OTHER}") {{ username email }} }}'
        reply = await gateway.query_as(headers_of(OWN), query)

    assert reply.codes == {"user.email": HIDDEN}
    assert profile.asked == [["id", "login"]]


async def test_me_is_whom_the_token_names(gateway: GatewayClient, services: FakeServices) -> None:
    reply = await gateway.query_as(
        headers_of(OWN), f'{{ me {{ id username plan }} other: user(id: "{OTHER}") {{ plan }} }}'
    )

    assert reply.data == {
        "me": {"id": OWN, "username": "user1", "plan": "pro"},
        "other": {"plan": None},
    }
    assert reply.codes == {"other.plan": HIDDEN}
    assert services.calls == {"profile": 1, "billing": 1, "activity": 0}


@pytest.mark.parametrize(
    ("subject", "code", "message"),
    [
        (None, "UNAUTHENTICATED", "the caller is unknown: send a token"),
        ("client-7", "BAD_USER_INPUT", "the token names no user: its subject is not a user id"),
    ],
)
async def test_me_is_an_error_for_who_is_no_user(
    gateway: GatewayClient, services: FakeServices, subject: str | None, code: str, message: str
) -> None:
    reply = await gateway.query_as(headers_of(subject), "{ me { username } }")

    assert reply.data == {"me": None}
    assert reply.codes == {"me": code}
    assert reply.errors[0]["message"].startswith(message)
    assert services.calls == {"profile": 0, "billing": 0, "activity": 0}


async def test_me_is_null_for_a_user_whom_no_source_knows(gateway: GatewayClient) -> None:
    reply = await gateway.query_as(headers_of(user_id(9)), "{ me { username plan } }")

    assert reply.body == {"data": {"me": None}}


async def test_all_or_nothing_counts_what_is_hidden_as_an_error(gateway: GatewayClient) -> None:
    body = {"query": f'{{ user(id: "{OTHER}") {{ username plan }} }}', "onError": "HALT"}

    response = await gateway.client.post("/graphql", json=body, headers=headers_of(OWN))

    assert response.json()["data"] is None
    assert [one["extensions"]["code"] for one in response.json()["errors"]] == [HIDDEN]


async def test_an_explanation_tells_what_is_hidden_and_whom_it_is_of(
    gateway: GatewayClient,
) -> None:
    reply = await gateway.query_as(
        {**headers_of(OWN), "x-gateway-explain": "1"}, USERS % "username plan", ids=[OTHER, OWN]
    )

    told = reply.body["extensions"]["explain"]
    assert [(one["ids"], one["hidden"]) for one in told["fields"]] == [(1, []), (1, ["plan"])]
    assert {one["name"]: one["keys"] for one in told["sources"]} == {
        "profile": [OWN, OTHER],
        "billing": [OWN],
    }


MARKED: Mapping[str, tuple[str, str]] = {
    "email": ("profile", "profile:read"),
    "locale": ("profile", "profile:read"),
    "createdAt": ("profile", "profile:read"),
    "plan": ("billing", "billing:read"),
    "balance": ("billing", "billing:read"),
    "renewsAt": ("billing", "billing:read"),
    "lastSeenAt": ("activity", "activity:read"),
    "loginCount": ("activity", "activity:read"),
    "events": ("activity", "activity:read"),
}
"""Fields that not everyone sees: their source, and the scope that shows them."""

SELECTED = [
    *("email", "locale", "createdAt", "plan", "balance { amount }", "renewsAt", "lastSeenAt"),
    *("loginCount", "events { id }"),
]
"""All of these as a document selects them."""

ALWAYS_BY_SCOPE = {"loginCount"}
NUMBERS = range(1, 6)


def marker(field: str, number: int) -> int:
    """Make a number that stands for a field of a user and for nothing else."""
    return 700_000_000 + 1_000 * list(MARKED).index(field) + number


def moment_of(mark: int) -> str:
    """Write a moment that is at no other time."""
    return f"2001-01-01T00:00:00.{mark % 1_000_000:06d}"


def marked_rows(number: int) -> Mapping[str, Row]:
    """Make rows of a user in which every value can be recognized."""
    mark = {field: marker(field, number) for field in MARKED}

    def moment(field: str) -> str:
        return f"{moment_of(mark[field])}Z"

    key = user_id(number)
    return {
        "profile": {
            "id": key,
            "username": f"user{number}",
            "displayName": f"User {number}",
            "email": f"{mark['email']}@example.com",
            "locale": f"de-{mark['locale']}",
            "createdAt": moment("createdAt"),
        },
        "billing": {
            "userId": key,
            "plan": f"plan {mark['plan']}",
            "status": "active",
            "balance": {"amount": mark["balance"], "currency": "EUR"},
            "renewsAt": moment("renewsAt"),
        },
        "activity": {
            "userId": key,
            "lastSeenAt": moment("lastSeenAt"),
            "loginCount": mark["loginCount"],
            "events": [
                {
                    "id": f"event {mark['events']}",
                    "type": "login",
                    "occurredAt": "2026-01-01T00:00:00Z",
                }
            ],
        },
    }


def hidden_from(subject: str | None, scopes: Collection[str]) -> Iterator[tuple[str, int]]:
    """List which field of which user a caller may not see, by the words of the documentation."""
    for field, (_, scope) in MARKED.items():
        for number in NUMBERS:
            own = user_id(number) == subject and field not in ALWAYS_BY_SCOPE
            if scope not in scopes and not own:
                yield field, number


def signs_of(field: str, number: int) -> Collection[str]:
    """List what a value would be recognized by."""
    mark = marker(field, number)
    return {str(mark), moment_of(mark)}


@st.composite
def operations(draw: st.DrawFn) -> tuple[str, Mapping[str, object]]:
    """Make operations over everything that a user has."""
    query = Writing(draw).operation()
    if draw(st.booleans()):
        query = query.replace("{", "{ me { email plan events { id } loginCount } ", 1)
    if draw(st.booleans()):
        named = draw(st.lists(st.sampled_from([user_id(one) for one in NUMBERS]), max_size=9))
        representations = " ".join(f'{{ __typename: "User" id: "{one}" }}' for one in named)
        fields = " ".join(draw(st.lists(st.sampled_from(list(SELECTED)), min_size=1, unique=True)))
        entities = (
            f"_entities(representations: [{representations}]) {{ ... on User {{ {fields} }} }}"
        )
        query = query.replace("{", f"{{ {entities} ", 1)
    values: Mapping[str, object] = {
        "yes": True,
        "no": False,
        "n": draw(st.sampled_from([0, 1, None])),
        "ids": draw(st.lists(st.sampled_from([user_id(one) for one in NUMBERS]), max_size=4)),
    }
    return query, {name: value for name, value in values.items() if f"${name}" in query}


@settings(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    operation=operations(),
    subject=st.sampled_from([None, "client-7", *(user_id(one) for one in NUMBERS)]),
    scopes=st.frozensets(st.sampled_from(["profile:read", "billing:read", "activity:read"])),
    told=st.sampled_from(["always", "never"]),
)
async def test_nothing_that_is_hidden_is_ever_told_logged_or_asked_for(
    open_gateway: OpenGateway,
    services: FakeServices,
    operation: tuple[str, Mapping[str, object]],
    subject: str | None,
    scopes: frozenset[str],
    *,
    told: str,
) -> None:
    for name, service in services.by_name.items():
        service.rows = {user_id(number): marked_rows(number)[name] for number in NUMBERS}
        service.requests.clear()
    query, variables = operation
    with_directives = settings_for_fakes(security_directives=told)
    async with open_gateway(with_directives, by_headers) as gateway:
        # Those who see everything come first, so that whatever is kept is kept by then.
        everyone = headers_of(OWN, *{scope for _, scope in MARKED.values()})
        await gateway.query_as(everyone, query, **variables)
        for service in services.by_name.values():
            service.requests.clear()

        reply = await gateway.query_as(headers_of(subject, *scopes), query, **variables)

        hidden = set(hidden_from(subject, scopes))
        shown = reply.response.text + gateway.log
        calls = [
            (name, key)
            for name, service in services.by_name.items()
            for one in service.requests
            for key in (one.url.params.get_list("userId") or one.url.params.get_list("id"))
        ]

    for field, number in hidden:
        assert not any(sign in shown for sign in signs_of(field, number)), (field, number)
    unseen = {
        (source, user_id(number))
        for source in ("billing", "activity")
        for number in NUMBERS
        if all((field, number) in hidden for field, (one, _) in MARKED.items() if one == source)
    }
    assert unseen.isdisjoint(calls)
