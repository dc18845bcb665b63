"""What several processes bring, and what the store costs and saves: short, on loopback addresses.

All programs share the cores of this machine: the gateways, nginx, the sources, the store, and wrk,
which asks. So the throughput says how far these cores go; the CPU for a request says more.
"""

import asyncio
import re
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp
import click

from tests.cluster.machines import ADMIN_PORT, PORT, ClusterError, ClusterGateway, running_nginx
from tests.cluster.places import ClusterNetwork, loopback
from tests.cluster.run import STORE_TIMEOUT
from tests.examples.serving import free_port, program
from tests.stores import StoreServer, running_store

SCRIPT: Final = Path(__file__).with_name("questions.lua")
ROOT: Final = Path(__file__).parents[2]

USERS, SOURCES = 10, 3
"""How many users a request asks for, and how many sources each needs."""

CONNECTIONS = 12
WARM_UP = 2
TTL = 5
"""Seconds for which records are fresh: some are fetched again during each measurement."""


@dataclass(frozen=True, slots=True)
class ClusterFigure:
    """What was measured of some gateways.

    Attributes:
        rate: Requests per second.
        failed: Requests without an answer, or with another status than 200.
        p99: Milliseconds within which 99 of 100 were answered.
        cpu: Milliseconds of CPU of the gateways for a request.
        fetched: The share of the keys for which a source was asked.
        store_commands: Commands to the store for a request; what scripts call there is not counted.
        store_bytes: Bytes to and from the store for a request.
        store_cpu: Milliseconds of CPU of the store for a request.
    """

    rate: float
    failed: int
    p99: float
    cpu: float
    fetched: float
    store_commands: float
    store_bytes: float
    store_cpu: float

    @property
    def row(self) -> str:
        """The figures, as cells of a table."""
        return " | ".join(
            (
                f"{self.rate:,.0f}",
                f"{self.p99:,.0f}",
                f"{self.cpu:.2f}",
                f"{100 - 100 * self.fetched:.1f} %",
                f"{self.store_commands:.2f}",
                f"{self.store_bytes:,.0f}",
                f"{self.store_cpu:.3f}",
                f"{self.failed}",
            )
        )


