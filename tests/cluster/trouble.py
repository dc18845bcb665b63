"""What happens to gateways, the store and the network, one thing after the other at random."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Final

from tests.cluster.journal import ClusterTally, Journal
from tests.cluster.machines import ENDED_WELL, ClusterGateway
from tests.cluster.wires import ClusterWires
from tests.stores import StoreServer

CALM: Final = (1.0, 3.0)
"""The least and the most seconds between two things that happen."""

BROKEN_FOR: Final = (0.5, 3.0)
"""The least and the most seconds for which the store, or the way to it, is broken."""

DELAYS: Final = (0.002, 0.15)
"""The least and the most seconds by which a slow store is late, in each direction.

Some are within the time limit of 100 ms, and some beyond it.
"""


class ClusterTrouble:
    """Breaks and heals gateways, the store and the network.

    One thing happens at a time, so that a failure can be told from the event before it. All kinds
    happen once before one happens again.

    Args:
        gateways: The gateways.
        store: The store.
        wires: The way of each gateway to the store.
        journal: Says what happens.
        tally: Counts it.
    """

    def __init__(
        self,
        gateways: Sequence[ClusterGateway],
        store: StoreServer,
        wires: ClusterWires,
        journal: Journal,
        tally: ClusterTally,
    ) -> None:
        self._gateways = gateways
        self._store = store
        self._wires = wires
        self._journal = journal
        self._tally = tally

    @property
    def kinds(self) -> Mapping[str, Callable[[Random], Awaitable[None]]]:
        """All that may happen, by name."""
        return {
            "killed": self._kill,
            "terminated": self._terminate,
            "reloaded": self._reload,
            "store stopped": self._stop_store,
            "store slow": self._slow_store,
            "store flushed": self._flush_store,
            "partition": self._cut_off,
        }

    async def happen_on(self, chance: Random) -> None:
        """Let one thing after the other happen for ever."""
        while True:
            kinds = list(self.kinds.items())
            chance.shuffle(kinds)
            for name, happen in kinds:
                await asyncio.sleep(chance.uniform(*CALM))
                await happen(chance)
                self._tally.events[name] = self._tally.events.get(name, 0) + 1

    async def _kill(self, chance: Random) -> None:
        """Kill a gateway, and start it again."""
        gateway = chance.choice(self._gateways)
        self._journal.note(f"{gateway.name} is killed")
        self._journal.kills.append(self._journal.now)
        await gateway.kill()
        self._journal.kills.append(self._journal.now)
        self._look_into(gateway)
        await asyncio.sleep(chance.uniform(0.2, 2.0))
        await self._start(gateway)

    async def _terminate(self, chance: Random) -> None:
        """Have a gateway drain and end, and start it again."""
        gateway = chance.choice(self._gateways)
        self._journal.note(f"{gateway.name} is told to end")
        code = await gateway.terminate()
        self._journal.note(f"{gateway.name} has ended with {code}")
        if code not in ENDED_WELL:
            self._tally.bad_ends.append(f"{gateway.name} with {code}: {gateway.log}")
        self._look_into(gateway)
        await self._start(gateway)

    async def _start(self, gateway: ClusterGateway) -> None:
        """Start a gateway again."""
        await gateway.start()
        self._journal.note(f"{gateway.name} is ready again")

    async def _reload(self, chance: Random) -> None:
        """Have a gateway read its settings anew, a few times."""
        gateway = chance.choice(self._gateways)
        for _ in range(chance.randint(1, 3)):
            self._journal.note(f"{gateway.name} reloads")
            gateway.reload()
            await asyncio.sleep(chance.uniform(0.3, 1.0))

    async def _stop_store(self, chance: Random) -> None:
        """Stop the store, and start it again with nothing in it."""
        async with self._broken_store("is stopped"):
            await self._store.stop()
            await asyncio.sleep(chance.uniform(*BROKEN_FOR))
            await self._store.start_again()

    async def _slow_store(self, chance: Random) -> None:
        """Let the store be late."""
        delay = chance.uniform(*DELAYS)
        async with self._broken_store(f"is {2 * delay * 1000:.0f} ms late"):
            await self._wires.slow_down(delay)
            await asyncio.sleep(chance.uniform(*BROKEN_FOR))
            await self._wires.slow_down(0.0)

    async def _flush_store(self, _: Random) -> None:
        """Remove all that the store has."""
        async with self._broken_store("is flushed"):
            await self._store.command("FLUSHALL")

    async def _cut_off(self, chance: Random) -> None:
        """Cut one gateway off the store."""
        number = chance.randrange(len(self._gateways))
        gateway = self._gateways[number]
        async with self._broken_store(f"cannot be reached by {gateway.name}"):
            await self._wires.cut(number)
            try:
                await asyncio.sleep(chance.uniform(*BROKEN_FOR))
            finally:
                await self._wires.mend(number)

    @asynccontextmanager
    async def _broken_store(self, how: str) -> AsyncGenerator[None]:
        """Say that the store, or the way to it, is broken for a while."""
        self._journal.note(f"the store {how}")
        self._journal.store_changes += 1
        self._journal.is_store_broken = True
        yield
        self._journal.is_store_broken = False
        self._journal.note("the store is well again")

    def _look_into(self, gateway: ClusterGateway) -> None:
        """Find the tracebacks in the log of a gateway that has ended."""
        self._tally.tracebacks += gateway.tracebacks()
