"""The ways of the gateways to the store: relays that can be slowed down or cut.

They are a process of their own: beside the clients and the sources, they would be late by more than
the gateways wait for the store.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.cluster.places import ClusterNetwork, ClusterPlace, set_link
from tests.stores import StoreWire

ROOT = Path(__file__).parents[2]


class ClusterWires:
    """Slows the ways to the store down, and cuts them.

    Args:
        process: The process of the relays.
        places: Where the gateways run.
        ports: The port at which each finds the store.
    """

    def __init__(
        self, process: Process, places: Sequence[ClusterPlace], ports: Sequence[int]
    ) -> None:
        self.ports = ports
        self._process = process
        self._places = places

    async def slow_down(self, delay: float) -> None:
        """Let all be late.

        Args:
            delay: By how many seconds, in each direction.
        """
        await self._tell("delay", delay)

    async def cut(self, number: int) -> None:
        """Let nothing pass between a gateway and the store.

        Args:
            number: Which, from 0.
        """
        if link := self._places[number].store_link:
            await set_link(link, up=False)
        else:
            await self._tell("cut", number)

    async def mend(self, number: int) -> None:
        """Let everything pass again.

        Args:
            number: Which, from 0.
        """
        if link := self._places[number].store_link:
            await set_link(link, up=True)
        else:
            await self._tell("mend", number)

    async def _tell(self, what: str, value: float) -> None:
        """Tell the relays something, and wait until it is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what} {value}\n".encode())
        await self._process.stdout.readline()


@asynccontextmanager
async def running_wires(store_port: int, network: ClusterNetwork) -> AsyncGenerator[ClusterWires]:
    """Run the relays until the end of the context.

    Args:
        store_port: The port of the store on 127.0.0.1.
        network: Where the gateways run.
    """
    hosts = [place.store_host for place in network.places]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.cluster.wires", str(store_port), *hosts),
        cwd=ROOT,
        stdin=PIPE,
        stdout=PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ports: list[int] = json.loads(await process.stdout.readline())
        yield ClusterWires(process, network.places, ports)
    finally:
        process.stdin.close()  # which ends it
        await process.wait()


async def _relay(store_port: int, hosts: Sequence[str]) -> None:
    """Relay until the standard input ends, and do what its lines say."""
    async with AsyncExitStack() as stack:
        wires = [
            await stack.enter_async_context(StoreWire(store_port).opened(host=host))
            for host in hosts
        ]
        sys.stdout.write(json.dumps([wire.port for wire in wires]) + "\n")
        sys.stdout.flush()
        while line := await asyncio.to_thread(sys.stdin.readline):
            what, value = line.split()
            match what:
                case "cut":
                    wires[int(value)].cut()
                case "mend":
                    wires[int(value)].mend()
                case _:
                    for wire in wires:
                        wire.delay = float(value)
            sys.stdout.write("done\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_relay(int(sys.argv[1]), sys.argv[2:]))
