"""The quota of a caller counts for all gateways together, or for each without a store."""

import asyncio
from collections.abc import Sequence

import httpx
import hypothesis
import pytest
from hypothesis import strategies as st

from app.server.token_buckets import MemoryBuckets, state_of
from app.settings.limits import LimitsSettings, RateSettings
from app.settings.models import Settings
from tests.fakes import FakeServices, settings_for_fakes, user_id
from tests.store.instances import NAMES, Instance, instance, instances, until
from tests.stores import PATIENCE, StoreServer, needs_store, running_store

DAY = 86_400
DOCUMENT = len(NAMES) // 4
"""The cost of the preparation of the document, once at each gateway."""


def settings_of(server: StoreServer, quota: int, *, window: int = DAY, **store: object) -> Settings:
    """Make the settings of a gateway with a quota."""
    limits = LimitsSettings(rate=RateSettings(quota=quota, window=window))
    return settings_for_fakes(limits=limits).model_copy(update={"store": server.settings(**store)})


async def ask(one: Instance, cost: int = 1) -> httpx.Response:
    """Send a query of this cost."""
    body = {"query": NAMES, "variables": {"ids": [user_id(1)] * cost}}
    return await one.client.client.post("/graphql", json=body)


async def statuses(*several: Instance) -> Sequence[int]:
    """Query gateways, one after the other, and return the statuses."""
    return [(await ask(one)).status_code for one in several]


@needs_store
async def test_all_gateways_share_one_quota() -> None:
    async with (
        running_store() as server,
        instances(2, settings_of(server, 2 * DOCUMENT + 3), FakeServices()) as (one, other),
    ):
        assert await statuses(one, other, one, other, one) == [200, 200, 200, 429, 429]
        refused = await ask(one)
        assert refused.headers["ratelimit"].startswith('"cost";r=0;t=')
        assert int(refused.headers["retry-after"]) > 0


@needs_store
async def test_each_gateway_counts_alone_while_the_store_fails() -> None:
    async with (
        running_store() as server,
        instances(2, settings_of(server, DOCUMENT + 1), FakeServices()) as (one, other),
    ):
        await server.stop()

        assert await statuses(one, other, one, other) == [200, 200, 429, 429]


@needs_store
async def test_a_gateway_whose_store_fails_begins_with_what_it_has_read_of_a_caller() -> None:
    async with (
        running_store() as server,
        instances(2, settings_of(server, 2 * DOCUMENT + 3), FakeServices()) as (one, other),
    ):
        assert await statuses(one, other, one) == [200, 200, 200]  # nothing is left
        await server.stop()

        assert await statuses(one, other, other) == [429, 200, 429]  # the other has read of one


@needs_store
async def test_concurrent_requests_use_no_more_than_the_quota() -> None:
    async with (
        running_store() as server,
        instances(3, settings_of(server, 3 * DOCUMENT + 23), FakeServices()) as several,
    ):
        assert await statuses(*several) == [200] * 3  # each has prepared the document
        async with asyncio.TaskGroup() as group:
            requests = [group.create_task(ask(one)) for _ in range(20) for one in several]
        found = [one.result().status_code for one in requests]

        assert found.count(200) == 20


@needs_store
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"nonsense", 200),
        (b"", 200),
        (b"nan", 200),
        (b"-1e300", 200),
        (b"99999999999999999", 429),
        (b"1e300", 429),
    ],
)
async def test_an_invalid_bucket_limits_a_caller_for_the_window_at_most(
    value: bytes, expected: int
) -> None:
    async with (
        running_store() as server,
        instance(settings_of(server, 2 * DOCUMENT)) as one,
    ):
        await ask(one)
        [key] = await server.keys("*:rate:*")
        await server.set(key, value)
        response = await ask(one)

        assert response.status_code == expected
        assert int(response.headers.get("retry-after", 0)) <= DAY + 1


@needs_store
async def test_a_bucket_from_the_future_is_full_again_after_the_window() -> None:
    async with (
        running_store() as server,
        instance(settings_of(server, 2 * DOCUMENT, window=1)) as one,
    ):
        await ask(one)
        [key] = await server.keys("*:rate:*")
        await server.set(key, b"99999999999999999")

        async def is_served() -> bool:
            return (await ask(one)).status_code == 200

        async with asyncio.timeout(PATIENCE):
            await until(is_served)


@needs_store
async def test_a_bucket_of_another_redis_type_is_counted_in_memory() -> None:
    async with running_store() as server, instance(settings_of(server, DOCUMENT + 2)) as one:
        await ask(one)
        [key] = await server.keys("*:rate:*")
        await server.command("DEL", key)
        await server.command("LPUSH", key, "x")

        # The bucket in memory is as it was read from the store: it holds one.
        assert await statuses(one, one) == [200, 429]


@needs_store
async def test_limits_are_not_shared_when_the_setting_is_off() -> None:
    async with (
        running_store() as server,
        instance(settings_of(server, DOCUMENT + 1, rate_limits=False)) as one,
        instance(settings_of(server, DOCUMENT + 1, rate_limits=False)) as other,
    ):
        assert await statuses(one, other, one, other) == [200, 200, 429, 429]


COSTS = st.lists(st.tuples(st.floats(0, 20), st.integers(1, 10)), max_size=30)


@hypothesis.given(steps=COSTS)
@hypothesis.example(  # an empty bucket, by times whose sums are rounded
    [
        *((1.0455209904266285, 1), (7.167145537336758, 1), (1.0369869456373504, 1)),
        *((1.2567443272316394, 1), (4.6337761257958405, 10), (0.0, 1)),
    ]
)
def test_a_caller_gets_at_most_a_full_bucket_and_its_refill(
    steps: Sequence[tuple[float, int]],
) -> None:
    now, granted = 0.0, 0.0
    buckets = MemoryBuckets(RateSettings(quota=10, window=20), lambda: now)
    for passed, cost in steps:
        now += passed
        state = buckets.take("a", cost)
        granted += 0 if state.limited else cost
        assert granted <= 10 + now * 10 / 20 + 1e-6
        assert 0 <= state.remaining <= 10
        assert 0 <= state.reset_after <= 20
        if state.limited:
            # A call after that time is not limited.
            after = state_of(state.reset_after - state.retry_after, cost, quota=10, window=20)
            assert not after.limited or abs(after.retry_after) < 1e-6
