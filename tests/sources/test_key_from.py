"""A source whose keys are in the rows of another source: the calls, and the responses."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

import httpx
import pytest

from app.settings.models import Settings
from app.settings.resilience import CacheSettings
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import (
    FakeServices,
    activity_row,
    failing,
    invoice,
    json_response,
    raising,
    settings_for_fakes,
    user_id,
)
from tests.key_from import linked, linked_row, own_key
from tests.ways import ALSO_BY_FILE, Ways

BILLING = {"billing": "profile"}
CHAIN = {"billing": "profile", "activity": "billing"}
TWO = f'["{user_id(1)}", "{user_id(2)}"]'


@pytest.fixture(params=ALSO_BY_FILE, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in all ways."""
    ways: Ways = request.param
    return ways


@pytest.fixture
async def gateway(open_gateway: OpenGateway) -> AsyncGenerator[GatewayClient]:
    """Return a gateway whose profile has the keys of billing."""
    async with open_gateway(linked(settings_for_fakes(), BILLING)) as opened:
        yield opened


def know(services: FakeServices, *numbers: int, parents: Mapping[str, str] = BILLING) -> None:
    """Add users to all three services, each by its own keys."""
    for name, service in services.by_name.items():
        for number in numbers:
            service.rows[own_key(name, number, parents)] = linked_row(name, number, parents)


def say(services: FakeServices, number: int, **keys: object) -> None:
    """Set the keys in profile's row of a user."""
    services.profile.rows[user_id(number)] = linked_row("profile", number, BILLING, keys)


def batches(services: FakeServices) -> Mapping[str, Sequence[Sequence[str]]]:
    """List the keys of each call, of the sources that were called."""
    return {name: one.batches for name, one in services.by_name.items() if one.batches}


# Calls


async def test_the_source_with_the_keys_is_called_first_and_each_source_once(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, 1, 2)

    reply = await gateway.query(f"{{ users(ids: {TWO}) {{ plan balance {{ amount }} }} }}")

    assert reply.data["users"] == [
        {"plan": "pro", "balance": {"amount": 100}},
        {"plan": "pro", "balance": {"amount": 200}},
    ]
    assert not reply.errors
    assert batches(services) == {
        "profile": [[user_id(1), user_id(2)]],
        "billing": [["billing-1", "billing-2"]],
    }


async def test_one_call_serves_selected_fields_and_keys_of_another_source(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, 1, 2, 3)

    reply = await gateway.query(
        f'{{ a: user(id: "{user_id(1)}") {{ plan }} b: user(id: "{user_id(2)}") {{ username }}'
        f' c: user(id: "{user_id(3)}") {{ plan username }} }}'
    )

    assert reply.data == {
        "a": {"plan": "pro"},
        "b": {"username": "user2"},
        "c": {"plan": "pro", "username": "user3"},
    }
    assert batches(services) == {
        "profile": [[user_id(1), user_id(2), user_id(3)]],
        "billing": [["billing-1", "billing-3"]],
    }


async def test_a_selection_that_needs_no_keys_makes_no_call_for_them(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, 1)

    reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ loginCount }} }}')

    assert reply.data["user"] == {"loginCount": 1}
    assert batches(services) == {"activity": [[user_id(1)]]}


async def test_keys_can_depend_on_keys_of_a_third_source(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    know(services, 1, 2, parents=CHAIN)

    async with open_gateway(linked(settings_for_fakes(), CHAIN)) as gateway:
        reply = await gateway.query(f"{{ users(ids: {TWO}) {{ loginCount }} }}")

    assert reply.data["users"] == [{"loginCount": 1}, {"loginCount": 2}]
    assert batches(services) == {
        "profile": [[user_id(1), user_id(2)]],
        "billing": [["billing-1", "billing-2"]],
        "activity": [["activity-1", "activity-2"]],
    }


async def test_two_sources_may_get_their_keys_from_the_same_source(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    both = {"billing": "profile", "activity": "profile"}
    know(services, 1, parents=both)

    async with open_gateway(linked(settings_for_fakes(), both)) as gateway:
        reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ plan loginCount }} }}')

    assert reply.data["user"] == {"plan": "pro", "loginCount": 1}
    assert batches(services) == {
        "profile": [[user_id(1)]],
        "billing": [["billing-1"]],
        "activity": [["activity-1"]],
    }


