"""What results of the shared store cost: ``python -m benchmarks.stored``.

Everything is measured as CPU of the process of the gateway, in turns with the same from sources
that answer at once. First the load step alone: batches of 50 users, one after the other. The store
has all of them. They are either in the memory of the gateway, too, so that the store confirms them,
or only in the store. Then whole requests by ``wrk``, to two gateways. Results are used from memory
for a millisecond only, so that nearly all of them come from the store.
"""

import argparse
import asyncio
import io
import random
import shutil
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import uvloop

from app.execution.open_sources import SourceOpener
from app.fastpath.wire import wire_transport
from app.main import read_methods, store_commands_of
from app.observability.logs import make_log
from app.observability.telemetry import GatewayMetrics, Telemetry
from app.resilience.clock import SystemClock
from app.resilience.shared_parts import SharedParts
from app.schema.default import DEFAULT_SCHEMA
from app.server.collector import tune_collector
from app.settings.models import Settings
from app.sources.base import Record, RequestContext, UserId
from app.sources.batch import BatchedSource, wait_for_fetches
from app.sources.cache.feed import InvalidationFeed
from app.sources.cache.invalidation import Invalidations
from app.store.redis_client import connect
from app.store.shared import SharedStore
from benchmarks.client import is_taken
from benchmarks.console import say
from benchmarks.errors import BenchmarkError
from benchmarks.load import Load
from benchmarks.measure import measure
from benchmarks.ours import ours
from benchmarks.peer import Command
from benchmarks.places import WORK
from benchmarks.processes import running
from benchmarks.stage import Stage, StageOptions, open_stage
from benchmarks.summary import spread
from benchmarks.tools import find_tools
from benchmarks.users import USERS, user_id
from benchmarks.workloads import SOURCES, W3, W4, UpstreamDoor

AT_ONCE: Final = 50
TTL: Final = 300
LOCAL_TTL: Final = 0.004
"""Seconds. A pass over all users takes longer, so that each is asked for again at the store."""

STORE_PORT: Final = 90
"""Above the base of the ports."""

PATIENCE: Final = 10.0

MOSTLY: Final = 0.97
"""The share of the keys that has to come from the store."""


@dataclass(frozen=True, slots=True)
class OpenedSources:
    """The sources of a gateway.

    Attributes:
        sources: The sources, by name.
        telemetry: What they measure.
    """

    sources: Mapping[str, BatchedSource[Record]]
    telemetry: Telemetry

    def found(self) -> float:
        """Count the keys that were found in the store."""
        points = self.telemetry.metrics.store_lookups.points()
        return sum(one.value for one in points if one.attributes[-1] == "hit")


