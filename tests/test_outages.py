"""Outages and overload: their effects on requests, over real connections."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import orjson
import pytest
from starlette.types import Message, Scope

from app.settings.resilience import DeadlineSettings
from tests import faults
from tests.conftest import GatewayReply
from tests.fakes import user_id
from tests.fakes.http_server import HttpRequest, hanging
from tests.fault_server import Fault
from tests.outage import Outage, outage
from tests.readiness import source_states
from tests.ways import ALSO_BY_FILE, LONG, Ways

ONE = f'{{ user(id: "{user_id(1)}") {{ username plan }} }}'
PLAN = f'{{ user(id: "{user_id(1)}") {{ plan }} }}'
MANY = "query($ids: [ID!]!) { users(ids: $ids) { id plan } }"

NO_RETRIES = {"max_retries": 0, "budget_minimum": 0, "budget_share": 0}


@pytest.fixture(params=ALSO_BY_FILE, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run each test in these ways."""
    ways: Ways = request.param
    return ways


def same(seconds: float) -> object:
    """Compare a duration within the precision of floats."""
    return pytest.approx(seconds, abs=1e-3)


# Deadlines.


@pytest.mark.parametrize(
    ("requested", "seconds"),
    [
        ("800ms", 0.75),
        ("1.5s", 1.45),
        ("1s", 0.95),
        (None, 4.95),
        ("60s", 4.95),
        ("9999999ms", 4.95),
    ],
)
async def test_the_deadline_of_a_client_is_kept_up_to_the_configured_limit(
    requested: str | None, seconds: float, ways: Ways
) -> None:
    async with outage({"billing": {"timeout": 30.0}}, ways=ways) as gateway:
        gateway.server.fail("billing", hanging)
        started = gateway.clock.seconds
        reply = await gateway.ask(
            ONE, headers={} if requested is None else {"X-Request-Timeout": requested}
        )

        assert gateway.clock.seconds - started == same(seconds)
        assert reply.data["user"] == {"username": "user1", "plan": None}
        assert reply.codes == {"user.plan": "SOURCE_TIMEOUT"}


@pytest.mark.parametrize(
    "requested", ["", "soon", "800", "-1s", "0ms", "0s", "1e3ms", "1m", "٣s", "∞"]
)
async def test_an_invalid_deadline_of_a_client_is_refused_without_a_call(
    requested: str, ways: Ways
) -> None:
    async with outage(ways=ways) as gateway:
        response = await gateway.client.post(
            "/graphql",
            json={"query": ONE},
            headers=[(b"X-Request-Timeout", requested.encode())],
        )

        assert response.status_code == 400
        [error] = orjson.loads(response.content)["errors"]
        assert error["extensions"] == {"code": "BAD_REQUEST"}
        assert "expected a duration such as 800ms or 1.5s" in error["message"]
        assert not gateway.server.requests


def milliseconds(*calls: HttpRequest) -> list[int]:
    """Read the remaining time that was sent with each call."""
    return [int(call.header("x-request-timeout")[0].removesuffix("ms")) for call in calls]


async def test_the_remaining_time_is_forwarded_and_shorter_at_each_retry(
    ways: Ways,
) -> None:
    async with outage(ways=ways) as gateway:
        gateway.server.fail("billing", faults.first(1, faults.status(503, "0")))
        await gateway.ask(ONE, headers={"X-Request-Timeout": "800ms"})

        [profile] = gateway.server.calls("profile")
        assert milliseconds(profile) == [pytest.approx(750, abs=1)]
        assert milliseconds(*gateway.server.calls("billing")) == [
            pytest.approx(750, abs=1),
            pytest.approx(700, abs=1),
        ]


async def test_the_forwarded_time_has_a_set_header_and_is_at_most_the_timeout(
    ways: Ways,
) -> None:
    deadline = DeadlineSettings(header="X-Time-Left")
    async with outage({"billing": {"timeout": 1.5}}, deadline=deadline, ways=ways) as gateway:
        await gateway.ask(ONE)

        [call] = gateway.server.calls("billing")
        assert call.header("x-time-left") == ["1500ms"]
        assert not call.header("x-request-timeout")


