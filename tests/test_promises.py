"""What happens when …: each row of the promised table, through HTTP."""

import asyncio

import httpx
import pytest

from app.settings.field_schema import settings_in
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import (
    Behaviour,
    FakeServices,
    account_row,
    failing,
    profile_row,
    raising,
    saying,
    settings_for_fakes,
    user_id,
)
from tests.ways import EVERY, Ways

ALL = "username plan billingStatus balance { amount currency } loginCount events { id type }"


@pytest.fixture(params=EVERY, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run each test in these ways."""
    ways: Ways = request.param
    return ways


async def test_a_failed_source_nulls_only_its_fields_with_one_error_each(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.billing.behaviour = failing(503)

    fields = ALL.replace(" billing", "\n  billing").replace(" balance", "\n  balance")
    query = f'{{\n  user(id: "{user_id(1)}") {{\n  id\n  {fields} }} }}'
    reply = await gateway.query(query.replace(" plan", "\n  plan"))

    assert reply.data["user"] == {
        "id": user_id(1),
        "username": "user1",
        "plan": None,
        "billingStatus": None,
        "balance": None,
        "loginCount": 1,
        "events": [{"id": f"e{n}", "type": "login"} for n in (3, 2, 1)],
    }
    assert [(error["path"], error["extensions"]) for error in reply.errors] == [
        (["user", field], {"code": "SOURCE_UNAVAILABLE", "source": "billing"})
        for field in ("plan", "billingStatus", "balance")
    ]
    assert [error["locations"] for error in reply.errors] == [
        [{"line": line, "column": 3}] for line in (5, 6, 7)
    ]


@pytest.mark.parametrize("source", ["profile", "billing", "activity"])
@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (raising(httpx.ReadTimeout("slow")), "SOURCE_TIMEOUT"),
        (raising(httpx.ConnectTimeout("slow")), "SOURCE_TIMEOUT"),
        (raising(httpx.ConnectError("refused")), "SOURCE_UNAVAILABLE"),
        (raising(httpx.ReadError("reset")), "SOURCE_UNAVAILABLE"),
        (raising(ConnectionResetError("reset")), "SOURCE_UNAVAILABLE"),
        (failing(500), "SOURCE_UNAVAILABLE"),
        (failing(502), "SOURCE_UNAVAILABLE"),
        (failing(503), "SOURCE_UNAVAILABLE"),
        (failing(504), "SOURCE_UNAVAILABLE"),
        (failing(400), "SOURCE_REJECTED"),
        (failing(401), "SOURCE_REJECTED"),
        (failing(403), "SOURCE_REJECTED"),
        (failing(404), "SOURCE_REJECTED"),
        (failing(429), "SOURCE_OVERLOADED"),
        (failing(204), "SOURCE_MALFORMED"),
        (failing(302), "SOURCE_MALFORMED"),
        (saying(b""), "SOURCE_MALFORMED"),
        (saying(b"[{"), "SOURCE_MALFORMED"),
        (saying(b"{}"), "SOURCE_MALFORMED"),
        (saying(b"[{}]"), "SOURCE_MALFORMED"),
        (saying(b"[" * 100_000), "SOURCE_MALFORMED"),
        (saying(b"\xff\xfe"), "SOURCE_MALFORMED"),
    ],
)
async def test_the_code_of_an_error_depends_on_the_failure_of_the_source(
    gateway: GatewayClient, services: FakeServices, source: str, behaviour: Behaviour, code: str
) -> None:
    services.know(1)
    services.by_name[source].behaviour = behaviour
    fields = {"profile": "username", "billing": "plan", "activity": "loginCount"}

    reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ username plan loginCount }} }}')

    assert reply.codes == {f"user.{fields[source]}": code}
    known = {"username": "user1", "plan": "pro", "loginCount": 1}
    assert reply.data["user"] == {**known, fields[source]: None}
    assert "secret detail" not in reply.response.text


async def test_a_null_response_of_a_source_is_malformed(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.profile.behaviour = saying(b"null")

    reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ username plan }} }}')

    assert reply.codes == {"user.username": "SOURCE_MALFORMED"}


async def test_a_source_that_responds_too_late_is_a_timeout(
    gateway: GatewayClient, services: FakeServices, clock: ManualClock
) -> None:
    services.know(1)
    never = asyncio.Event()

    async def hang(request: httpx.Request) -> None:
        if request.url.host == "billing":
            await never.wait()

    services.before = hang
    asking = asyncio.create_task(
        gateway.query(f'{{ user(id: "{user_id(1)}") {{ username plan }} }}')
    )
    await clock.settle()
    clock.advance(1.9)
    await clock.settle()
    assert not asking.done()
    clock.advance(0.2)
    reply = await asking

    assert reply.codes == {"user.plan": "SOURCE_TIMEOUT"}
    assert reply.data["user"] == {"username": "user1", "plan": None}


async def test_a_user_unknown_to_all_called_sources_is_null_without_an_error(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    one = await gateway.query(f'{{ user(id: "{user_id(2)}") {{ {ALL} }} }}')
    many = await gateway.query(
        "query($ids: [ID!]!) { users(ids: $ids) { username plan loginCount } }",
        ids=[user_id(2), user_id(1), user_id(3)],
    )

    assert one.body == {"data": {"user": None}}
    assert many.body == {
        "data": {"users": [None, {"username": "user1", "plan": "pro", "loginCount": 1}, None]}
    }


async def test_fields_of_a_source_that_does_not_know_the_user_are_null(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.profile.rows[user_id(1)] = profile_row(1)

    reply = await gateway.query(
        f'{{ user(id: "{user_id(1)}") {{ username plan invoices {{ edges {{ cursor }} }}'
        " lastSeenAt events { id } } }"
    )

    assert reply.body == {
        "data": {
            "user": {
                "username": "user1",
                "plan": None,
                "invoices": None,
                "lastSeenAt": None,
                "events": None,
            }
        }
    }


async def test_a_user_known_only_to_billing_is_not_null(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.billing.rows[user_id(1)] = account_row(1)

    reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ id username plan }} }}')

    assert reply.body == {"data": {"user": {"id": user_id(1), "username": None, "plan": "pro"}}}


async def test_a_user_is_not_null_when_a_failure_hides_whether_it_exists(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.billing.behaviour = failing(500)

    reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ username plan }} }}')

    assert reply.data == {"user": {"username": None, "plan": None}}
    assert reply.codes == {"user.plan": "SOURCE_UNAVAILABLE"}


@pytest.mark.parametrize("selection", ["id", "__typename", "id __typename", "same: id"])
async def test_profile_decides_if_a_user_exists_when_only_the_id_is_selected(
    gateway: GatewayClient, services: FakeServices, selection: str
) -> None:
    services.know(1)

    known = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ {selection} }} }}')
    unknown = await gateway.query(f'{{ user(id: "{user_id(2)}") {{ {selection} }} }}')

    assert known.data["user"] is not None
    assert unknown.body == {"data": {"user": None}}
    assert services.calls == {"profile": 2, "billing": 0, "activity": 0}


async def test_a_user_with_only_its_id_selected_is_an_error_when_profile_fails(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.profile.behaviour = failing(503)

    one = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ id }} }}')
    many = await gateway.query(f'{{ users(ids: ["{user_id(1)}"]) {{ id }} }}')

    assert one.data == {"user": None}
    assert one.codes == {"user": "SOURCE_UNAVAILABLE"}
    assert many.data == {"users": [None]}
    assert many.codes == {"users.0": "SOURCE_UNAVAILABLE"}


@pytest.mark.parametrize(
    ("selection", "asked"),
    [
        ("username email", {"profile"}),
        ("plan", {"billing"}),
        ("loginCount", {"activity"}),
        ("plan @skip(if: true) username", {"profile"}),
        ("plan @include(if: false) loginCount", {"activity"}),
        ("plan @include(if: $yes) username @include(if: $no)", {"billing"}),
        ("plan @skip(if: $yes) username @skip(if: $no)", {"profile"}),
        ("plan @include(if: $yes) @skip(if: $yes) username", {"profile"}),
        ("... on User { plan }", {"billing"}),
        ("... @include(if: $no) { plan } username", {"profile"}),
        ("...Paid", {"billing"}),
        ("...Paid @skip(if: $yes) username", {"profile"}),
        ("...Paid @skip(if: $yes) ...Paid", {"billing"}),
        ("...Deep", {"profile", "activity"}),
        ("nick: username", {"profile"}),
        ("id plan @include(if: $defaultNo)", {"profile"}),
    ],
)
async def test_a_source_that_the_selection_does_not_need_is_not_called(
    gateway: GatewayClient, services: FakeServices, selection: str, asked: set[str]
) -> None:
    services.know(1)
    query = (
        "query($id: ID!, $yes: Boolean!, $no: Boolean!, $defaultNo: Boolean! = false) {"
        f" user(id: $id) {{ id {selection} }}"
        " unused: __typename @include(if: $yes) @skip(if: $no)"
        " also: __typename @include(if: $defaultNo)"
        " never: user(id: $id) @include(if: $no) { ...Paid ...Deep } }"
        " fragment Paid on User { plan }"
        " fragment Deep on User { ... on User { ...Deeper } loginCount }"
        " fragment Deeper on User { username }"
    )

    reply = await gateway.query(query, id=user_id(1), yes=True, no=False)

    assert not reply.errors
    assert {name for name, count in services.calls.items() if count} == asked


async def test_the_same_id_is_one_key_upstream_and_returned_at_each_place(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1, 2)

    reply = await gateway.query(
        f'{{ users(ids: ["{user_id(1)}", "{user_id(2)}", "{user_id(1)}"]) {{ username }}'
        f' a: user(id: "{user_id(1)}") {{ username }} b: user(id: "{user_id(1)}") {{ plan }} }}'
    )

    assert reply.data == {
        "users": [{"username": "user1"}, {"username": "user2"}, {"username": "user1"}],
        "a": {"username": "user1"},
        "b": {"plan": "pro"},
    }
    assert services.profile.batches == [[user_id(1), user_id(2)]]
    assert services.billing.batches == [[user_id(1)]]


async def test_users_are_returned_in_the_order_and_number_of_their_ids(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(*range(1, 51))
    numbers = [7, 3, 50, 3, 1, *range(10, 40), 99]

    reply = await gateway.query(
        "query($ids: [ID!]!) { users(ids: $ids) { id } }", ids=[user_id(n) for n in numbers]
    )

    expected = [None if n == 99 else {"id": user_id(n)} for n in numbers]
    assert reply.body == {"data": {"users": expected}}


async def test_fifty_users_with_all_fields_need_three_calls(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(*range(1, 51))

    reply = await gateway.query(
        f"query($ids: [ID!]!) {{ users(ids: $ids) {{ {ALL} }} }}",
        ids=[user_id(n) for n in range(1, 51)],
    )

    assert not reply.errors
    assert services.calls == {"profile": 1, "billing": 1, "activity": 1}


async def test_all_needed_sources_are_called_at_the_same_time(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    together = asyncio.Barrier(3)

    async def wait_for_the_others(_: httpx.Request) -> None:
        await together.wait()

    services.before = wait_for_the_others
    reply = await gateway.query(
        f'{{ a: user(id: "{user_id(1)}") {{ username }}'
        f' b: users(ids: ["{user_id(1)}"]) {{ plan loginCount }} }}'
    )

    assert not reply.errors


async def test_a_malformed_value_fails_only_its_own_field_of_its_own_user(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1, 2, 3)
    services.billing.rows[user_id(2)] = account_row(2, balance={"amount": "12", "currency": "EUR"})
    money = {"currency": "EUR"}

    reply = await gateway.query(
        "query($ids: [ID!]!) { users(ids: $ids) { username plan balance { currency } } }",
        ids=[user_id(n) for n in (1, 2, 3)],
    )

    assert reply.data["users"] == [
        {"username": "user1", "plan": "pro", "balance": money},
        {"username": "user2", "plan": "pro", "balance": None},
        {"username": "user3", "plan": "pro", "balance": money},
    ]
    assert reply.codes == {"users.1.balance": "SOURCE_MALFORMED"}


async def test_a_malformed_value_of_an_unselected_field_is_ignored(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.billing.rows[user_id(1)] = account_row(1, balance="a lot", renewsAt=7)

    reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ plan billingStatus }} }}')

    assert reply.data == {"user": {"plan": "pro", "billingStatus": "ACTIVE"}}
    assert not reply.errors


async def test_a_missing_value_is_null_without_an_error(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.profile.rows[user_id(1)] = {
        name: value for name, value in profile_row(1).items() if name != "email"
    }
    services.billing.rows[user_id(1)] = account_row(1, balance=None)

    reply = await gateway.query(
        f'{{ user(id: "{user_id(1)}") {{ username email plan balance {{ amount }} }} }}'
    )

    assert reply.data == {
        "user": {"username": "user1", "email": None, "plan": "pro", "balance": None}
    }
    assert not reply.errors


@pytest.mark.parametrize("wrong", ["", "7", "x" * 10_000, user_id(1) + "\n", user_id(1) + "'--"])
async def test_an_id_that_does_not_match_the_pattern_is_an_error_without_a_call(
    gateway: GatewayClient, services: FakeServices, wrong: str
) -> None:
    one = await gateway.query("query($id: ID!) { user(id: $id) { username } }", id=wrong)
    many = await gateway.query(
        "query($ids: [ID!]!) { users(ids: $ids) { username } }", ids=[user_id(1), wrong]
    )

    assert one.data == {"user": None}
    assert one.codes == {"user": "BAD_USER_INPUT"}
    assert many.data == {"users": None}
    assert many.codes == {"users": "BAD_USER_INPUT"}
    assert "expected a UUID" in one.errors[0]["message"]
    assert len(one.errors[0]["message"]) < 250
    assert services.calls == {"profile": 0, "billing": 0, "activity": 0}


async def test_an_empty_list_of_ids_gives_no_users_without_a_call(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    query = (
        "query($ids: [ID!]!) { none: users(ids: []) { username } given: users(ids: $ids) { id }"
        f' one: user(id: "{user_id(1)}") {{ plan }} }}'
    )

    reply = await gateway.query(query, ids=[])
    alone = await gateway.query("query($ids: [ID!]!) { users(ids: $ids) { plan } }", ids=[])

    assert reply.body == {"data": {"none": [], "given": [], "one": {"plan": "pro"}}}
    assert alone.body == {"data": {"users": []}}
    assert [one["sources"] for one in gateway.events("graphql.operation")] == [["billing"], []]
    assert services.calls == {"profile": 0, "billing": 1, "activity": 0}


async def test_too_many_ids_are_an_error_without_a_call(
    gateway: GatewayClient, services: FakeServices
) -> None:
    reply = await gateway.query(
        "query($ids: [ID!]!) { users(ids: $ids) { id } }",
        ids=[user_id(n) for n in range(101)],
    )

    assert reply.data == {"users": None}
    assert reply.codes == {"users": "BAD_USER_INPUT"}
    assert reply.errors[0]["message"] == "users takes at most 100 ids, got 101"
    assert services.calls == {"profile": 0, "billing": 0, "activity": 0}


async def test_the_pattern_and_the_limit_of_ids_are_configured(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.profile.rows["u-1"] = profile_row(1, id="u-1")
    base = settings_for_fakes()
    changes = {"user_id_pattern": r"u-\d+", "max_ids": 1}
    settings = base.model_validate({**settings_in(base), **changes})
    async with open_gateway(settings) as gateway:
        fits = await gateway.query('{ users(ids: ["u-1"]) { username } }')
        does_not = await gateway.query('{ user(id: "u-1x") { username } }')
        too_many = await gateway.query('{ users(ids: ["u-1", "u-1"]) { username } }')

    assert fits.body == {"data": {"users": [{"username": "user1"}]}}
    assert does_not.codes == {"user": "BAD_USER_INPUT"}
    assert too_many.codes == {"users": "BAD_USER_INPUT"}


async def test_a_bug_of_the_gateway_is_masked_and_its_traceback_is_only_logged(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.activity.behaviour = raising(ZeroDivisionError("the secret of the bug"))

    reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ username loginCount }} }}')

    [error] = reply.errors
    assert error["path"] == ["user"]
    assert error["extensions"] == {
        "code": "INTERNAL_SERVER_ERROR",
        "requestId": reply.response.headers["x-request-id"],
    }
    assert "secret" not in reply.response.text
    [event] = gateway.events("graphql.bug")
    assert "ZeroDivisionError: the secret of the bug" in event["exception"]
    assert event["request_id"] == error["extensions"]["requestId"]
