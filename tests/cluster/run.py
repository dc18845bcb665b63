"""One run: gateways, proxy, store and sources, load on them, and all that happens to them."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import aiohttp

from app.resilience.clock import SystemClock
from tests import faults
from tests.chaos.clients import populate
from tests.chaos.times import SourceTimes
from tests.chaos.weather import PARTS, Weather
from tests.cluster.changing import ChangingUsers
from tests.cluster.clients import ClusterClient, SteadyReaders
from tests.cluster.journal import ClusterTally, Journal, watch_lag
from tests.cluster.machines import (
    ADMIN_PORT,
    ALLOWED,
    ENDED_WELL,
    PORT,
    TOKEN,
    ClusterGateway,
    running_nginx,
)
from tests.cluster.places import ClusterPlace, network_of
from tests.cluster.spenders import QUOTA, WINDOW, Spenders
from tests.cluster.trouble import ClusterTrouble
from tests.cluster.wires import running_wires
from tests.examples.serving import free_port
from tests.fault_server import FaultServer
from tests.stores import running_store

GATEWAYS = 3

SPENDERS = 3
"""How many callers at a time ask for more than their quota. Most of them cannot be judged."""

BUDGET = 3.0
"""Seconds that a gateway has for an answer."""

TIMES = SourceTimes(timeout=1.0, max_open=0.4)

WELL, BROKEN = (3.5, 9.0), (0.3, 2.0)
"""The least and the most seconds for which a source is well, and broken."""

STORE_TIMEOUT = 0.1
"""Seconds that a gateway waits for the store. All programs of the run share the cores of one
machine, so the default of 20 ms would often be over before a program has its turn."""

PATIENCE = 15.0
"""Seconds after which an answer counts as none: more than the proxy waits."""

OF_EACH_SOURCE: Final[Mapping[str, object]] = {
    **TIMES.settings,
    "CACHE__ENABLED": True,
    "CACHE__TTL": 3,
    "CACHE__STALE_WHILE_REVALIDATE": 3,
}
"""The settings of each source. The caches are kept for seconds, so that all ways are gone."""


@dataclass(frozen=True, slots=True)
class ClusterWish:
    """What a run does.

    Attributes:
        seconds: For how long.
        seed: Decides all that is random.
        readers: How many clients ask for users that never change.
        folder: Takes logs and files.
        with_store: Whether the gateways have the store. Without it the checks have to fail.
    """

    seconds: float
    seed: int
    readers: int
    folder: Path
    with_store: bool = True


def cluster_settings(
    place: ClusterPlace, sources: Mapping[str, str], store_port: int | None
) -> Mapping[str, object]:
    """Make the settings of one gateway, by the names of their variables.

    Args:
        place: Where it runs.
        sources: The addresses of the sources, by name.
        store_port: The port of its way to the store; ``None`` to have none.
    """
    of_sources = {
        f"GATEWAY_SOURCES__{name.upper()}__{setting}": value
        for name, address in sources.items()
        for setting, value in {"BASE_URL": address, **OF_EACH_SOURCE}.items()
    }
    of_store = {
        "GATEWAY_STORE__URL": f"redis://{place.store_host}:{store_port}",
        "GATEWAY_STORE__TIMEOUT": STORE_TIMEOUT,
    }
    return {
        "GATEWAY_HOST": place.address,
        "GATEWAY_PORT": PORT,
        "GATEWAY_HOSTS": f"127.0.0.1,{place.address}",
        "GATEWAY_AUTH__MODE": "none",
        "GATEWAY_ADMIN__HOST": place.address,
        "GATEWAY_ADMIN__PORT": ADMIN_PORT,
        "GATEWAY_ADMIN__TOKEN": TOKEN,
        "GATEWAY_DEADLINE__BUDGET": BUDGET,
        "GATEWAY_DRAIN__SECONDS": 1,
        "GATEWAY_LIMITS__RATE__QUOTA": QUOTA,
        "GATEWAY_LIMITS__RATE__WINDOW": WINDOW,
        "GATEWAY_LIMITS__RATE__TRUSTED_PROXIES": 2,  # nginx, and the one that clients pretend
        "GATEWAY_LOG__FORMAT": "json",
        **(of_store if store_port else {}),
        **of_sources,
    }


async def run_cluster(wish: ClusterWish, journal: Journal) -> ClusterTally:
    """Run gateways, and break and heal everything while clients ask.

    Args:
        wish: What the run does.
        journal: Says what happens.

    Returns:
        What was counted.
    """
    tally = ClusterTally()
    chance = Random(wish.seed)  # noqa: S311 # nothing secret: it has to be repeatable
    clock = SystemClock()
    faults.prepare()
    async with (
        network_of(GATEWAYS) as network,
        FaultServer(clock).listening(host=network.host) as server,
        running_store() as store,
        running_wires(store.port, network) as wires,
    ):
        populate(server)
        weather = Weather(server, clock)
        sources = {name: server.url(name) for name in PARTS}
        gateways = [
            ClusterGateway(
                place,
                cluster_settings(place, sources, port if wish.with_store else None),
                wish.folder,
            )
            for place, port in zip(network.places, wires.ports, strict=True)
        ]
        journal.note(f"{len(gateways)} gateways at {network.kind}, store {store.program}")
        async with AsyncExitStack() as stack:
            for gateway in gateways:
                stack.push_async_callback(gateway.stop)
            await asyncio.gather(*(gateway.start() for gateway in gateways))
            addresses = [one.place.address for one in gateways]
            proxy = await stack.enter_async_context(
                running_nginx(addresses, free_port(), wish.folder / "nginx")
            )
            patience = aiohttp.ClientTimeout(total=PATIENCE)
            session = await stack.enter_async_context(
                aiohttp.ClientSession(proxy, timeout=patience)
            )
            admin = await stack.enter_async_context(
                aiohttp.ClientSession(headers=ALLOWED, timeout=aiohttp.ClientTimeout(total=5))
            )
            client = ClusterClient(session, journal, tally)
            changing = ChangingUsers(
                client,
                server,
                weather,
                gateways=gateways,
                admin=admin,
                journal=journal,
                tally=tally,
                settled=TIMES.settled,
            )
            steady = SteadyReaders(
                client, server, weather, tally=tally, chance=chance, settled=TIMES.settled
            )
            spenders = Spenders(client, server, gateways, journal, tally)
            trouble = ClusterTrouble(gateways, store, wires, journal, tally)
            journal.note("the load begins")

            def own() -> Random:
                return Random(chance.random())  # noqa: S311 # the same

            await _for(
                wish.seconds,
                [
                    trouble.happen_on(own()),
                    *(weather.change(one, own(), well=WELL, broken=BROKEN) for one in PARTS),
                    *(steady.read_on(own()) for _ in range(wish.readers)),
                    *(changing.change_on(own()) for _ in range(2)),
                    *(changing.read_on(own()) for _ in range(max(1, wish.readers // 4))),
                    *(spenders.spend_on(own()) for _ in range(SPENDERS)),
                    watch_lag(tally, weather),
                ],
            )
            journal.note("the load ends")
            tally.storms = weather.storms
            ends = [one.terminate() for one in gateways if one.is_up]  # one may just be down
            codes = await asyncio.gather(*ends)
            tally.bad_ends += [f"at the end: {code}" for code in codes if code not in ENDED_WELL]
            for gateway in gateways:
                tally.tracebacks += gateway.tracebacks()
    return tally


async def _for(seconds: float, work: Sequence[Coroutine[object, object, None]]) -> None:
    """Do some work at the same time, and end it after a while."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in work]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