async def test_pages_have_their_own_timeout(ways: Ways) -> None:
    query = f'{{ user(id: "{user_id(1)}") {{ plan invoices {{ edges {{ cursor }} }} }} }}'
    async with outage({"billing": {"page_timeout": 0.5}}, ways=ways) as gateway:
        gateway.server.fail("invoices", hanging)
        started = gateway.clock.seconds
        reply = await gateway.ask(query)

        assert gateway.clock.seconds - started == same(0.5)
        assert reply.data["user"] == {"plan": "pro", "invoices": None}
        assert reply.codes == {"user.invoices": "SOURCE_TIMEOUT"}


async def test_short_deadlines_of_a_client_do_not_open_the_breaker(
    ways: Ways,
) -> None:
    async with outage({"billing": {"breaker": {"min_calls": 4}}}, ways=ways) as gateway:
        gateway.server.fail("billing", faults.late(0.3))
        for _ in range(8):
            hasty = await gateway.ask(PLAN, headers={"X-Request-Timeout": "100ms"})
            assert hasty.codes == {"user.plan": "SOURCE_TIMEOUT"}
        patient = await gateway.ask(PLAN)

        assert patient.body == {"data": {"user": {"plan": "pro"}}}


# Clients that disconnect.


@dataclass
class LeavingClient:
    """A client that can disconnect: the ASGI side of one request.

    Attributes:
        body: The part of its body that it has sent.
        whole: Whether that is all of its body.
        sent: The messages of its response.
    """

    body: bytes
    whole: bool = True
    sent: list[Message] = field(default_factory=list[Message])
    _left: asyncio.Event = field(default_factory=asyncio.Event)
    _asked: bool = False

    scope: Scope = field(
        default_factory=lambda: {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/graphql",
            "raw_path": b"/graphql",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
            "server": ("gateway", 80),
        }
    )

    def leave(self) -> None:
        """Disconnect."""
        self._left.set()

    async def receive(self) -> Message:
        """Return the next message of the request."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self.body, "more_body": not self.whole}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a message of the response."""
        self.sent.append(message)

    async def request(self, gateway: Outage) -> None:
        """Send the request."""
        await gateway.app(self.scope, self.receive, self.send)


@pytest.mark.parametrize("source", ["profile", "billing"])
async def test_calls_are_cancelled_when_the_client_disconnects(source: str, ways: Ways) -> None:
    async with outage({"*": {"breaker": {"min_calls": 1}}}, ways=ways) as gateway:
        gateway.server.fail(source, hanging)
        client = LeavingClient(orjson.dumps({"query": ONE}))
        running = asyncio.create_task(client.request(gateway))
        await gateway.until_held(1)
        client.leave()
        await running
        await gateway.check_nothing_is_left()

        assert client.sent == []
        assert len(gateway.server.calls(source)) == 1
        assert "Traceback" not in gateway.log
        assert await breaker_states(gateway) == {"profile": "closed", "billing": "closed"}


async def test_a_call_is_not_retried_after_the_client_disconnects(ways: Ways) -> None:
    async with outage(ways=ways) as gateway:
        gateway.server.fail("billing", faults.status(503, "1"))
        client = LeavingClient(orjson.dumps({"query": PLAN}))
        running = asyncio.create_task(client.request(gateway))
        await gateway.server.changes.until(
            lambda: gateway.server.calls("billing") and not gateway.traffic.open
        )
        await gateway.clock.settle()
        client.leave()
        await running
        gateway.clock.advance(10)
        await gateway.check_nothing_is_left()

        assert len(gateway.server.calls("billing")) == 1


async def test_a_client_that_disconnects_in_its_request_is_not_logged_as_a_bug(ways: Ways) -> None:
    async with outage(ways=ways) as gateway:
        client = LeavingClient(b'{"query":', whole=False)
        running = asyncio.create_task(client.request(gateway))
        await gateway.clock.settle()
        client.leave()
        await running

        assert "Traceback" not in gateway.log
        assert not gateway.events("http.bug")