async def test_users_with_the_same_key_share_its_row_and_one_key_in_the_batch(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, 1, 2)
    say(services, 2, billing="billing-1")

    reply = await gateway.query(f"{{ users(ids: {TWO}) {{ id balance {{ amount }} }} }}")

    assert reply.data["users"] == [
        {"id": user_id(1), "balance": {"amount": 100}},
        {"id": user_id(2), "balance": {"amount": 100}},
    ]
    assert services.billing.batches == [["billing-1"]]


async def test_a_whole_number_can_be_a_key(gateway: GatewayClient, services: FakeServices) -> None:
    know(services, 1)
    say(services, 1, billing=90_071_992_547_409_931)
    row = {**linked_row("billing", 7, BILLING), "userId": "90071992547409931"}
    services.billing.rows["90071992547409931"] = row

    reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ balance {{ amount }} }} }}')

    assert reply.data["user"] == {"balance": {"amount": 700}}
    assert services.billing.batches == [["90071992547409931"]]


@pytest.mark.parametrize(
    "key", ["a&userId=b", 'a"b,c', "../x?y#z", "a b%20c\r\nX: y", "日本", "x" * 32_768]
)
async def test_a_key_from_a_row_is_always_escaped(
    gateway: GatewayClient, services: FakeServices, key: str
) -> None:
    know(services, 1)
    say(services, 1, billing=key)
    services.billing.rows[key] = {**linked_row("billing", 1, BILLING), "userId": key}
    services.billing.invoices[key] = [invoice(1)]

    query = f'{{ user(id: "{user_id(1)}") {{ plan invoices {{ edges {{ node {{ id }} }} }} }} }}'
    reply = await gateway.query(query)

    assert reply.data["user"] == {"plan": "pro", "invoices": {"edges": [{"node": {"id": "inv-1"}}]}}
    assert services.billing.batches == [[key]]
    assert [one.url.path for one in services.billing.requests] == ["/accounts", "/invoices"]


# Users without a key


@pytest.mark.parametrize("keys", [{}, {"billing": None}, {"billing": ""}])
async def test_a_missing_key_gives_null_without_a_call(
    gateway: GatewayClient, services: FakeServices, keys: Mapping[str, object]
) -> None:
    know(services, 1, 2)
    say(services, 1, **keys)

    reply = await gateway.query(f"{{ users(ids: {TWO}) {{ username plan }} }}")
    alone = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ username plan }} }}')

    assert reply.data["users"] == [
        {"username": "user1", "plan": None},
        {"username": "user2", "plan": "pro"},
    ]
    assert alone.data["user"] == {"username": "user1", "plan": None}
    assert not (*reply.errors, *alone.errors)
    assert services.billing.batches == [["billing-2"]]
    assert not gateway.events("source.unknown_keys")


async def test_a_source_read_only_for_keys_does_not_make_its_user_exist(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, 1)
    say(services, 1)
    services.activity.rows[user_id(3)] = activity_row(3)

    known_for_keys_only = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ plan }} }}')
    unknown_to_profile = await gateway.query(
        f'{{ user(id: "{user_id(3)}") {{ plan loginCount }} }}'
    )

    assert known_for_keys_only.data == {"user": None}
    assert unknown_to_profile.data == {"user": {"plan": None, "loginCount": 3}}
    assert not (*known_for_keys_only.errors, *unknown_to_profile.errors)
    assert services.billing.batches == []


async def test_an_unknown_key_gives_null_and_a_warning(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, 1, 2)
    say(services, 1, billing="cus_secret")

    reply = await gateway.query(f"{{ users(ids: {TWO}) {{ username plan }} }}")

    assert reply.data["users"] == [
        {"username": "user1", "plan": None},
        {"username": "user2", "plan": "pro"},
    ]
    assert not reply.errors
    [warning] = gateway.events("source.unknown_keys")
    assert (warning["level"], warning["source"]) == ("warning", "billing")
    assert (warning["key_from"], warning["keys"]) == ("profile", 1)
    assert "cus_secret" not in gateway.log


async def test_an_unknown_user_is_no_warning_if_the_keys_are_user_ids(
    gateway: GatewayClient, services: FakeServices
) -> None:
    reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ username plan }} }}')

    assert reply.data == {"user": None}
    assert batches(services) == {"profile": [[user_id(1)]]}
    assert not gateway.events("source.unknown_keys")


