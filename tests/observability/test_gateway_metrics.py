"""The metrics of the gateway: operations, source calls and refusals."""

import asyncio
import io

import httpx
import pytest

from app.observability.logs import make_log
from app.settings.limits import LimitsSettings, RateSettings
from app.settings.models import Settings
from app.settings.resilience import BreakerSettings, CacheSettings, RetrySettings
from app.settings.server import ConnectionSettings, TrustedSettings
from app.settings.source import SourceSettings
from tests.apps import make_app
from tests.clock import ManualClock
from tests.conftest import OpenGateway
from tests.fakes import (
    FakeServices,
    calm_source,
    failing,
    json_response,
    profile_row,
    settings_for_fakes,
    user_id,
)
from tests.telemetry import Recorded, recorded
from tests.ways import BOTH, Ways
from tests.wire import HOST, served

NAME = "query Name($ids: [ID!]!) { users(ids: $ids) { username } }"
PLAN = "query Plan($ids: [ID!]!) { users(ids: $ids) { username plan } }"
ONE, TWO = user_id(1), user_id(2)
DOWN = "SOURCE_UNAVAILABLE"


@pytest.fixture
def telemetry(clock: ManualClock) -> Recorded:
    """Give metrics without traces."""
    return recorded(clock.monotonic, traces=False)


def with_profile(profile: SourceSettings, settings: Settings | None = None) -> Settings:
    """Make settings with another profile source."""
    settings = settings or settings_for_fakes()
    return settings.model_copy(update={"sources": {**settings.sources, "profile": profile}})


async def test_requests_operations_and_calls_are_measured(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded
) -> None:
    services.know(1, 2)
    services.billing.behaviour = failing(503)

    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway:
        await gateway.query(NAME, ids=[ONE, TWO])
        await gateway.query(PLAN, ids=[ONE, TWO])
        await gateway.client.get("/nowhere/at/all")
        await gateway.client.request("BREW", "/graphql")
        running = telemetry.values("graphql.server.active_requests")

    assert telemetry.counts("http.server.request.duration") == {
        ("POST", "http", "/graphql", "200", ""): 2,
        ("GET", "http", "", "404", ""): 1,
        ("_OTHER", "http", "/graphql", "405", ""): 1,
    }
    assert telemetry.counts("graphql.server.request.duration") == {
        ("query", "Name", ""): 1,
        ("query", "Plan", DOWN): 1,
    }
    assert telemetry.counts("http.client.request.duration") == {
        ("GET", "profile", "80", "200", "", "profile"): 2,
        ("GET", "billing", "80", "503", DOWN, "billing"): 1,
    }
    assert telemetry.values("gateway.source.results") == {
        ("profile", ""): 4,
        ("billing", DOWN): 2,
    }
    assert telemetry.values("gateway.source.calls") == {("profile", ""): 2, ("billing", DOWN): 1}
    assert telemetry.values("gateway.operations.partial") == {("billing", DOWN): 1}
    assert telemetry.counts("gateway.batch.keys") == {("profile",): 2, ("billing",): 1}
    assert telemetry.values("gateway.document_cache.lookups") == {("hit",): 0, ("miss",): 2}
    assert running == {(): 0}


async def test_a_key_that_fails_in_a_good_call_is_counted_as_failed(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded
) -> None:
    nameless = {**profile_row(2), "id": None}
    services.profile.behaviour = lambda _: json_response([profile_row(1), nameless])

    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway:
        reply = await gateway.query(NAME, ids=[ONE, TWO])

    assert reply.codes == {"users.1.username": "SOURCE_MALFORMED"}
    assert telemetry.values("gateway.source.results") == {
        ("profile", ""): 1,
        ("profile", "SOURCE_MALFORMED"): 1,
    }
    assert telemetry.values("gateway.source.calls") == {("profile", ""): 1}


@pytest.mark.parametrize("ways", BOTH, ids=str)
async def test_operations_are_counted_by_renderer(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded, ways: Ways
) -> None:
    services.know(1)

    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway:
        await gateway.query(NAME, ids=[ONE])
        await gateway.query("{ __typename }")
        await gateway.query("{ nothing }")

    renderer = ("compiled", "") if ways is BOTH[0] else ("executor", "switched_off")
    assert telemetry.values("gateway.operations")[renderer] >= 1
    assert sum(telemetry.values("gateway.operations").values()) == 2


async def test_an_operation_that_fails_before_any_call_has_no_renderer(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded
) -> None:
    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway:
        request = {"query": '{ user(id: "wrong") { username } }', "onError": "HALT"}
        response = await gateway.client.post("/graphql", json=request)
        [line] = gateway.events("graphql.operation")

    assert response.json()["data"] is None
    assert line["compiled"] is False
    assert telemetry.values("gateway.operations") == {("", ""): 1}
    assert not any(services.calls.values())