# Retries and hedging.


async def test_a_retry_repairs_a_single_failure(ways: Ways) -> None:
    async with outage(trace="always", ways=ways) as gateway:
        gateway.server.fail("billing", faults.first(1, faults.status(503)))
        reply = await gateway.ask(ONE)

        assert not reply.errors
        assert reply.data["user"] == {"username": "user1", "plan": "pro"}
        assert reply.body["extensions"]["sources"]["billing"]["attempts"] == 2


async def test_retries_do_not_multiply_the_calls_of_an_outage(ways: Ways) -> None:
    retry = {"max_retries": 2, "budget_share": 0.1, "budget_minimum": 3}
    async with outage(
        {"*": {"retry": retry, "breaker": {"min_calls": 1000}}}, ways=ways
    ) as gateway:
        gateway.server.fail("billing", faults.status(503))
        for _ in range(100):
            await gateway.ask(PLAN)

        assert len(gateway.server.calls("billing")) <= 100 + 3 + 10


async def test_a_user_that_fails_its_batch_costs_one_half_and_two_more_calls(ways: Ways) -> None:
    async with outage(ways=ways) as gateway:
        gateway.server.fail("billing", faults.poisoned(user_id(3), faults.status(500)))
        ids = [user_id(number) for number in (1, 2, 3, 4)]
        reply = await gateway.ask(MANY, variables={"ids": ids})

        assert [user["plan"] for user in reply.data["users"]] == ["pro", "pro", None, None]
        assert reply.codes == dict.fromkeys(["users.2.plan", "users.3.plan"], "SOURCE_UNAVAILABLE")
        assert sorted(gateway.server.batches("billing")) == sorted([ids, ids[:2], ids[2:]])


async def test_a_slow_call_is_hedged(ways: Ways) -> None:
    async with outage({"billing": {"hedge": True}}, trace="always", ways=ways) as gateway:
        gateway.server.fail("billing", faults.late(0.1))
        for _ in range(20):
            await gateway.ask(PLAN)
        gateway.server.fail("billing", faults.first(1, hanging))
        started = gateway.clock.seconds
        reply = await gateway.ask(PLAN)
        took = gateway.clock.seconds - started
        await gateway.check_nothing_is_left()

        assert reply.data == {"user": {"plan": "pro"}}
        assert took == same(0.1)
        assert len(gateway.server.calls("billing")) == 22
        assert reply.body["extensions"]["sources"]["billing"]["attempts"] == 2


# Breakers, bulkheads and overload.


async def breaker_states(gateway: Outage) -> dict[str, str]:
    """Read the states of the breakers of profile and billing."""
    ready = await gateway.client.get("/readyz")
    assert ready.status_code == 200
    sources = source_states(gateway.app)
    return {name: sources[name]["circuit"] for name in ("profile", "billing")}


BREAKER = {"min_calls": 4, "open_for": 5.0, "probes": 2}
OPEN_FOR = 3.75
"""Seconds of its first open time: three quarters of the setting, as the random part is a half."""


