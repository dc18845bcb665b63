"""Policies of fields over HTTP: compiled and interpreted, for each root field."""

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

FORBIDDEN = "FORBIDDEN"


@pytest.fixture(params=EVERY, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in all ways."""
    ways: Ways = request.param
    return ways


@pytest.fixture
async def gateway(open_gateway: OpenGateway, services: FakeServices) -> Any:  # noqa: ANN401 # a fixture's
    """Open the gateway, with callers that are given by headers."""
    services.know(*range(1, 5))
    async with open_gateway(settings_for_fakes(explain=True), by_headers) as opened:
        yield opened


@pytest.mark.parametrize("may", ["public", "self", "hr:read", "self or hr:read"])
def test_every_field_is_visible_without_authentication(may: str) -> None:
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
async def test_a_forbidden_field_is_null_with_an_error_at_its_path(
    gateway: GatewayClient, subject: str | None, scopes: tuple[str, ...], hidden: str
) -> None:
    reply = await gateway.query_as(
        headers_of(subject, *scopes), f'{{ user(id: "{OWN}") {{ {FIELDS} }} }}'
    )

    user = reply.data["user"]
    assert list(user) == FIELDS.split()
    assert {name for name, value in user.items() if value is None} == set(hidden.split())
    assert reply.codes == {f"user.{name}": FORBIDDEN for name in hidden.split()}


async def test_the_error_of_a_forbidden_field_names_its_audience(gateway: GatewayClient) -> None:
    reply = await gateway.query_as(headers_of(OTHER), f'{{ user(id: "{OWN}") {{ plan }} }}')

    [error] = reply.errors
    assert error == {
        "message": "plan is for the user itself and callers with the scope billing:read",
        "locations": [{"line": 1, "column": 54}],
        "path": ["user", "plan"],
        "extensions": {"code": FORBIDDEN},
    }


async def test_a_source_is_asked_only_for_users_whose_fields_are_allowed(
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
    assert reply.codes == {"users.0.plan": FORBIDDEN, "users.2.plan": FORBIDDEN}
    assert services.billing.batches == [[OWN]]
    assert [sorted(batch) for batch in services.profile.batches] == [sorted(set(ids))]


async def test_a_source_with_only_forbidden_fields_is_not_called(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.billing.behaviour = failing(503)
    query = f'{{ user(id: "{OTHER}") {{ plan balance {{ amount }} loginCount }} }}'

    reply = await gateway.query_as(headers_of(OWN), query)

    assert reply.data["user"] == {"plan": None, "balance": None, "loginCount": None}
    assert set(reply.codes.values()) == {FORBIDDEN}
    assert services.calls == {"profile": 1, "billing": 0, "activity": 0}  # is the user known?


async def test_a_forbidden_field_of_an_unknown_user_is_not_an_error(
    gateway: GatewayClient,
) -> None:
    reply = await gateway.query_as(headers_of(OWN), f'{{ user(id: "{user_id(9)}") {{ plan }} }}')

    assert reply.body == {"data": {"user": None}}


async def test_aliases_fragments_and_conditions_do_not_bypass_policies(
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
    assert reply.codes == {f"user.{key}": FORBIDDEN for key in keys}
    assert services.calls == {"profile": 1, "billing": 0, "activity": 0}


async def test_a_forbidden_field_checks_no_arguments_and_loads_no_page(
    gateway: GatewayClient, services: FakeServices
) -> None:
    query = (
        f'{{ user(id: "{OTHER}") {{ username events(first: -1) {{ id }}'
        " invoices(first: 1000) { edges { node { id } } } } }"
    )

    reply = await gateway.query_as(headers_of(OWN), query)

    assert reply.codes == {"user.events": FORBIDDEN, "user.invoices": FORBIDDEN}
    assert services.billing.requests == []


async def test_only_the_own_invoices_of_a_caller_are_returned(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.billing.invoices = {user_id(number): [invoice(number)] for number in (1, 2)}
    query = USERS % "invoices { edges { node { total { amount } } } }"

    reply = await gateway.query_as(headers_of(OWN), query, ids=[OTHER, OWN])

    assert [user["invoices"] is None for user in reply.data["users"]] == [True, False]
    assert reply.codes == {"users.0.invoices": FORBIDDEN}
    assert {one.url.params["userId"] for one in services.billing.requests} == {OWN}


async def test_entity_representations_do_not_bypass_policies(
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
    assert reply.codes == {"_entities.0.plan": FORBIDDEN}
    assert services.billing.batches == [[OWN]]


@pytest.mark.parametrize("directives", ["always", "never"])
async def test_protected_fields_are_null_for_other_users_in_many_representations(
    open_gateway: OpenGateway, services: FakeServices, directives: str
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

    # The schema for routers may have no directives. The policies are the same.
    async with open_gateway(
        settings_for_fakes(security_directives=directives), by_headers
    ) as gateway:
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
    assert reply.codes == {**dict.fromkeys(hidden, FORBIDDEN), "_entities.999": "BAD_USER_INPUT"}
    assert services.billing.batches == [[OWN]]
    assert services.activity.batches == []
    assert sorted({key for batch in services.profile.batches for key in batch}) == sorted(
        {user_id(number) for number in numbers}
    )


async def test_one_document_returns_only_the_allowed_fields_to_each_caller(
    gateway: GatewayClient,
) -> None:
    seen: list[list[str | None]] = []
    for subject, scopes in [(None, "billing:read"), (OTHER, ""), (OWN, ""), (None, "billing:read")]:
        reply = await gateway.query_as(
            headers_of(subject, scopes), USERS % "plan", ids=[OWN, OTHER]
        )
        seen.append([user["plan"] for user in reply.data["users"]])

    assert seen == [["pro", "pro"], [None, "pro"], ["pro", None], ["pro", "pro"]]


async def test_a_cached_record_does_not_reveal_forbidden_fields(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    cached = settings_for_fakes()
    billing = calm_source(base_url="http://billing", cache=CacheSettings(enabled=True))
    cached = cached.model_copy(update={"sources": {**cached.sources, "billing": billing}})
    query = f'{{ user(id: "{OWN}") {{ plan }} }}'
    async with open_gateway(cached, by_headers) as gateway:
        mine = await gateway.query_as(headers_of(OWN), query)
        theirs = await gateway.query_as(headers_of(OTHER), query)
        granted = await gateway.query_as(headers_of(OTHER, "billing:read"), query)

    assert [one.data["user"]["plan"] for one in (mine, theirs, granted)] == ["pro", None, "pro"]
    assert services.calls["billing"] == 1


async def test_a_source_with_field_selection_is_not_asked_for_forbidden_fields(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.profile, services.activity = profile, _ = SelectingProfile(""), SelectingActivity("")
    services.know(1, 2)
    async with open_gateway(selecting(), by_headers) as gateway:
        query = f'{{ user(id: "{OTHER}") {{ username email }} }}'
        reply = await gateway.query_as(headers_of(OWN), query)

    assert reply.codes == {"user.email": FORBIDDEN}
    assert profile.asked == [["id", "login"]]


async def test_me_is_the_user_named_by_the_token(
    gateway: GatewayClient, services: FakeServices
) -> None:
    reply = await gateway.query_as(
        headers_of(OWN), f'{{ me {{ id username plan }} other: user(id: "{OTHER}") {{ plan }} }}'
    )

    assert reply.data == {
        "me": {"id": OWN, "username": "user1", "plan": "pro"},
        "other": {"plan": None},
    }
    assert reply.codes == {"other.plan": FORBIDDEN}
    assert services.calls == {"profile": 1, "billing": 1, "activity": 0}


@pytest.mark.parametrize(
    ("subject", "code", "message"),
    [
        (None, "UNAUTHENTICATED", "the caller is unknown: send a token"),
        ("client-7", "BAD_USER_INPUT", "the token names no user: its subject is not a user id"),
    ],
)
async def test_me_is_an_error_for_a_caller_that_is_not_a_user(
    gateway: GatewayClient, services: FakeServices, subject: str | None, code: str, message: str
) -> None:
    reply = await gateway.query_as(headers_of(subject), "{ me { username } }")

    assert reply.data == {"me": None}
    assert reply.codes == {"me": code}
    assert reply.errors[0]["message"].startswith(message)
    assert services.calls == {"profile": 0, "billing": 0, "activity": 0}


async def test_me_is_null_for_an_unknown_user(gateway: GatewayClient) -> None:
    reply = await gateway.query_as(headers_of(user_id(9)), "{ me { username plan } }")

    assert reply.body == {"data": {"me": None}}


async def test_a_forbidden_field_is_an_error_that_halts_the_operation(
    gateway: GatewayClient,
) -> None:
    body = {"query": f'{{ user(id: "{OTHER}") {{ username plan }} }}', "onError": "HALT"}

    response = await gateway.client.post("/graphql", json=body, headers=headers_of(OWN))

    assert response.json()["data"] is None
    assert [one["extensions"]["code"] for one in response.json()["errors"]] == [FORBIDDEN]


async def test_an_explanation_lists_the_forbidden_fields_and_the_keys(
    gateway: GatewayClient,
) -> None:
    reply = await gateway.query_as(
        {**headers_of(OWN), "x-gateway-explain": "1"}, USERS % "username plan", ids=[OTHER, OWN]
    )

    explained = reply.body["extensions"]["explain"]
    assert [(one["ids"], one["hidden"]) for one in explained["fields"]] == [(1, []), (1, ["plan"])]
    assert {one["name"]: one["keys"] for one in explained["sources"]} == {
        "profile": [OWN, OTHER],
        "billing": [OWN],
    }


PROTECTED: Mapping[str, tuple[str, str]] = {
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
"""Protected fields, with their source and the scope that allows them."""

SELECTED = [
    *("email", "locale", "createdAt", "plan", "balance { amount }", "renewsAt", "lastSeenAt"),
    *("loginCount", "events { id }"),
]
"""The selections of all protected fields."""

ALWAYS_BY_SCOPE = {"loginCount"}
NUMBERS = range(1, 6)


def marker(field: str, number: int) -> int:
    """Make a number that is unique to a field of a user."""
    return 700_000_000 + 1_000 * list(PROTECTED).index(field) + number


def moment_of(mark: int) -> str:
    """Write a time that is unique to a marker."""
    return f"2001-01-01T00:00:00.{mark % 1_000_000:06d}"


def marked_rows(number: int) -> Mapping[str, Row]:
    """Make the rows of a user, with a marker in each protected value."""
    mark = {field: marker(field, number) for field in PROTECTED}

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


def forbidden_for(subject: str | None, scopes: Collection[str]) -> Iterator[tuple[str, int]]:
    """List the fields and users that a caller may not see, according to the documentation."""
    for field, (_, scope) in PROTECTED.items():
        for number in NUMBERS:
            own = user_id(number) == subject and field not in ALWAYS_BY_SCOPE
            if scope not in scopes and not own:
                yield field, number


def texts_of(field: str, number: int) -> Collection[str]:
    """List the texts that show that a value is present."""
    mark = marker(field, number)
    return {str(mark), moment_of(mark)}


@st.composite
def operations(draw: st.DrawFn) -> tuple[str, Mapping[str, object]]:
    """Make operations over all fields of a user."""
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
    directives=st.sampled_from(["always", "never"]),
)
async def test_forbidden_values_are_never_returned_logged_or_requested(
    open_gateway: OpenGateway,
    services: FakeServices,
    operation: tuple[str, Mapping[str, object]],
    subject: str | None,
    scopes: frozenset[str],
    *,
    directives: str,
) -> None:
    for name, service in services.by_name.items():
        service.rows = {user_id(number): marked_rows(number)[name] for number in NUMBERS}
        service.requests.clear()
    query, variables = operation
    with_directives = settings_for_fakes(security_directives=directives)
    async with open_gateway(with_directives, by_headers) as gateway:
        # A caller with all scopes comes first, so that the caches are full.
        everyone = headers_of(OWN, *{scope for _, scope in PROTECTED.values()})
        await gateway.query_as(everyone, query, **variables)
        for service in services.by_name.values():
            service.requests.clear()

        reply = await gateway.query_as(headers_of(subject, *scopes), query, **variables)

        hidden = set(forbidden_for(subject, scopes))
        shown = reply.response.text + gateway.log
        calls = [
            (name, key)
            for name, service in services.by_name.items()
            for one in service.requests
            for key in (one.url.params.get_list("userId") or one.url.params.get_list("id"))
        ]

    for field, number in hidden:
        assert not any(text in shown for text in texts_of(field, number)), (field, number)
    unseen = {
        (source, user_id(number))
        for source in ("billing", "activity")
        for number in NUMBERS
        if all((field, number) in hidden for field, (one, _) in PROTECTED.items() if one == source)
    }
    assert unseen.isdisjoint(calls)
