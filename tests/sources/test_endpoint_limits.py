"""Limits of one endpoint: its timeout, the users in a call, the calls at the same time."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from app.settings.models import Settings
from app.settings.resilience import CoalesceSettings
from tests.clock import ManualClock
from tests.conftest import OpenGateway
from tests.fakes import FakeServices, user_id
from tests.partial import BALANCE, SUBSCRIPTION, DividedBilling, settings_with
from tests.ways import BOTH, Ways

IDS = [user_id(number) for number in range(1, 7)]
BOTH_ENDPOINTS = f"{{ users(ids: {IDS}) {{ plan balance {{ amount }} }} }}".replace("'", '"')


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Return both ways in which the gateway works."""
    way: Ways = request.param
    return way


@pytest.fixture(autouse=True)
def billing(services: FakeServices) -> DividedBilling:
    """Return a billing service of two endpoints that knows the users."""
    services.billing = DividedBilling("")
    services.know(*range(1, 7))
    return services.billing


def limited(limits: Mapping[str, Any], **source: Any) -> Settings:  # noqa: ANN401 # any setting
    """Make settings with limits for the endpoint of balances."""
    endpoints = {"subscription": SUBSCRIPTION, "balance": {**BALANCE, **limits}}
    return settings_with({"billing": {"endpoints": endpoints, **source}})


class Waiting:
    """Delays calls, and counts those that run at the same time.

    Attributes:
        most: How many calls ran at the same time, by path.
    """

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self.most: Counter[str] = Counter()
        self._clock = clock
        self._seconds = seconds
        self._running: Counter[str] = Counter()

    async def __call__(self, request: httpx.Request) -> None:
        """Wait before a request is answered."""
        path = request.url.path
        self._running[path] += 1
        self.most[path] = max(self.most[path], self._running[path])
        try:
            await self._clock.sleep(self._seconds)
        finally:
            self._running[path] -= 1


async def test_an_endpoint_may_have_fewer_keys_in_a_call_than_its_source(
    open_gateway: OpenGateway, billing: DividedBilling
) -> None:
    async with open_gateway(limited({"max_keys": 4}, max_keys=5)) as gateway:
        reply = await gateway.query(BOTH_ENDPOINTS)

    assert not reply.errors
    assert billing.asked == {
        "/subscriptions": [IDS[:5], IDS[5:]],
        "/balances": [IDS[:4], IDS[4:]],
    }


async def test_an_endpoint_may_have_more_keys_in_a_call_than_its_source(
    open_gateway: OpenGateway, billing: DividedBilling
) -> None:
    async with open_gateway(limited({"max_keys": 6}, max_keys=3)) as gateway:
        await gateway.query(BOTH_ENDPOINTS)

    assert billing.asked == {"/subscriptions": [IDS[:3], IDS[3:]], "/balances": [IDS]}


async def test_an_endpoint_may_have_a_shorter_timeout_than_its_source(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock
) -> None:
    services.before = Waiting(clock, 0.5)

    async with open_gateway(limited({"timeout": 0.25}, timeout=2.0)) as gateway:
        began = clock.monotonic()
        reply = await clock.run(gateway.query(BOTH_ENDPOINTS))

    assert clock.monotonic() - began == 0.5
    assert [user["plan"] for user in reply.data["users"]] == ["pro"] * 6
    assert set(reply.codes.values()) == {"SOURCE_TIMEOUT"}
    assert set(reply.codes) == {f"users.{number}.balance" for number in range(6)}


async def test_an_endpoint_may_have_a_longer_timeout_than_its_source(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock
) -> None:
    services.before = Waiting(clock, 0.5)

    async with open_gateway(limited({"timeout": 1.0}, timeout=0.25)) as gateway:
        reply = await clock.run(gateway.query(BOTH_ENDPOINTS))

    assert set(reply.codes) == {f"users.{number}.plan" for number in range(6)}


async def test_the_limit_of_calls_of_an_endpoint_counts_the_calls_of_all_requests(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock
) -> None:
    services.before = waiting = Waiting(clock, 0.1)
    settings = limited(
        {"max_calls": 2}, max_keys=1, coalesce=CoalesceSettings(enabled=False), max_calls=32
    )

    async with open_gateway(settings) as gateway:
        replies = await clock.run(
            asyncio.gather(*[gateway.query(BOTH_ENDPOINTS) for _ in range(3)])
        )

    assert not any(reply.errors for reply in replies)
    assert waiting.most["/balances"] == 2
    assert waiting.most["/subscriptions"] == 18


async def test_calls_that_wait_for_an_endpoint_do_not_block_other_endpoints(
    open_gateway: OpenGateway, services: FakeServices, billing: DividedBilling, clock: ManualClock
) -> None:
    services.before = Waiting(clock, 0.1)
    settings = limited({"max_calls": 1}, max_keys=1, max_calls=2, max_waiting_calls=100)

    async with open_gateway(settings) as gateway:
        balances = asyncio.create_task(gateway.query(BOTH_ENDPOINTS.replace("plan", "")))
        await clock.settle()
        began = clock.monotonic()
        plan = await clock.run(gateway.query(f'{{ user(id: "{IDS[0]}") {{ plan }} }}'))
        took = clock.monotonic() - began
        await clock.run(balances)

    assert plan.data == {"user": {"plan": "pro"}}
    assert took == pytest.approx(0.1)
    assert billing.asked["/balances"] == [[key] for key in IDS]


async def test_an_endpoint_with_the_limit_of_its_source_keeps_the_order_of_calls(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock
) -> None:
    services.before = Waiting(clock, 0.1)
    limits = {"max_calls": 1}
    settings = limited(limits, max_keys=1, max_calls=1, coalesce=CoalesceSettings(enabled=False))
    ends: list[str] = []

    async with open_gateway(settings) as gateway:

        async def ask(field: str) -> None:
            await gateway.query(f'{{ user(id: "{IDS[0]}") {{ {field} }} }}')
            ends.append(field)

        asked: list[asyncio.Task[None]] = []
        for field in ("balance { amount }", "balance { currency }", "plan"):
            asked.append(asyncio.create_task(ask(field)))
            await clock.settle()
        await clock.run(asyncio.gather(*asked))

    assert ends == ["balance { amount }", "balance { currency }", "plan"]


async def test_too_many_waiting_calls_of_an_endpoint_fail_only_its_fields(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock
) -> None:
    services.before = Waiting(clock, 0.1)
    settings = limited(
        {"max_calls": 1}, max_waiting_calls=0, coalesce=CoalesceSettings(enabled=False)
    )

    async with open_gateway(settings) as gateway:
        replies = await clock.run(
            asyncio.gather(*(gateway.query(BOTH_ENDPOINTS) for _ in range(2)))
        )

    first, second = replies
    assert not first.errors
    assert set(second.codes.values()) == {"SOURCE_OVERLOADED"}
    assert set(second.codes) == {f"users.{number}.balance" for number in range(6)}


async def test_a_limit_above_that_of_the_source_has_no_effect(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock
) -> None:
    services.before = waiting = Waiting(clock, 0.1)

    async with open_gateway(limited({"max_calls": 9}, max_keys=1, max_calls=3)) as gateway:
        reply = await clock.run(gateway.query(BOTH_ENDPOINTS))

    assert not reply.errors
    assert max(waiting.most.values()) == 3
