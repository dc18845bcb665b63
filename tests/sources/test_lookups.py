"""Keys from several places in order, and lookups: the calls, and the responses."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from itertools import chain

import httpx
import pytest

from app.settings.models import Settings
from app.settings.resilience import CacheSettings
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import (
    FakeServices,
    account_row,
    failing,
    invoice,
    json_response,
    raising,
    settings_for_fakes,
    user_id,
)
from tests.key_from import BY_MAIL, LOOKUP, Parents, linked, linked_row, own_key
from tests.ways import BOTH, Ways

THREE = f'["{user_id(1)}", "{user_id(2)}", "{user_id(3)}"]'


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in both ways."""
    ways: Ways = request.param
    return ways


@pytest.fixture
async def gateway(open_gateway: OpenGateway) -> AsyncGenerator[GatewayClient]:
    """Return a gateway that finds customers of billing by profile's keys, or by e-mail address."""
    async with open_gateway(linked(settings_for_fakes(), BY_MAIL)) as opened:
        yield opened


@pytest.fixture
def world(services: FakeServices) -> FakeServices:
    """Return services that know three users; profile has the customer of the first user only."""
    for name, service in services.by_endpoint.items():
        for number in (1, 2, 3):
            row = linked_row(name, number, BY_MAIL)
            service.rows[own_key(name, number, BY_MAIL)] = row
    for number in (2, 3):
        have(services, number, **{LOOKUP: own_key(LOOKUP, number, BY_MAIL)})
    return services


def have(services: FakeServices, number: int, **keys: object) -> None:
    """Set the keys in profile's row of a user."""
    services.profile.rows[user_id(number)] = linked_row("profile", number, BY_MAIL, keys)


def batches(services: FakeServices) -> Mapping[str, Sequence[Sequence[str]]]:
    """List the keys of each call, of the endpoints that were called."""
    return {name: one.batches for name, one in services.by_endpoint.items() if one.batches}


PLANS = f"{{ users(ids: {THREE}) {{ plan }} }}"
PRO, NONE = {"plan": "pro"}, {"plan": None}


# The users that each place is asked for


async def test_only_users_without_an_earlier_key_are_looked_up_in_one_batch(
    gateway: GatewayClient, world: FakeServices
) -> None:
    reply = await gateway.query(f"{{ users(ids: {THREE}) {{ balance {{ amount }} }} }}")

    assert [one["balance"]["amount"] for one in reply.data["users"]] == [100, 200, 300]
    assert not reply.errors
    assert batches(world) == {
        "profile": [[user_id(1), user_id(2), user_id(3)]],
        LOOKUP: [["billing.by_mail-2", "billing.by_mail-3"]],
        "billing": [["billing-1", "billing-2", "billing-3"]],
    }


async def test_no_lookup_is_made_if_all_users_have_an_earlier_key(
    gateway: GatewayClient, world: FakeServices
) -> None:
    reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ plan }} }}')

    assert reply.data == {"user": PRO}
    assert batches(world) == {"profile": [[user_id(1)]], "billing": [["billing-1"]]}