async def test_first_attempts_and_retries_are_counted_and_the_budget_shrinks(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock, telemetry: Recorded
) -> None:
    services.know(1)
    services.profile.behaviour = failing(503)
    retry = RetrySettings(max_retries=2, budget_minimum=5)
    settings = with_profile(calm_source(base_url="http://profile", retry=retry))

    async with open_gateway(settings, telemetry=telemetry.telemetry) as gateway:
        before = telemetry.values("gateway.retry_budget.remaining")["profile",]
        await clock.run(gateway.query(NAME, ids=[ONE]))
        after = telemetry.values("gateway.retry_budget.remaining")["profile",]

    assert telemetry.values("gateway.source.attempts") == {
        ("profile", "first"): 1,
        ("profile", "retry"): 2,
    }
    assert (before, after) == (5, 3)


async def test_retries_that_the_budget_allows_and_refuses_are_counted(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock, telemetry: Recorded
) -> None:
    services.know(1)
    services.profile.behaviour = failing(503)
    retry = RetrySettings(max_retries=2, budget_minimum=1)
    settings = with_profile(calm_source(base_url="http://profile", retry=retry))

    async with open_gateway(settings, telemetry=telemetry.telemetry) as gateway:
        await clock.run(gateway.query(NAME, ids=[ONE]))
        [event] = gateway.events("source.not_retried")
        attempts = gateway.events("source.fetch")

    assert telemetry.values("gateway.retry_budget.uses")["profile",] == 1
    assert telemetry.values("gateway.retry_budget.refusals")["profile",] == 1
    assert (event["outcome"], event["reason"]) == (DOWN, "the retry budget is used up")
    assert {one["request_id"] for one in attempts} == {event["request_id"]}


async def test_the_state_and_transitions_of_a_breaker_are_measured(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded
) -> None:
    services.know(1)
    services.profile.behaviour = failing(503)
    breaker = BreakerSettings(min_calls=1)
    settings = with_profile(calm_source(base_url="http://profile", breaker=breaker))

    async with open_gateway(settings, telemetry=telemetry.telemetry) as gateway:
        closed = telemetry.values("gateway.circuit.state")
        await gateway.query(NAME, ids=[ONE])
        opened = telemetry.values("gateway.circuit.state")
        await gateway.query(NAME, ids=[ONE])

    assert (closed["profile", "closed"], closed["profile", "open"]) == (1, 0)
    assert (opened["profile", "closed"], opened["profile", "open"]) == (0, 1)
    assert telemetry.values("gateway.circuit.transitions") == {("profile", "open", "failures"): 1}
    assert telemetry.values("gateway.source.calls")["profile", "SOURCE_CIRCUIT_OPEN"] == 1
    assert telemetry.values("gateway.source.attempts") == {("profile", "first"): 1}


async def test_calls_in_the_bulkhead_and_running_operations_are_measured(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock, telemetry: Recorded
) -> None:
    services.know(1, 2)
    under_way, gate = asyncio.Event(), asyncio.Event()

    async def hold(_: httpx.Request) -> None:
        under_way.set()
        await gate.wait()

    services.before = hold
    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway:
        async with asyncio.TaskGroup() as group:
            group.create_task(gateway.query(NAME, ids=[ONE]))
            await under_way.wait()
            group.create_task(gateway.query(NAME, ids=[ONE]))
            await clock.settle()
            during = [
                telemetry.values(name)
                for name in ("gateway.bulkhead.calls", "graphql.server.active_requests")
            ]
            gate.set()
        after = telemetry.values("gateway.bulkhead.calls")
        limit = telemetry.values("gateway.bulkhead.limit")

    assert (during[0]["profile",], during[0]["billing",], during[1][()]) == (1, 0, 2)
    assert after["profile",] == 0
    assert limit["profile",] > 1
    # A counter keeps its value after the gateway has stopped.
    assert telemetry.values("gateway.coalesced.keys")["profile",] == 1


async def test_the_entity_cache_counts_hits_misses_stale_keys_and_evictions(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock, telemetry: Recorded
) -> None:
    services.know(1, 2)
    cache = CacheSettings(enabled=True, ttl=10, stale_while_revalidate=60, max_entries=1)
    settings = with_profile(calm_source(base_url="http://profile", cache=cache))

    async with open_gateway(settings, telemetry=telemetry.telemetry) as gateway:
        await gateway.query(NAME, ids=[ONE])
        await gateway.query(NAME, ids=[ONE])
        clock.advance(20)
        await gateway.query(NAME, ids=[ONE])
        await clock.settle()
        await gateway.query(NAME, ids=[TWO])
        entries = telemetry.values("gateway.entity_cache.entries")

    assert telemetry.values("gateway.entity_cache.lookups") == {
        ("profile", "hit"): 1,
        ("profile", "miss"): 2,
        ("profile", "stale"): 1,
    }
    assert entries == {("profile",): 1}
    assert telemetry.values("gateway.entity_cache.evictions") == {("profile",): 1}


