"""Memory stays bounded when all requests of a hostile client are different."""

import asyncio
import gc
import tracemalloc

import pytest

from app.settings.limits import MemorySettings
from tests.asgi import send
from tests.conftest import OpenGateway
from tests.fakes import FakeServices
from tests.variety import USERS, hostile, hostile_settings

pytestmark = pytest.mark.usefixtures("only_what_is_new")

BOUND = 100_000
"""Bytes for each of the three caches."""

ROUND = 70
"""Requests between two measurements."""


@pytest.mark.timeout(300)  # tracing of memory is slow
async def test_memory_stays_bounded_under_hostile_variety(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(*range(1, USERS + 1))
    settings = hostile_settings(MemorySettings(documents=BOUND, compiled=BOUND, persisted=BOUND))
    measured: list[int] = []
    async with open_gateway(settings) as gateway:
        tracemalloc.start()
        try:
            for first in range(0, 3 * ROUND, ROUND):
                for number in range(first, first + ROUND):
                    await send(gateway.app, hostile(number))
                await asyncio.sleep(0)
                gateway.forget()
                for service in services.by_name.values():
                    service.requests.clear()
                    service.batches.clear()
                gc.collect()
                measured.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()

    # The bounds of the caches, whose estimates are within a factor of two, and objects that are
    # made once. Without bounds each round keeps 3 MB.
    assert measured[-1] <= 2 * 3 * BOUND + 900_000
    assert measured[-1] - measured[0] <= 500_000