# Failures


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (True, "true or false"),
        (1.5, "a number with a fraction"),
        ([7], "a list"),
        ({"id": "secret"}, "an object"),
    ],
)
async def test_an_invalid_key_fails_its_user_and_names_the_source_of_the_key(
    gateway: GatewayClient, services: FakeServices, key: object, kind: str
) -> None:
    know(services, 1, 2)
    say(services, 1, billing=key)

    reply = await gateway.query(f"{{ users(ids: {TWO}) {{ username plan renewsAt }} }}")

    assert [user["username"] for user in reply.data["users"]] == ["user1", "user2"]
    assert [user["plan"] for user in reply.data["users"]] == [None, "pro"]
    assert [(error["path"], error["extensions"]) for error in reply.errors] == [
        (["users", 0, field], {"code": "SOURCE_MALFORMED", "source": "profile"})
        for field in ("plan", "renewsAt")
    ]
    assert services.billing.batches == [["billing-2"]]
    [odd] = gateway.events("source.odd_rows")
    assert odd["first_malformed"] == f"keys.billing: expected text or a whole number, got {kind}"
    assert "secret" not in gateway.log


async def test_a_key_expression_that_fails_for_a_row_fails_its_user(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    wanted = linked(settings_for_fakes(), BILLING).model_dump(mode="json")
    wanted["user_id_pattern"] = settings_for_fakes().user_id_pattern
    wanted["sources"]["billing"]["key_from"]["expression"] = "join('-', ids)"
    know(services, 1, 2)
    for number, ids in ((1, ["billing", "1"]), (2, 7)):
        row = services.profile.rows[user_id(number)]
        services.profile.rows[user_id(number)] = {**row, "ids": ids}

    async with open_gateway(Settings.model_validate(wanted)) as gateway:
        reply = await gateway.query(f"{{ users(ids: {TWO}) {{ plan }} }}")

    assert reply.data["users"] == [{"plan": "pro"}, {"plan": None}]
    assert reply.codes == {"users.1.plan": "SOURCE_MALFORMED"}


async def test_errors_name_the_source_of_the_keys_when_it_fails(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, 1)
    services.profile.behaviour = failing(503)

    reply = await gateway.query(
        f'{{ user(id: "{user_id(1)}") {{ username plan billingStatus loginCount }} }}'
    )

    assert reply.data["user"] == {
        "username": None,
        "plan": None,
        "billingStatus": None,
        "loginCount": 1,
    }
    assert [
        (error["path"][1], error["message"], error["extensions"]) for error in reply.errors
    ] == [
        (
            field,
            "The profile source is unavailable.",
            {"code": "SOURCE_UNAVAILABLE", "source": "profile"},
        )
        for field in ("username", "plan", "billingStatus")
    ]
    assert services.billing.batches == []


async def test_errors_name_the_source_itself_when_it_fails(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, 1)
    services.billing.behaviour = failing(429)

    reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ username plan }} }}')

    assert reply.data["user"] == {"username": "user1", "plan": None}
    [error] = reply.errors
    assert error["path"] == ["user", "plan"]
    assert error["extensions"] == {"code": "SOURCE_OVERLOADED", "source": "billing"}


async def test_a_bug_in_the_source_of_the_keys_is_masked_and_fails_no_other_field(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, 1)
    services.profile.behaviour = raising(ZeroDivisionError("a bug"))

    reply = await gateway.query(
        f'{{ a: user(id: "{user_id(1)}") {{ plan }} b: user(id: "{user_id(1)}") {{ loginCount }} }}'
    )

    assert reply.data == {"a": None, "b": {"loginCount": 1}}
    assert reply.codes == {"a": "INTERNAL_SERVER_ERROR"}


@pytest.mark.parametrize(
    ("required", "user"), [("billing", None), ("profile", {"plan": None, "loginCount": 1})]
)
async def test_a_required_source_without_its_keys_makes_the_user_null(
    open_gateway: OpenGateway, services: FakeServices, required: str, user: object
) -> None:
    know(services, 1)
    services.profile.behaviour = failing(503)
    wanted = changed(linked(settings_for_fakes(), BILLING), required, contract="required")

    async with open_gateway(wanted) as gateway:
        reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ plan loginCount }} }}')

    assert reply.data == {"user": user}
    [error] = reply.errors
    assert error["path"] == (["user"] if user is None else ["user", "plan"])
    assert error["extensions"] == {"code": "SOURCE_UNAVAILABLE", "source": "profile"}


def changed(settings: Settings, source: str, **changes: object) -> Settings:
    """Change settings of one source."""
    one = settings.sources[source].model_copy(update=changes)
    sources = {**settings.sources, source: one}
    return settings.model_copy(update={"sources": sources})


# Existence of users


