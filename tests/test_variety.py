"""A hostile client, no two of whose requests are alike, does not make the gateway grow."""

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
"""Bytes for each of the three kinds of what is kept."""

ROUND = 70
"""Requests between two looks."""


@pytest.mark.timeout(300)  # memory is traced, which takes its time
async def test_memory_stays_bounded_under_hostile_variety(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(*range(1, USERS + 1))
    settings = hostile_settings(MemorySettings(documents=BOUND, compiled=BOUND, persisted=BOUND))
    looks: list[int] = []
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
                looks.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()

    # What is kept, by estimates within a factor of two, and some more that is made once. Without
    # bounds each round keeps 3 MB.
    assert looks[-1] <= 2 * 3 * BOUND + 900_000
    assert looks[-1] - looks[0] <= 500_000
