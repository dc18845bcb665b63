"""Load on a real gateway while its sources break and heal at random: what becomes of the answers.

``python -m tests.chaos`` runs it for a minute and prints a table. It exits with 1 when an answer
was wrong or did not come, when a source that was well could not be read, or the gateway broke.
Everything is on 127.0.0.1; the same seed gives the same faults and the same questions.
"""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import IO

import aiohttp
import click

from app.resilience.clock import SystemClock
from tests import faults
from tests.chaos.clients import ChaosClient, populate
from tests.chaos.gateway import running_gateway
from tests.chaos.tally import Tally, table
from tests.chaos.times import SourceTimes
from tests.chaos.weather import PARTS, Weather
from tests.fault_server import FaultServer

BUDGET = 1.5
"""Seconds that the gateway has for an answer."""

TIMES = SourceTimes(timeout=0.5, max_open=0.4)

WELL, BROKEN = (2.5, 5.0), (0.3, 2.5)
"""The least and the most seconds for which a source is well, and broken."""

PATIENCE = 10.0
"""Seconds after which an answer counts as none."""


def settings(server: FaultServer) -> Mapping[str, object]:
    """Make the settings of the gateway, by the names of their variables."""
    return {
        "GATEWAY_AUTH__MODE": "none",
        "GATEWAY_DEADLINE__BUDGET": BUDGET,
        "GATEWAY_LOG__LEVEL": "warning",
        "GATEWAY_LIMITS__RATE__ENABLED": False,  # all clients have the same address
        **{f"GATEWAY_SOURCES__{name.upper()}__BASE_URL": server.url(name) for name in PARTS},
        **{
            f"GATEWAY_SOURCES__{name.upper()}__{setting}": value
            for name in PARTS
            for setting, value in TIMES.settings.items()
        },
    }


async def run(seconds: float, chance: Random, connections: int, log: IO[bytes]) -> Tally:
    """Run the chaos.

    Args:
        seconds: For how long.
        chance: Decides all that is random here.
        connections: How many clients ask at the same time.
        log: Takes what the gateway says.

    Returns:
        What was counted.
    """
    tally = Tally()
    clock = SystemClock()
    faults.prepare()
    async with FaultServer(clock).listening() as server:
        populate(server)
        weather = Weather(server, clock)
        patience = aiohttp.ClientTimeout(total=PATIENCE)
        with TemporaryDirectory() as folder:
            async with (
                running_gateway(settings(server), log, folder) as gateway,
                aiohttp.ClientSession(gateway.url, timeout=patience) as session,
            ):
                client = ChaosClient(session, server, weather, tally, settled=TIMES.settled)
                # Each has a chance of its own: what came of one for all would hang on who is first.
                own = [Random(chance.random()) for _ in range(connections)]  # noqa: S311 # no secret
                fates = {source: Random(chance.random()) for source in PARTS}  # noqa: S311 # the same
                async with asyncio.TaskGroup() as group:
                    asking = [group.create_task(client.ask_on(one)) for one in own]
                    aside = [
                        group.create_task(weather.change(source, fate, well=WELL, broken=BROKEN))
                        for source, fate in fates.items()
                    ]
                    aside.append(group.create_task(watch_own_lag(tally)))
                    await asyncio.wait(asking, timeout=seconds)
                    client.stop()
                    await asyncio.wait(asking)
                    for task in aside:
                        task.cancel()
                tally.memory = gateway.memory
        tally.exit_code = gateway.process.returncode
        tally.upstream = len(server.requests)
        tally.storms = weather.storms
    return tally


async def watch_own_lag(tally: Tally) -> None:
    """Measure how late this process itself is: no answer can seem faster than that."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.02
        await asyncio.sleep(0.02)
        tally.lag = max(tally.lag, loop.time() - due)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seconds", type=click.FloatRange(1, 3600), default=60, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--connections", type=click.IntRange(1, 256), default=16, show_default=True)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for what the gateway says; thrown away when absent.",
)
def main(seconds: float, seed: int, connections: int, log: Path | None) -> None:
    """Put load on a gateway while its sources break and heal at random."""
    with TemporaryDirectory() as folder, (log or Path(folder, "log")).open("w+b") as file:
        chance = Random(seed)  # noqa: S311 # nothing secret: it has to be repeatable
        tally = asyncio.run(run(seconds, chance, connections, file))
        file.seek(0)
        tally.tracebacks = file.read().count(b"Traceback")
    click.echo(table(tally, BUDGET))
    sys.exit(0 if tally.is_good else 1)


if __name__ == "__main__":
    main()