async def test_the_breaker_opens_and_closes_when_the_source_responds_again(
    ways: Ways,
) -> None:
    settings = {"retry": NO_RETRIES, "breaker": BREAKER}
    async with outage({"billing": settings}, ways=ways) as gateway:
        server = gateway.server
        server.fail("billing", faults.status(503))
        failed = [await gateway.ask(ONE) for _ in range(4)]
        states = [await breaker_states(gateway)]
        spared = await gateway.ask(ONE)
        calls = [len(server.calls("billing"))]

        gateway.clock.advance(OPEN_FOR)
        probe = await gateway.ask(ONE)  # it fails, so the open time doubles
        gateway.clock.advance(OPEN_FOR + 1)
        still_spared = await gateway.ask(ONE)
        calls.append(len(server.calls("billing")))

        server.heal("billing")
        gateway.clock.advance(OPEN_FOR)
        first = await gateway.ask(ONE)
        states.append(await breaker_states(gateway))
        second = await gateway.ask(ONE)
        states.append(await breaker_states(gateway))

        assert {reply.codes["user.plan"] for reply in failed} == {"SOURCE_UNAVAILABLE"}
        assert spared.codes == still_spared.codes == {"user.plan": "SOURCE_CIRCUIT_OPEN"}
        assert spared.data["user"] == {"username": "user1", "plan": None}
        assert probe.codes == {"user.plan": "SOURCE_UNAVAILABLE"}
        assert calls == [4, 5]
        assert first.body == second.body == {"data": {"user": {"username": "user1", "plan": "pro"}}}
        assert [state["billing"] for state in states] == ["open", "half-open", "closed"]
        assert {state["profile"] for state in states} == {"closed"}
        assert [
            (event["before"], event["state"], event["reason"])
            for event in gateway.events("source.circuit")
        ] == [
            ("closed", "open", "failures"),
            ("open", "half-open", "time to probe"),
            ("half-open", "open", "a probe failed"),
            ("open", "half-open", "time to probe"),
            ("half-open", "closed", "probes succeeded"),
        ]
        counted = {"calls": 4, "codes": {"SOURCE_UNAVAILABLE": 4}, "failures": 4, "slow_calls": 0}
        assert counted.items() <= gateway.events("source.circuit")[0].items()


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        pytest.param(faults.status(500), "open", id="500"),
        pytest.param(faults.status(429), "closed", id="429"),
        pytest.param(hanging, "open", id="no response"),
        pytest.param(faults.resetting, "open", id="connection reset"),
        pytest.param(faults.truncated, "open", id="truncated response"),
        pytest.param(faults.late(1.6), "open", id="slow call"),
        pytest.param(faults.late(1.4), "closed", id="not yet a slow call"),
        pytest.param(faults.status(401), "closed", id="401"),
        pytest.param(faults.status(404), "closed", id="404"),
        pytest.param(faults.share(40, faults.status(503)), "closed", id="40 % fail"),
        pytest.param(faults.share(50, faults.status(503)), "open", id="50 % fail"),
    ],
)
async def test_the_breaker_opens_only_after_failures_of_the_source(
    fault: Fault, state: str, ways: Ways
) -> None:
    breaker = {"min_calls": 10, "window": 60.0, "slow_call": 1.5}
    settings = {"retry": NO_RETRIES, "breaker": breaker}
    async with outage({"billing": settings}, ways=ways) as gateway:
        gateway.server.fail("billing", fault)
        for _ in range(10):
            await gateway.ask(PLAN)

        assert (await breaker_states(gateway))["billing"] == state


@asynccontextmanager
async def held(gateway: Outage, query: str) -> AsyncGenerator[asyncio.Task[GatewayReply]]:
    """Hold a request at a source until the end of the context."""
    running = asyncio.create_task(gateway.send(query))
    await gateway.until_held(1)
    yield running
    await gateway.answer_of(asyncio.wait_for(running, None))


async def test_a_call_without_room_in_the_bulkhead_fails_at_once_and_alone() -> None:
    # Requests that share their calls would not need a second call.
    async with outage({"billing": {"max_calls": 1, "max_waiting_calls": 0}}, ways=LONG) as gateway:
        gateway.server.fail("billing", faults.first(1, faults.late(1.0)))
        async with held(gateway, ONE) as running:
            refused = await gateway.send(ONE)

        assert refused.codes == {"user.plan": "SOURCE_OVERLOADED"}
        assert refused.data["user"] == {"username": "user1", "plan": None}
        assert running.result().body == {"data": {"user": {"username": "user1", "plan": "pro"}}}
        assert len(gateway.server.calls("billing")) == 1


async def test_a_call_waits_for_the_bulkhead_until_the_deadline_at_most() -> None:
    async with outage({"billing": {"max_calls": 1, "timeout": 4.0}}, ways=LONG) as gateway:
        gateway.server.fail("billing", faults.late(3.0))
        async with held(gateway, PLAN) as running:
            started = gateway.clock.seconds
            refused = await gateway.ask(PLAN, headers={"X-Request-Timeout": "1s"})
            took = gateway.clock.seconds - started
            patient = await gateway.ask(PLAN, headers={"X-Request-Timeout": "5s"})

        assert refused.codes == {"user.plan": "SOURCE_OVERLOADED"}
        assert took == same(0.95)
        assert patient.codes == {"user.plan": "SOURCE_TIMEOUT"}
        assert running.result().data == {"user": {"plan": "pro"}}