async def test_refusals_are_counted_by_limit(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded
) -> None:
    services.know(1)
    settings = settings_for_fakes(limits=LimitsSettings(tokens=30, cost=2), max_body_bytes=1_024)

    async with open_gateway(settings, telemetry=telemetry.telemetry) as gateway:
        await gateway.query("{ " + "__typename " * 40 + "}")
        await gateway.query(NAME, ids=[user_id(number) for number in range(1, 9)])
        await gateway.client.post("/graphql", json={"query": " " * 2_000})
        await gateway.client.get("/" + "a" * 20_000)
        await gateway.query(NAME, ids=[ONE])

    assert telemetry.values("gateway.limit.refusals") == {
        (name,): 1 for name in ("tokens", "cost", "max_body_bytes", "connections.max_url_bytes")
    }


async def test_refusals_by_the_rate_limit_are_counted(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded
) -> None:
    services.know(1)
    limits = LimitsSettings(rate=RateSettings(enabled=True, quota=3))

    async with open_gateway(
        settings_for_fakes(limits=limits), telemetry=telemetry.telemetry
    ) as gateway:
        for _ in range(5):
            await gateway.query("{ __typename }")

    assert telemetry.values("gateway.limit.refusals") == {("rate.quota",): 5}


async def test_operation_names_are_bounded_except_those_of_trusted_documents(
    open_gateway: OpenGateway,
    services: FakeServices,
    clock: ManualClock,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    services.know(1)
    folder = tmp_path_factory.mktemp("trusted")
    trusted = "query Trusted { __typename }"
    (folder / "one.graphql").write_text(trusted, encoding="utf-8")
    telemetry = recorded(clock.monotonic, traces=False, operation_names=2)
    settings = settings_for_fakes(trusted=TrustedSettings(path=folder, mode="also"))

    async with open_gateway(settings, telemetry=telemetry.telemetry) as gateway:
        for number in range(50):
            await gateway.query(f"query N{number} {{ __typename }}")
        await gateway.query(trusted)
        await gateway.query("{ __typename }")

    assert telemetry.counts("graphql.server.request.duration") == {
        ("query", "N0", ""): 1,
        ("query", "N1", ""): 1,
        ("query", "other", ""): 48,
        ("query", "Trusted", ""): 1,
        ("query", "", ""): 1,
    }


async def test_a_disconnected_client_is_counted(
    open_gateway: OpenGateway, telemetry: Recorded
) -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(_: object) -> None:
        raise AssertionError("the client has disconnected")

    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway:
        scope = {
            "type": "http", "method": "POST", "path": "/graphql", "query_string": b"",
            "scheme": "https",
            "headers": [(b"host", b"gateway"), (b"content-type", b"application/json")],
        }  # fmt: skip
        await gateway.app(scope, receive, send)

    assert telemetry.counts("http.server.request.duration") == {
        ("POST", "https", "/graphql", "", "disconnected"): 1
    }


async def test_requests_refused_at_the_connection_are_counted(
    services: FakeServices, telemetry: Recorded
) -> None:
    limits = ConnectionSettings(
        head_timeout=0.2, body_timeout=0.2, max_head_bytes=2_000, max_connections=1
    )
    settings = settings_for_fakes(connections=limits)
    log = make_log(settings.log, stream=io.StringIO())
    app = make_app(settings, log, transports=services.transport, telemetry=telemetry.telemetry)
    head = b"POST /graphql HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"

    async with served(app, settings) as address:
        for data in (
            b"this is not HTTP\r\n\r\n",
            head + b"X: " + b"x" * 3_000,
            head,  # the end of the head is missing
            head + b"Content-Length: 9\r\n\r\n",  # the body is missing
            b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n",
        ):
            await address.exchange(data)
        _, idle = await asyncio.open_connection(HOST, address.port)
        await address.exchange(b"")
        idle.close()

    unknown = ("_OTHER", "http", "")
    assert telemetry.counts("http.server.request.duration") == {
        (*unknown, "400", ""): 1,
        (*unknown, "431", ""): 1,
        (*unknown, "408", ""): 1,
        ("POST", "http", "/graphql", "", "disconnected"): 1,
        ("GET", "http", "/healthz", "200", ""): 1,
        (*unknown, "503", "503"): 1,
    }


async def test_fast_paths_in_use_are_measured(
    open_gateway: OpenGateway, telemetry: Recorded
) -> None:
    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry):
        shown = telemetry.values("gateway.fastpath.in_use")

    assert shown["compiled",] == 1
    assert "enabled" not in {name for (name,) in shown}