async def test_users_can_be_looked_up_by_their_ids(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    parents: Parents = {"billing": LOOKUP, LOOKUP: ()}
    for name, service in services.by_endpoint.items():
        service.rows[own_key(name, 1, parents)] = linked_row(name, 1, parents)

    async with open_gateway(linked(settings_for_fakes(), parents)) as gateway:
        reply = await gateway.query(f'{{ user(id: "{user_id(1)}") {{ plan }} }}')

    assert reply.data == {"user": PRO}
    assert batches(services) == {LOOKUP: [[user_id(1)]], "billing": [["billing-1"]]}


@pytest.mark.parametrize("keys", [{}, {"billing": None, LOOKUP: None}, {"billing": "", LOOKUP: ""}])
async def test_a_user_without_a_key_at_any_place_gives_null_without_a_call(
    gateway: GatewayClient, world: FakeServices, keys: Mapping[str, object]
) -> None:
    have(world, 3, **keys)

    reply = await gateway.query(f'{{ user(id: "{user_id(3)}") {{ username plan }} }}')

    assert reply.data == {"user": {"username": "user3", "plan": None}}
    assert not reply.errors
    assert batches(world) == {"profile": [[user_id(3)]]}


async def test_a_lookup_without_a_match_gives_null_without_an_error(
    gateway: GatewayClient, world: FakeServices
) -> None:
    del world.billing.lookup.rows["billing.by_mail-2"]

    reply = await gateway.query(f"{{ users(ids: {THREE}) {{ username plan }} }}")

    assert [one["plan"] for one in reply.data["users"]] == ["pro", None, "pro"]
    assert not reply.errors
    assert world.billing.batches == [["billing-1", "billing-3"]]


async def test_a_later_place_is_called_at_once_only_for_its_selected_users(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    parents: Parents = {"billing": ("profile", "activity")}
    for name, service in services.by_name.items():
        for number in (1, 2, 3, 4):
            row = linked_row(name, number, parents)
            service.rows[own_key(name, number, parents)] = row
    services.profile.rows[user_id(2)] = linked_row("profile", 2, parents, {})
    one, two, three, four = map(user_id, (1, 2, 3, 4))
    query = (
        f'{{ a: users(ids: ["{one}", "{two}"]) {{ plan }} b: user(id: "{three}") {{ loginCount }}'
        f' c: user(id: "{four}") {{ loginCount plan }} }}'
    )

    async with open_gateway(linked(settings_for_fakes(), parents)) as gateway:
        reply = await gateway.query(query)

    assert reply.data == {
        "a": [PRO, PRO],
        "b": {"loginCount": 3},
        "c": {"loginCount": 4, "plan": "pro"},
    }
    assert services.activity.batches == [[three, four], [two]]
    assert services.profile.batches == [[one, two, four]]
    assert sorted(chain(*services.billing.batches)) == ["billing-1", "billing-2", "billing-4"]


# Failures are not absences


async def test_no_later_place_is_called_if_an_earlier_place_fails(
    gateway: GatewayClient, world: FakeServices
) -> None:
    world.profile.behaviour = failing(503)

    reply = await gateway.query(f'{{ user(id: "{user_id(2)}") {{ plan }} }}')

    assert reply.data == {"user": NONE}
    [error] = reply.errors
    assert error["path"] == ["user", "plan"]
    assert error["extensions"] == {"code": "SOURCE_UNAVAILABLE", "source": "profile"}
    assert batches(world) == {"profile": [[user_id(2)]]}


async def test_an_invalid_key_at_an_earlier_place_fails_its_user(
    gateway: GatewayClient, world: FakeServices
) -> None:
    have(world, 2, billing=["no key"], **{LOOKUP: "billing.by_mail-2"})

    reply = await gateway.query(PLANS)

    assert reply.data["users"] == [PRO, NONE, PRO]
    assert reply.codes == {"users.1.plan": "SOURCE_MALFORMED"}
    assert world.billing.lookup.batches == [["billing.by_mail-3"]]


async def test_a_failed_lookup_fails_only_the_users_that_need_it(
    gateway: GatewayClient, world: FakeServices
) -> None:
    world.billing.lookup.behaviour = failing(503)

    reply = await gateway.query(f"{{ users(ids: {THREE}) {{ username plan }} }}")

    assert [one["plan"] for one in reply.data["users"]] == ["pro", None, None]
    assert [one["username"] for one in reply.data["users"]] == ["user1", "user2", "user3"]
    assert [(one["path"], one["extensions"]) for one in reply.errors] == [
        (["users", n, "plan"], {"code": "SOURCE_UNAVAILABLE", "source": "billing"}) for n in (1, 2)
    ]
    assert world.billing.batches == [["billing-1"]]


async def test_a_failed_lookup_is_not_replaced_by_a_later_place(
    open_gateway: OpenGateway, world: FakeServices
) -> None:
    parents: Parents = {"billing": ("profile", LOOKUP, "activity"), LOOKUP: "profile"}
    world.billing.lookup.behaviour = failing(503)
    for number in (1, 2, 3):
        row = linked_row("activity", number, parents)
        world.activity.rows[user_id(number)] = row

    async with open_gateway(linked(settings_for_fakes(), parents)) as gateway:
        failed = await gateway.query(f'{{ user(id: "{user_id(2)}") {{ plan }} }}')
        world.billing.lookup.behaviour = None
        world.billing.lookup.rows.clear()
        absent = await gateway.query(f'{{ user(id: "{user_id(2)}") {{ plan }} }}')

    assert failed.codes == {"user.plan": "SOURCE_UNAVAILABLE"}
    assert absent.data == {"user": PRO}
    assert world.activity.batches == [[user_id(2)]]


async def test_a_bug_in_a_lookup_is_masked_and_fails_no_other_root_field(
    gateway: GatewayClient, world: FakeServices
) -> None:
    world.billing.lookup.behaviour = raising(ZeroDivisionError("a bug"))

    reply = await gateway.query(
        f'{{ a: user(id: "{user_id(2)}") {{ plan }} b: user(id: "{user_id(1)}") {{ plan }} }}'
    )

    assert reply.data == {"a": None, "b": PRO}
    assert reply.codes == {"a": "INTERNAL_SERVER_ERROR"}


@pytest.mark.parametrize("select", [None, {"parameter": "only"}], ids=["all", "select"])
async def test_two_customers_with_one_address_are_a_failure(
    open_gateway: OpenGateway, world: FakeServices, select: object
) -> None:
    def twice(request: httpx.Request) -> httpx.Response:
        rows = [
            {"mail": mail, "keys": {"billing": f"{mail}{suffix}"}}
            for mail in request.url.params.get_list("mail")
            for suffix in (("", "") if mail.endswith("3") else ("", "'"))
        ]
        return json_response(rows)

    world.billing.lookup.behaviour = twice
    world.billing.rows["billing.by_mail-3"] = account_row(3, userId="billing.by_mail-3")

    request = {"form": "repeat", "path": "/lookup", "parameter": "mail", "select": select}

    async with open_gateway(with_lookup(request=request)) as gateway:
        reply = await gateway.query(PLANS)
        [odd] = gateway.events("source.odd_rows")

    assert reply.data["users"] == [PRO, NONE, PRO]
    assert reply.codes == {"users.1.plan": "SOURCE_MALFORMED"}
    assert world.billing.batches == [["billing-1", "billing.by_mail-3"]]
    [asked] = [one for one in world.billing.requests if one.url.path == "/lookup"]
    assert asked.url.params.get("only") == (None if select is None else "mail,keys")
    assert (odd["source"], odd["first_malformed"]) == (LOOKUP, "2 different rows of one key")


def with_lookup(**changes: object) -> Settings:
    """Make the settings, with another lookup."""
    settings = linked(settings_for_fakes(), BY_MAIL)
    written = settings.model_dump(mode="json")
    written["user_id_pattern"] = settings.user_id_pattern
    written["sources"]["billing"]["lookups"]["by_mail"] |= changes
    return Settings.model_validate(written)


@pytest.mark.parametrize("has_more", [True, False])
async def test_a_row_of_a_cut_off_lookup_response_is_not_taken_for_the_only_one(
    open_gateway: OpenGateway,
    world: FakeServices,
    has_more: bool,  # noqa: FBT001 # the value in the response
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        [mail] = request.url.params.get_list("mail")
        row = {"mail": mail, "keys": {"billing": mail.replace(".by_mail", "")}}
        return json_response({"data": [row], "has_more": has_more})

    world.billing.lookup.behaviour = answer
    wanted = with_lookup(
        max_keys=1, answer={"rows": ["data"], "key": ["mail"], "more": {"has_more": ["has_more"]}}
    )

    async with open_gateway(wanted) as gateway:
        reply = await gateway.query(f'{{ user(id: "{user_id(2)}") {{ plan }} }}')

    if has_more:
        assert reply.codes == {"user.plan": "SOURCE_MALFORMED"}
        assert world.billing.batches == []
    else:
        assert reply.data == {"user": PRO}


async def test_ambiguous_rows_of_an_address_are_a_failure_after_the_last_page(
    open_gateway: OpenGateway, world: FakeServices
) -> None:
    have(world, 2, **{LOOKUP: "a@x"})

    def answer(request: httpx.Request) -> httpx.Response:
        if "cursor" in request.url.params:
            return json_response({"data": [], "next": None})
        rows = [{"mail": mail, "keys": {"billing": mail}} for mail in ("a@X", "A@x")]
        return json_response({"data": rows, "next": "2"})

    world.billing.lookup.behaviour = answer
    wanted = with_lookup(
        answer={
            "rows": ["data"],
            "key": ["mail"],
            "fold_case": True,
            "more": {"next_cursor": ["next"], "cursor_parameter": "cursor"},
        }
    )

    async with open_gateway(wanted) as gateway:
        reply = await gateway.query(f'{{ user(id: "{user_id(2)}") {{ plan }} }}')

    assert reply.data == {"user": NONE}
    assert reply.codes == {"user.plan": "SOURCE_MALFORMED"}


@pytest.mark.parametrize(
    ("row", "found"), [({"keys": {"billing": "billing-2"}}, True), ({"error": "no"}, False)]
)
async def test_the_row_of_a_single_lookup_needs_a_key_but_no_address(
    open_gateway: OpenGateway,
    world: FakeServices,
    row: Mapping[str, object],
    found: bool,  # noqa: FBT001 # what is expected
) -> None:
    world.billing.lookup.behaviour = lambda _: json_response([row])
    each = {"form": "each", "path": "/lookup", "parameter": "mail"}

    async with open_gateway(with_lookup(request=each, answer={})) as gateway:
        reply = await gateway.query(f'{{ user(id: "{user_id(2)}") {{ plan }} }}')

    assert reply.data == {"user": PRO if found else NONE}
    assert reply.codes == ({} if found else {"user.plan": "SOURCE_MALFORMED"})


async def test_a_required_source_whose_lookup_fails_makes_the_user_null(
    open_gateway: OpenGateway, world: FakeServices
) -> None:
    world.billing.lookup.behaviour = failing(503)
    settings = linked(settings_for_fakes(), BY_MAIL)
    billing = settings.sources["billing"].model_copy(update={"contract": "required"})
    sources = {**settings.sources, "billing": billing}

    async with open_gateway(settings.model_copy(update={"sources": sources})) as gateway:
        reply = await gateway.query(f"{{ users(ids: {THREE}) {{ username plan }} }}")

    assert reply.data["users"] == [{"username": "user1", "plan": "pro"}, None, None]
    assert reply.codes == {f"users.{number}": "SOURCE_UNAVAILABLE" for number in (1, 2)}


# Order of the calls


async def test_a_slow_lookup_delays_only_its_own_source(
    gateway: GatewayClient, world: FakeServices
) -> None:
    came, go = asyncio.Event(), asyncio.Event()
    others = asyncio.Event()

    async def wait(request: httpx.Request) -> None:
        if request.url.path == world.billing.lookup.path:
            came.set()
            await go.wait()
        if request.url.host == "activity":
            others.set()

    world.before = wait
    query = f"{{ users(ids: {THREE}) {{ username plan loginCount }} }}"
    reply = asyncio.create_task(gateway.query(query))

    await asyncio.gather(came.wait(), others.wait())
    assert world.billing.batches == []
    go.set()
    assert [one["plan"] for one in (await reply).data["users"]] == ["pro"] * 3
    assert world.billing.batches == [["billing-1", "billing-2", "billing-3"]]


async def test_a_lookup_that_times_out_fails_its_users(
    open_gateway: OpenGateway, world: FakeServices, clock: ManualClock
) -> None:
    async def wait(request: httpx.Request) -> None:
        if request.url.path == world.billing.lookup.path:
            clock.advance(0.2)
            await asyncio.Event().wait()

    world.before = wait

    async with open_gateway(with_lookup(timeout=0.1)) as gateway:
        reply = await gateway.query(PLANS)

    assert reply.codes == {f"users.{n}.plan": "SOURCE_TIMEOUT" for n in (1, 2)}
    assert reply.data["users"] == [PRO, NONE, NONE]


# Cache, shared calls and limits


async def test_a_lookup_result_is_cached_by_its_lookup_key(
    open_gateway: OpenGateway, world: FakeServices
) -> None:
    settings = linked(settings_for_fakes(), BY_MAIL)
    kept = {
        name: one.model_copy(update={"cache": CacheSettings(enabled=True)})
        for name, one in settings.sources.items()
    }
    wanted = settings.model_copy(update={"sources": {**settings.sources, **kept}})
    have(world, 3, **{LOOKUP: "billing.by_mail-2"})

    async with open_gateway(wanted) as gateway:
        first = await gateway.query(f'{{ user(id: "{user_id(2)}") {{ balance {{ amount }} }} }}')
        second = await gateway.query(f'{{ user(id: "{user_id(3)}") {{ balance {{ amount }} }} }}')

    assert first.data == second.data == {"user": {"balance": {"amount": 200}}}
    assert batches(world) == {
        "profile": [[user_id(2)], [user_id(3)]],
        LOOKUP: [["billing.by_mail-2"]],
        "billing": [["billing-2"]],
    }


async def test_a_lookup_has_its_own_batches_limit_and_log_lines(
    open_gateway: OpenGateway, world: FakeServices
) -> None:
    wanted = with_lookup(max_keys=1).model_copy(update={"trace": "always"})

    async with open_gateway(wanted) as gateway:
        reply = await gateway.query(PLANS)
        [logged] = gateway.events("graphql.operation")

    calls = {name: one["calls"] for name, one in reply.body["extensions"]["sources"].items()}
    assert calls == {"profile": 1, LOOKUP: 2, "billing": 1}
    assert logged["sources"] == ["billing", LOOKUP, "profile"]
    assert sorted(world.billing.lookup.batches) == [["billing.by_mail-2"], ["billing.by_mail-3"]]


async def test_an_unknown_key_from_a_lookup_gives_a_warning_with_both_places(
    gateway: GatewayClient, world: FakeServices
) -> None:
    del world.billing.rows["billing-2"]

    reply = await gateway.query(PLANS)

    assert reply.data["users"] == [PRO, None, PRO]
    [warning] = gateway.events("source.unknown_keys")
    assert (warning["source"], warning["keys"]) == ("billing", 1)
    assert warning["key_from"] == f"profile, {LOOKUP}"


async def test_lists_use_the_keys_of_a_lookup_without_another_call(
    gateway: GatewayClient, world: FakeServices
) -> None:
    world.billing.invoices = {f"billing-{n}": [invoice(n)] for n in (1, 2, 3)}
    page = "invoices(first: 1) { edges { node { id } } }"

    reply = await gateway.query(f"{{ users(ids: {THREE}) {{ {page} }} }}")

    found = [one["invoices"]["edges"][0]["node"]["id"] for one in reply.data["users"]]
    assert found == ["inv-1", "inv-2", "inv-3"]
    assert world.profile.batches == [[user_id(1), user_id(2), user_id(3)]]
    assert world.billing.lookup.batches == [["billing.by_mail-2", "billing.by_mail-3"]]
    asked = [one.url.params for one in world.billing.requests if one.url.path == "/invoices"]
    assert sorted(one["userId"] for one in asked) == ["billing-1", "billing-2", "billing-3"]