async def test_operations_above_the_limit_are_refused_while_health_checks_succeed(
    ways: Ways,
) -> None:
    async with outage(max_operations=1, ways=ways) as gateway:
        gateway.server.fail("billing", faults.first(1, faults.late(1.0)))
        async with held(gateway, ONE) as running:
            shed = await gateway.send(ONE)
            alive = await gateway.client.get("/healthz")
            ready = await gateway.client.get("/readyz")
        after = await gateway.ask(ONE)

        assert shed.response.status_code == 503
        assert int(shed.response.headers["retry-after"]) >= 1
        assert shed.body.keys() == {"errors"}
        [error] = shed.errors
        assert error["extensions"] == {"code": "GATEWAY_OVERLOADED"}
        assert isinstance(error["message"], str)
        assert (alive.status_code, ready.status_code) == (200, 200)
        assert running.result().data["user"]["plan"] == "pro"
        assert after.data["user"]["plan"] == "pro"


# Effects of a failure: the contract of a source, and ``onError``.


async def test_a_failed_required_source_nulls_each_user_with_one_error(
    ways: Ways,
) -> None:
    async with outage({"billing": {"contract": "required"}}, ways=ways) as gateway:
        gateway.server.fail("billing", faults.status(401))
        one = await gateway.ask(ONE)
        many = await gateway.ask(MANY, variables={"ids": [user_id(1), user_id(2)]})
        without = await gateway.ask(f'{{ user(id: "{user_id(1)}") {{ username }} }}')

        assert one.data == {"user": None}
        assert one.codes == {"user": "SOURCE_REJECTED"}
        assert many.data == {"users": [None, None]}
        assert many.codes == {"users.0": "SOURCE_REJECTED", "users.1": "SOURCE_REJECTED"}
        assert without.body == {"data": {"user": {"username": "user1"}}}


WRONG = '{ users(ids: ["no id"]) { username } }'
"""An error at a field that cannot be null."""


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize(
    ("on_error", "failed", "wrong"),
    [
        (None, {"user": {"username": "user1", "plan": None}}, {"users": None}),
        ("NULL", {"user": {"username": "user1", "plan": None}}, {"users": None}),
        ("PROPAGATE", {"user": {"username": "user1", "plan": None}}, None),
        ("HALT", None, None),
    ],
)
async def test_on_error_chooses_the_effect_of_an_error(
    method: str, on_error: str | None, failed: object, wrong: object, ways: Ways
) -> None:
    async with outage(ways=ways) as gateway:
        gateway.server.fail("billing", faults.status(401))

        async def ask(query: str) -> httpx.Response:
            parameters = {"query": query} | ({} if on_error is None else {"onError": on_error})
            if method == "GET":
                return await gateway.client.get(
                    "/graphql", params=parameters, headers={"GraphQL-Require-Preflight": "1"}
                )
            return await gateway.client.post("/graphql", json=parameters)

        for query, data, code in (
            (ONE, failed, "SOURCE_REJECTED"),
            (WRONG, wrong, "BAD_USER_INPUT"),
        ):
            response = await gateway.answer_of(ask(query))
            body = orjson.loads(response.content)
            assert response.status_code == 200
            assert body["data"] == data
            assert [error["extensions"]["code"] for error in body["errors"]] == [code]


async def test_the_first_error_ends_an_operation_with_halt(ways: Ways) -> None:
    async with outage(ways=ways) as gateway:
        gateway.server.fail("billing", faults.status(401))
        gateway.server.fail("activity", hanging)
        started = gateway.clock.seconds
        query = (
            f'{{ a: user(id: "{user_id(1)}") {{ plan }}'
            f' b: user(id: "{user_id(2)}") {{ loginCount }} }}'
        )
        reply = await gateway.ask(query, onError="HALT")
        await gateway.check_nothing_is_left()

        assert reply.body.keys() == {"data", "errors"}
        assert reply.data is None
        assert reply.codes == {"a.plan": "SOURCE_REJECTED"}
        assert gateway.clock.seconds == started