HEAD: Final = (
    "| gateways | requests/s | p99 ms | CPU ms for a request | keys without a call"
    " | store: commands, | bytes, | CPU ms for a request | failed |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)


async def measure_cluster(seconds: int, pairs: int, say: Callable[[str], None]) -> None:
    """Measure, and say what was found.

    Args:
        seconds: How long each measurement takes.
        pairs: How often the gateways with the store are compared with those without it.
        say: Shows a line.
    """
    network = loopback(3)
    with TemporaryDirectory() as home, _demo_sources(network, Path(home)) as sources:
        async with running_store() as store:

            async def measured(count: int, *, with_store: bool) -> ClusterFigure:
                async with _cluster(network, count, sources, store if with_store else None) as one:
                    return await one.measure(seconds)

            say(HEAD)
            for count in (1, 2, 3):
                figure = await measured(count, with_store=True)
                say(f"| {count}, with the store | {figure.row} |")
            ratios: list[float] = []
            for number in range(1, pairs + 1):
                # In turn, so that a machine that becomes slower does not favour one of them.
                order = (True, False) if number % 2 else (False, True)
                found = {way: await measured(3, with_store=way) for way in order}
                say(f"| pair {number}: 3, with the store | {found[True].row} |")
                say(f"| pair {number}: 3, without it | {found[False].row} |")
                ratios.append(found[True].cpu / found[False].cpu)
            if ratios:
                say(f"CPU for a request, with the store / without it: {median(ratios):.2f}")


@dataclass(frozen=True, slots=True)
class _Cluster:
    """Gateways behind a proxy, and perhaps a store."""

    url: str
    gateways: Sequence[ClusterGateway]
    store: StoreServer | None

    async def measure(self, seconds: int) -> ClusterFigure:
        """Warm the gateways up, and measure them."""
        await _load(self.url, WARM_UP, seed=1)
        before = await self._counts()
        requests, duration, failed, p99 = await _load(self.url, seconds, seed=2)
        cpu, fetched, commands, size, store_cpu = (
            after - was for after, was in zip(await self._counts(), before, strict=True)
        )
        return ClusterFigure(
            rate=requests / duration,
            failed=int(failed),
            p99=p99,
            cpu=1000 * cpu / requests,
            fetched=fetched / (requests * USERS * SOURCES),
            store_commands=commands / requests,
            store_bytes=size / requests,
            store_cpu=1000 * store_cpu / requests,
        )

    async def _counts(self) -> Sequence[float]:
        """Read the CPU time, the keys asked of sources, and what the store has done."""
        fetched = 0.0
        async with aiohttp.ClientSession() as session:
            for gateway in self.gateways:
                async with session.get(f"{gateway.admin_url}/metrics") as response:
                    text = await response.text()
                fetched += _total(r"^gateway_source_results_total\{.*\} (\S+)", text)
        cpu = sum(one.cpu_seconds for one in self.gateways)
        if self.store is None:
            return cpu, fetched, 0.0, 0.0, 0.0
        calls = await self.store.info("INFO", "commandstats")
        said = await self.store.info("INFO", "everything")
        return (
            cpu,
            fetched,
            _total(r"'cmdstat_(?!time|get|set)\w+': \{'calls': (\d+)", calls),
            _total(r"'total_net_(?:in|out)put_bytes': (\d+)", said),
            _total(r"'used_cpu_(?:sys|user)': ([\d.]+)", said),
        )


@asynccontextmanager
async def _cluster(
    network: ClusterNetwork, count: int, sources: Mapping[str, str], store: StoreServer | None
) -> AsyncGenerator[_Cluster]:
    """Run gateways behind a proxy; a store is empty at first."""
    if store is not None:
        await store.command("FLUSHALL")
    of_sources = {
        f"GATEWAY_SOURCES__{name}__{setting}": value
        for name, address in sources.items()
        for setting, value in {
            "BASE_URL": address,
            "CACHE__ENABLED": True,
            "CACHE__TTL": TTL,
        }.items()
    }
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        gateways: list[ClusterGateway] = []
        for place in network.places[:count]:
            settings = {
                "GATEWAY_HOST": place.address,
                "GATEWAY_PORT": PORT,
                "GATEWAY_AUTH__MODE": "none",
                "GATEWAY_ADMIN__HOST": place.address,
                "GATEWAY_ADMIN__PORT": ADMIN_PORT,
                "GATEWAY_LIMITS__RATE__QUOTA": 1_000_000_000,  # counted, and never used up
                **({} if store is None else _of_store(store)),
                **of_sources,
            }
            gateways.append(ClusterGateway(place, settings, folder))
            stack.push_async_callback(gateways[-1].stop)
        await asyncio.gather(*(one.start() for one in gateways))
        addresses = [one.place.address for one in gateways]
        nginx = running_nginx(addresses, free_port(), folder / "nginx")
        yield _Cluster(await stack.enter_async_context(nginx), gateways, store)


def _of_store(store: StoreServer) -> Mapping[str, object]:
    """Make the settings that use a store."""
    return {"GATEWAY_STORE__URL": store.url, "GATEWAY_STORE__TIMEOUT": STORE_TIMEOUT}


@contextmanager
def _demo_sources(network: ClusterNetwork, home: Path) -> Generator[Mapping[str, str]]:
    """Run the demo's three services."""
    ports = [free_port() for _ in range(SOURCES)]
    command = (sys.executable, "-m", "app", "demo", "--sources-only", "--host", network.host)
    listed = ("--ports", ",".join(map(str, ports)))
    with program(
        (*command, *listed),
        ready="The three services run",
        folder=home,
        environment={"PYTHONPATH": str(ROOT)},
    ):
        names = ("PROFILE", "BILLING", "ACTIVITY")
        yield {
            name: f"http://{network.host}:{port}" for name, port in zip(names, ports, strict=True)
        }


def _total(pattern: str, text: str) -> float:
    """Add up all numbers that a pattern finds."""
    return sum(map(float, re.findall(pattern, text, re.MULTILINE)))


async def _load(url: str, seconds: int, *, seed: int) -> tuple[float, float, float, float]:
    """Ask by wrk; return the requests, the seconds, how many failed, and the p99 in ms."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise ClusterError("there is no wrk on the PATH: it is in Debian's wrk")
    process = await asyncio.create_subprocess_exec(
        *(wrk, "--threads", "1", "--connections", str(CONNECTIONS)),
        *("--duration", f"{seconds}s", "--timeout", "10s", "--script", str(SCRIPT), url),
        *("--", str(seed), str(USERS)),
        stdout=PIPE,
    )
    said, _ = await process.communicate()
    requests, duration, failed, p99 = said.decode().splitlines()[-1].split()
    return float(requests), float(duration), float(failed), float(p99)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seconds", type=click.IntRange(2, 60), default=8, show_default=True)
@click.option("--pairs", type=click.IntRange(0, 20), default=3, show_default=True)
def main(seconds: int, pairs: int) -> None:
    """Measure one, two and three gateways, and three with the store and without it."""
    asyncio.run(measure_cluster(seconds, pairs, click.echo))


if __name__ == "__main__":
    main()
