"""A store that loses its log of invalidations: what a gateway has not read yet may be in it."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis

from app.observability import metric_list
from tests.fakes import FakeServices, profile_row, user_id
from tests.store.instances import Instance, cached_source, instance, settings_for, until
from tests.stores import PATIENCE, StoreServer, StoreWire, needs_store, running_store

LOG = "user-gateway:invalidations"

Lose = Callable[[StoreServer], Awaitable[object]]


async def flush(server: StoreServer) -> None:
    """Remove everything."""
    await server.command("FLUSHALL")


async def restart(server: StoreServer) -> None:
    """Start without data."""
    await server.stop()
    await server.start_again()


async def trim(server: StoreServer) -> None:
    """Keep the last entry, which is another one."""
    await server.command("XADD", LOG, "MAXLEN", "1", "*", "message", '{"users": ["3"]}')


async def returns(one: Instance, number: int, name: str) -> bool:
    """Return whether a gateway returns a name of a user."""
    return await one.names(number) == [name]


async def fetches(one: Instance, number: int) -> bool:
    """Return whether a gateway calls the source for a user that it has kept."""
    before = len(one.services.profile.batches)
    await one.names(number)
    return len(one.services.profile.batches) > before


async def stored_value(server: StoreServer, number: int) -> tuple[str, bytes]:
    """Wait until the store has an entry of a user; return its key and value."""
    while not (found := await server.keys(f"*:e:profile:*{user_id(number)}")):
        pass
    [key] = found
    return key, await server.get(key)


async def tells_others(server: StoreServer) -> bool:
    """Return whether a gateway has added that everything is outdated."""
    async with Redis(port=server.port, protocol=2) as client:
        library: Any = client  # its types leave open whether a command is awaited
        entries: list[tuple[bytes, dict[bytes, bytes]]] = await library.xrange(LOG)
    return any(b'"sources"' in fields[b"message"] for _, fields in entries)


def applied(one: Instance) -> float:
    """Count the invalidations that a gateway has applied."""
    [metric] = [
        metric
        for metric in one.telemetry.metrics.registry.snapshot().metrics
        if metric.info is metric_list.INVALIDATIONS
    ]
    return sum(point.value for point in metric.points)


async def has_applied_more(one: Instance, before: float) -> bool:
    """Return whether a gateway has applied invalidations, after a turn of the event loop."""
    await asyncio.sleep(0)
    return applied(one) > before


async def is_acknowledged(one: Instance, number: int) -> bool:
    """Invalidate a user; return whether it is done at all gateways."""
    return (await one.invalidate({"users": [user_id(number)]})).status_code == 200


@needs_store
@pytest.mark.parametrize("lose", [flush, restart, trim])
async def test_nothing_kept_is_used_after_the_log_has_lost_entries(lose: Lose) -> None:
    services = FakeServices()
    services.know(1, 2)
    async with running_store() as server, StoreWire(server.port).opened() as wire:
        settings = settings_for(server, cached_source(), timeout=0.05, local_ttl=60)
        behind = settings.store.model_copy(update={"url": f"redis://127.0.0.1:{wire.port}"})
        async with (
            asyncio.timeout(PATIENCE),
            instance(settings, services) as one,
            instance(settings.model_copy(update={"store": behind}), services) as other,
        ):
            assert await other.names(2) == ["User 2"]
            services.profile.rows[user_id(2)] = profile_row(2, displayName="New")
            await one.invalidate({"users": [user_id(2)]})
            await until(partial(returns, other, 2, "New"))  # so it has read the log

            await other.names(1)
            key, old = await stored_value(server, 1)
            wire.cut()
            await until(partial(fetches, other, 1))  # it does not know of invalidations now
            services.profile.rows[user_id(1)] = profile_row(1, displayName="New")
            response = await one.invalidate({"users": [user_id(1)]})
            assert response.status_code == 200
            await lose(server)
            wire.mend()

            before = applied(other)
            await until(partial(is_acknowledged, one, 2))
            await until(partial(has_applied_more, other, before))  # so it has read the new log

            assert await other.names(1) == ["New"]

            await until(partial(tells_others, server))
            async with instance(settings, services) as third:
                await until(partial(has_applied_more, third, 0))
                before = applied(third)
                await is_acknowledged(one, 3)
                await until(partial(has_applied_more, third, before))  # it follows the log
                await server.set(key, old)  # as by a call that was on its way
                assert await third.names(1) == ["New"]