@pytest.mark.parametrize("on_error", ["null", "ABORT", "HALT ", "0"])
async def test_an_unknown_value_of_on_error_is_refused_without_a_call(
    on_error: str, ways: Ways
) -> None:
    async with outage(ways=ways) as gateway:
        parameters = {"query": ONE, "onError": on_error}
        responses = [
            await gateway.client.post("/graphql", json=parameters),
            await gateway.client.get(
                "/graphql", params=parameters, headers={"GraphQL-Require-Preflight": "1"}
            ),
        ]

        for response in responses:
            assert response.status_code == 422
            body = orjson.loads(response.content)
            assert body.keys() == {"errors"}
            [error] = body["errors"]
            assert error["extensions"] == {"code": "BAD_REQUEST"}
            assert '"NULL", "PROPAGATE" or "HALT"' in error["message"]
        assert not gateway.server.requests


# Reports of requests and sources.


@pytest.mark.parametrize(
    ("trace", "header", "reported"),
    [
        ("always", None, True),
        ("always", "0", True),
        ("asked", "1", True),
        ("asked", None, False),
        ("asked", "0", False),
        ("never", "1", False),
        ("never", None, False),
    ],
)
async def test_the_trace_of_a_request_is_returned_when_requested_and_allowed(
    trace: str, header: str | None, *, reported: bool, ways: Ways
) -> None:
    async with outage(trace=trace, ways=ways) as gateway:
        gateway.server.fail("billing", faults.status(503, "3"))
        reply = await gateway.ask(
            ONE, headers={} if header is None else {"X-Gateway-Trace": header}
        )

        assert reply.codes == {"user.plan": "SOURCE_UNAVAILABLE"}
        if not reported:
            assert "extensions" not in reply.body
            assert "server-timing" not in reply.response.headers
            return
        failed = {"code": "SOURCE_UNAVAILABLE"}
        at_once = {"startMs": 0.0, "ms": 0.0}
        late = {"startMs": 3000.0, "ms": 0.0}
        profile = {"status": "ok", "calls": 1, "keys": 1, "attempts": 1, "circuit": "closed"}
        billing = {"status": "failed", "calls": 1, "keys": 1, "attempts": 2, "circuit": "closed"}
        attempt = {"kind": "attempt"}
        assert reply.body["extensions"] == {
            "request": {"ms": 3000.0, "deadlineMs": 5000.0},
            "sources": {
                "profile": profile
                | at_once
                | {"timeline": [{"keys": 1, **at_once, "steps": [attempt | at_once]}]},
                "billing": billing
                | failed
                | {"startMs": 0.0, "ms": 3000.0, "pace": "paused"}
                | {
                    "timeline": [
                        {
                            "keys": 1,
                            "startMs": 0.0,
                            "ms": 3000.0,
                            **failed,
                            "steps": [
                                attempt | at_once | failed,
                                {"kind": "pacing", "startMs": 0.0, "ms": 3000.0},
                                attempt | late | failed,
                            ],
                        }
                    ]
                },
            },
        }
        timing = "profile;dur=0.00, billing;dur=3000.00"
        assert reply.response.headers["server-timing"] == timing


async def test_the_source_states_have_the_last_status_of_each_source(ways: Ways) -> None:
    async with outage(ways=ways) as gateway:
        gateway.server.fail("billing", faults.status(503))
        now = gateway.clock.now()
        await gateway.ask(ONE)
        sources = source_states(gateway.app)

        assert sources["billing"]["lastStatus"] == 503
        assert sources["profile"]["lastStatus"] == 200
        assert sources["profile"]["lastReachedAt"] == f"{now:%Y-%m-%dT%H:%M:%SZ}"
        assert sources["activity"] == {
            "lastReachedAt": None,
            "lastStatus": None,
            "circuit": "closed",
            "pace": "free",
        }