def main() -> None:
    """Read the options, and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stored", description=__doc__)
    parser.add_argument("--port-base", type=int, default=9400, help="%(default)s")
    parser.add_argument("--rounds", type=int, default=20, help="%(default)s")
    parser.add_argument("--seconds", type=int, default=3, help="of whole requests; %(default)s")
    options = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    with (
        running_store(options.port_base + STORE_PORT) as store,
        open_stage(find_tools(), StageOptions(port_base=options.port_base)) as stage,
    ):
        source = stage.upstream.url(UpstreamDoor.FAST)
        uvloop.run(measure_batches(source, store, options.rounds))
        measure_requests(stage, store, max(3, options.rounds // 4), options.seconds)


@contextmanager
def running_store(port: int) -> Generator[str]:
    """Run a Redis or Valkey without data, and return its address.

    Raises:
        BenchmarkError: There is none, or it does not start.
    """
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None or is_taken(port):
        raise BenchmarkError(f"there is no redis-server, or port {port} is taken")
    arguments = ("--port", str(port), "--bind", "127.0.0.1", "--save", "")
    with running("store", Command((program, *arguments), WORK, {}), WORK / "logs") as process:
        end = time.monotonic() + PATIENCE
        while not is_taken(port):
            if process.has_ended or time.monotonic() > end:
                raise BenchmarkError(f"the store did not start: see {process.log}")
            time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}"


@asynccontextmanager
async def opened(source: str, store: str | None) -> AsyncGenerator[OpenedSources]:
    """Open the sources as the gateway does, with a cache if there is a store."""
    cache = {"enabled": store is not None, "ttl": TTL}
    settings = Settings.model_validate(
        {
            "sources": {
                name: {"base_url": f"{source}/{name}", "timeout": 10, "cache": cache}
                for name in SOURCES
            },
            "auth": {"mode": "none"},
            "store": {"url": store, "local_ttl": LOCAL_TTL, "timeout": 1.0} if store else {},
        }
    )
    clock, log = SystemClock(), make_log(settings.log, stream=io.StringIO())
    telemetry, invalidations = Telemetry(GatewayMetrics()), Invalidations(clock)
    opener = partial(
        SourceOpener,
        settings,
        fold_case=False,
        transports=wire_transport,
        methods=read_methods(settings),
        observer=None,
        clock=clock,
        chance=random.random,
        log=log,
        telemetry=telemetry,
        shared=SharedParts(),
        invalidations=invalidations,
    )
    if store is None:
        async with opener().opened(DEFAULT_SCHEMA) as found:
            yield OpenedSources(found.sources.users, telemetry)
        return
    async with (
        SharedStore(
            partial(connect, commands=store_commands_of(settings)),
            settings.store,
            clock=clock,
            chance=random.random,
            log=log,
            metrics=telemetry.metrics,
        ) as shared,
        InvalidationFeed(shared, invalidations, sources=SOURCES, horizon=TTL, clock=clock, log=log),
        opener(store=shared).opened(DEFAULT_SCHEMA) as found,
    ):
        while invalidations.doubtful_before():  # noqa: ASYNC110 # nothing says when it has begun
            await asyncio.sleep(0.01)  # until it follows the invalidations
        # Opening a connection costs as much as several batches, and happens once.
        await shared.run("get", lambda client: client.get_many(["a key that is not there"]))
        yield OpenedSources(found.sources.users, telemetry)


async def load(opened: OpenedSources, names: Sequence[str], users: Sequence[UserId]) -> float:
    """Load all users in batches; return the microseconds of CPU of a batch."""
    sources = opened.sources
    batches = [users[start : start + AT_ONCE] for start in range(0, len(users), AT_ONCE)]
    began = time.process_time()
    for keys in batches:
        context = RequestContext("benchmark")
        fetches = [sources[name].enqueue(keys, context) for name in names]
        await wait_for_fetches(fetches)
        for one in fetches:
            one.collect()
    return (time.process_time() - began) * 1e6 / len(batches)


async def measure_batches(source: str, store: str, rounds: int) -> None:
    """Measure batches from the store, and the same from the sources."""
    users = [UserId(user_id(number)) for number in range(1, USERS + 1)]
    async with opened(source, None) as plain, opened(source, store) as known:
        tune_collector()
        await load(known, SOURCES, users)
        await asyncio.sleep(0.1)  # writes wait for others
        say("a batch of 50, microseconds of CPU: from the source, from the store, ratio (range)")
        for names in (*((name,) for name in SOURCES), SOURCES):
            asked = ", ".join(names)
            found: dict[str, list[float]] = {}
            for number in range(rounds):
                random.shuffle(users)
                async with opened(source, store) as new:
                    ways = {"source": plain, "confirmed": known, "new": new}
                    for way in [*ways][:: -1 if number % 2 else 1]:
                        before = ways[way].found()
                        found.setdefault(way, []).append(await load(ways[way], names, users))
                        share = (ways[way].found() - before) / (len(users) * len(names))
                        if way != "source" and share < MOSTLY:
                            raise BenchmarkError(f"only {share:.0%} came from the store")
            for way in "confirmed", "new":
                ratios = [one / of for one, of in zip(found[way], found["source"], strict=True)]
                one, of, ratio = spread(found[way]), spread(found["source"]), spread(ratios)
                say(
                    f"  {asked}, {way}: {of.median:.0f}, {one.median:.0f}, {ratio.median:.2f}"
                    f" ({ratio.low:.2f} to {ratio.high:.2f})"
                )


def measure_requests(stage: Stage, store: str, rounds: int, seconds: int) -> None:
    """Measure whole requests to a gateway with the store, and to one without it."""
    with_store = {
        "GATEWAY_SOURCE_DEFAULTS__CACHE__ENABLED": "true",
        "GATEWAY_SOURCE_DEFAULTS__CACHE__TTL": str(TTL),
        "GATEWAY_STORE__URL": store,
        "GATEWAY_STORE__LOCAL_TTL": "0.001",
        "GATEWAY_STORE__TIMEOUT": "1",
    }
    pair = [
        stage.put_up(ours("sources")),
        stage.put_up(ours("store", settings=with_store)),
    ]
    say("a whole request, milliseconds of CPU: from the sources, from the store, ratio (range)")
    for workload in W4, W3:
        for connections in 1, 32:
            found: dict[str, list[float]] = {"sources": [], "store": []}
            for number in range(rounds):
                for standing in pair[:: -1 if number % 2 else 1]:
                    sample = measure(
                        stage,
                        standing,
                        workload,
                        Load(connections, seconds),
                        warmup=0 if number else 1,
                        round_number=number,
                    )
                    found[standing.peer.name].append(sample.cpu_ms)
            ratios = [a / b for a, b in zip(found["store"], found["sources"], strict=True)]
            one, of, ratio = spread(found["store"]), spread(found["sources"]), spread(ratios)
            say(
                f"  {workload.title}, {connections} connections: {of.median:.2f},"
                f" {one.median:.2f}, {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
            )


if __name__ == "__main__":
    main()