async def test_the_existence_of_users_is_checked_by_the_key_of_another_source(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    parents = {"profile": "activity"}
    know(services, 1, 2, parents=parents)
    del services.profile.rows["profile-2"]
    three = f'["{user_id(1)}", "{user_id(2)}", "{user_id(3)}"]'

    async with open_gateway(linked(settings_for_fakes(), parents)) as gateway:
        reply = await gateway.query(f"{{ users(ids: {three}) {{ id }} }}")
        services.activity.behaviour = failing(503)
        failed = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ id }} }}')

    assert reply.data["users"] == [{"id": user_id(1)}, None, None]
    assert not reply.errors
    assert services.profile.batches == [["profile-1", "profile-2"]]
    assert failed.data == {"user": None}
    assert [error["extensions"]["source"] for error in failed.errors] == ["activity"]


async def test_entities_for_a_router_are_found_by_key(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, 1, 2)

    reply = await gateway.query(
        "query($r: [_Any!]!) { _entities(representations: $r) { ... on User { plan } } }",
        r=[{"__typename": "User", "id": user_id(n)} for n in (1, 2, 3)],
    )

    assert reply.data["_entities"] == [{"plan": "pro"}, {"plan": "pro"}, None]
    assert batches(services) == {
        "profile": [[user_id(1), user_id(2), user_id(3)]],
        "billing": [["billing-1", "billing-2"]],
    }


# Invoices


PAGE = "invoices(first: 1%s) { edges { node { id } } pageInfo { endCursor } }"


async def test_pages_are_requested_by_key_and_their_cursors_belong_to_the_user(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, 1, 2)
    services.billing.invoices = {"billing-1": [invoice(2), invoice(1)], "billing-2": [invoice(3)]}
    first = await gateway.query(f"{{ users(ids: {TWO}) {{ {PAGE % ''} }} }}")
    [one, two] = [user["invoices"] for user in first.data["users"]]
    behind = f', after: "{one["pageInfo"]["endCursor"]}"'
    second = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ {PAGE % behind} }} }}')
    others = await gateway.query(f'{{ user(id: "{user_id(2)}") {{ {PAGE % behind} }} }}')

    assert [one["edges"], two["edges"]] == [
        [{"node": {"id": "inv-2"}}],
        [{"node": {"id": "inv-3"}}],
    ]
    assert second.data["user"]["invoices"]["edges"] == [{"node": {"id": "inv-1"}}]
    assert others.codes == {"user.invoices": "BAD_USER_INPUT"}
    asked = [one.url.params for one in services.billing.requests if one.url.path == "/invoices"]
    assert sorted(one["userId"] for one in asked) == ["billing-1", "billing-1", "billing-2"]


async def test_users_with_the_same_key_share_a_page_and_a_missing_key_makes_no_call(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, 1, 2, 3)
    say(services, 2, billing="billing-1")
    say(services, 3)
    services.billing.invoices = {"billing-1": [invoice(1)]}

    ids = f'["{user_id(1)}", "{user_id(2)}", "{user_id(3)}"]'
    reply = await gateway.query(f"{{ users(ids: {ids}) {{ username {PAGE % ''} }} }}")

    pages = [user["invoices"] for user in reply.data["users"]]
    assert [page and page["edges"] for page in pages] == [
        *[[{"node": {"id": "inv-1"}}]] * 2,
        None,
    ]
    assert [one.url.path for one in services.billing.requests] == ["/accounts", "/invoices"]


async def test_no_page_is_requested_if_the_source_of_the_keys_fails(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, 1)
    services.profile.behaviour = failing(503)

    reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ {PAGE % ""} }} }}')

    assert reply.codes == {"user.invoices": "SOURCE_UNAVAILABLE"}
    assert services.billing.requests == []


# Order of the calls


async def test_a_source_waits_only_for_the_source_of_its_keys(
    gateway: GatewayClient, services: FakeServices
) -> None:
    know(services, 1)
    came = {name: asyncio.Event() for name in services.by_name}
    go = {name: asyncio.Event() for name in services.by_name}

    async def wait(request: httpx.Request) -> None:
        came[request.url.host].set()
        await go[request.url.host].wait()

    services.before = wait
    query = f'{{ user(id: "{user_id(1)}") {{ username plan loginCount }} }}'
    reply = asyncio.create_task(gateway.query(query))

    await came["profile"].wait()
    await came["activity"].wait()  # while profile has not answered
    assert not came["billing"].is_set()
    go["profile"].set()
    await came["billing"].wait()  # while activity has not answered
    go["billing"].set()
    go["activity"].set()
    assert (await reply).data["user"] == {"username": "user1", "plan": "pro", "loginCount": 1}


