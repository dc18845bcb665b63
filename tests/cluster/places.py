"""Where the gateways run: each has an address of its own.

With the rights of root, each has a network namespace with two links: one to the clients and the
sources, one to the store. The second can be taken down, which is a real partition: packets are
lost, and nobody is told. Elsewhere, each has a loopback address, and the wire to the store is cut.
"""

import asyncio
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClusterPlace:
    """Where one gateway runs.

    Attributes:
        name: What the gateway is called.
        address: Its address.
        command: What begins a command line that runs there; empty on this machine itself.
        store_host: The address at which it finds the store.
        store_link: The link to that address; empty where there is none of its own.
    """

    name: str
    address: str
    command: Sequence[str]
    store_host: str
    store_link: str


@dataclass(frozen=True, slots=True)
class ClusterNetwork:
    """The network of a run.

    Attributes:
        kind: What it is, in words.
        host: The address at which gateways find the sources.
        places: Where the gateways run.
    """

    kind: str
    host: str
    places: Sequence[ClusterPlace]


class NoNamespaceError(Exception):
    """A namespace or a link cannot be made here."""


@asynccontextmanager
async def network_of(count: int) -> AsyncGenerator[ClusterNetwork]:
    """Make the network of a run: namespaces where that is possible, else loopback addresses.

    Args:
        count: How many gateways there are, at most 9.
    """
    async with AsyncExitStack() as stack:
        try:
            made = await stack.enter_async_context(_namespaces(count))
        except NoNamespaceError as error:
            made = loopback(count, str(error))
        yield made


async def set_link(name: str, *, up: bool) -> None:
    """Take a link up or down.

    Args:
        name: Its name.
        up: Whether it carries packets.
    """
    await _ip("link", "set", "dev", name, "up" if up else "down")


def loopback(count: int, why: str = "by choice") -> ClusterNetwork:
    """Give each gateway an address of the loopback device.

    Args:
        count: How many gateways there are, at most 9.
        why: Why there are no namespaces.
    """
    places = [
        ClusterPlace(f"gateway-{number}", f"127.0.0.{number + 1}", (), "127.0.0.1", "")
        for number in range(1, count + 1)
    ]
    return ClusterNetwork(f"loopback addresses ({why})", "127.0.0.1", places)


@asynccontextmanager
async def _namespaces(count: int) -> AsyncGenerator[ClusterNetwork]:
    """Make a namespace for each gateway, with a link to each of two bridges.

    The addresses are those for measurements of networks (RFC 2544), which no network routes. Two
    runs at the same time have different ones.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise NoNamespaceError("namespaces need the rights of root, and the program ip")
    run = os.getpid()
    front, back = f"198.18.{run % 254}", f"198.19.{run % 254}"
    async with AsyncExitStack() as stack:
        bridges = (f"ugf{run}", f"ugb{run}")
        for bridge, network in zip(bridges, (front, back), strict=True):
            await _made(stack, ("link", "add", bridge, "type", "bridge"), ("link", "del", bridge))
            await _ip("addr", "add", f"{network}.1/24", "dev", bridge)
            await set_link(bridge, up=True)
        places: list[ClusterPlace] = []
        for number in range(1, count + 1):
            space = f"ug{run}-{number}"
            await _made(stack, ("netns", "add", space), ("netns", "del", space))
            await _ip("-n", space, "link", "set", "dev", "lo", "up")
            for side, bridge, network in zip("fb", bridges, (front, back), strict=True):
                link, end = f"ug{side}{run}.{number}", f"to-{side}"
                add = ("link", "add", link, "type", "veth", "peer", "name", end, "netns", space)
                await _made(stack, add, ("link", "del", link))
                await _ip("link", "set", "dev", link, "master", bridge, "up")
                address = f"{network}.{number + 10}/24"
                await _ip("-n", space, "addr", "add", address, "dev", end)
                await _ip("-n", space, "link", "set", "dev", end, "up")
            places.append(
                ClusterPlace(
                    name=f"gateway-{number}",
                    address=f"{front}.{number + 10}",
                    command=("ip", "netns", "exec", space),
                    store_host=f"{back}.1",
                    store_link=f"ugb{run}.{number}",
                )
            )
        yield ClusterNetwork("network namespaces", f"{front}.1", places)


async def _made(stack: AsyncExitStack, add: Sequence[str], remove: Sequence[str]) -> None:
    """Make something that is removed at the end."""
    await _ip(*add)
    stack.push_async_callback(_ip, *remove)


async def _ip(*arguments: str) -> None:
    """Run ``ip``."""
    process = await asyncio.create_subprocess_exec("ip", *arguments, stdout=DEVNULL, stderr=PIPE)
    _, said = await process.communicate()
    if process.returncode:
        raise NoNamespaceError(f"ip {' '.join(arguments)}: {said.decode(errors='replace').strip()}")