async def test_the_second_step_has_the_rest_of_the_deadline(
    gateway: GatewayClient, services: FakeServices, clock: ManualClock
) -> None:
    know(services, 1)

    async def take(request: httpx.Request) -> None:
        if request.url.host == "profile":
            clock.advance(0.4)

    services.before = take
    query = f'{{ user(id: "{user_id(1)}") {{ plan }} }}'
    response = await gateway.client.post(
        "/graphql", json={"query": query}, headers={"X-Request-Timeout": "1s"}
    )

    assert response.json() == {"data": {"user": {"plan": "pro"}}}
    [asked] = services.billing.requests
    assert asked.headers["X-Request-Timeout"] == "550ms"


# Cache and shared calls


async def test_a_cached_record_has_the_keys_of_the_other_source(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    know(services, 1, 2)
    say(services, 2, billing="billing-1")
    wanted = linked(settings_for_fakes(), BILLING)
    for name in ("profile", "billing"):
        wanted = changed(wanted, name, cache=CacheSettings(enabled=True))

    async with open_gateway(wanted) as gateway:
        await gateway.query(f"{{ users(ids: {TWO}) {{ username }} }}")
        one = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ balance {{ amount }} }} }}')
        two = await gateway.query(f'{{ user(id: "{user_id(2)}") {{ balance {{ amount }} }} }}')

    assert one.data == two.data == {"user": {"balance": {"amount": 100}}}
    assert batches(services) == {
        "profile": [[user_id(1), user_id(2)]],
        "billing": [["billing-1"]],
    }


async def test_simultaneous_requests_share_the_calls_of_both_steps(
    gateway: GatewayClient, services: FakeServices, ways: Ways
) -> None:
    know(services, 1, 2)
    say(services, 2, billing="billing-1")
    query = "query($id: ID!) { user(id: $id) { balance { amount } } }"

    replies = await asyncio.gather(*[gateway.query(query, id=user_id(n)) for n in (1, 2)])

    assert [reply.data for reply in replies] == [{"user": {"balance": {"amount": 100}}}] * 2
    assert batches(services) == (
        {"profile": [[user_id(1), user_id(2)]], "billing": [["billing-1"]]}
        if ways.short
        else {"profile": [[user_id(1)], [user_id(2)]], "billing": [["billing-1"], ["billing-1"]]}
    )


async def test_the_trace_and_the_log_have_the_source_of_the_keys(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    know(services, 1)
    wanted = linked(settings_for_fakes(trace="always"), BILLING)

    async with open_gateway(wanted) as gateway:
        both = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ plan }} }}')
        say(services, 1)
        first = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ plan }} }}')
        logged = [one["sources"] for one in gateway.events("graphql.operation")]

    assert {name: one["calls"] for name, one in both.body["extensions"]["sources"].items()} == {
        "profile": 1,
        "billing": 1,
    }
    assert list(first.body["extensions"]["sources"]) == ["profile"]
    assert logged == [["billing", "profile"], ["profile"]]


async def test_keys_are_found_in_rows_of_another_shape(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    wanted = linked(settings_for_fakes(), BILLING).model_dump(mode="json")
    wanted["user_id_pattern"] = settings_for_fakes().user_id_pattern
    wanted["sources"]["profile"] |= {
        "answer": {"rows": ["users"], "key": ["user_id"]},
        "fields": {
            "username": "nickname",
            "displayName": "name",
            "email": "email",
            "createdAt": "created_at",
        },
    }
    wanted["sources"]["billing"]["key_from"]["expression"] = "app_metadata.stripe_customer_id"
    wanted["sources"]["billing"]["answer"] = {"rows": ["data"]}
    user = {
        "user_id": user_id(1),
        "nickname": "one",
        "name": "One",
        "email": "one@example.com",
        "created_at": "2024-02-29T12:00:00Z",
        "app_metadata": {"stripe_customer_id": "cus_1"},
    }
    account = {**linked_row("billing", 1, BILLING), "userId": "cus_1"}
    services.profile.behaviour = lambda _: json_response({"users": [user]})
    services.billing.behaviour = lambda _: json_response({"data": [account]})

    async with open_gateway(Settings.model_validate(wanted)) as gateway:
        reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ username plan }} }}')

    assert reply.data["user"] == {"username": "one", "plan": "pro"}
    assert batches(services) == {"profile": [[user_id(1)]], "billing": [["cus_1"]]}
