"""How long peers take until they answer, and how much memory they have when idle."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.bench import ready
from benchmarks.errors import UnavailableError
from benchmarks.peer import Peer
from benchmarks.run import Omission
from benchmarks.stage import StageOptions, open_stage
from benchmarks.summary import Spread, spread
from benchmarks.table import Table, figure, range_of
from benchmarks.tools import Tools

IDLE: Final = 1.0
"""Seconds after its first answer at which a peer's memory is looked at."""


@dataclass(frozen=True, slots=True)
class Startup:
    """How a peer starts.

    Attributes:
        peer: Who.
        seconds: From its start to its first right answer.
        idle_mb: Memory of all its processes, a second later.
    """

    peer: str
    seconds: Spread
    idle_mb: Spread


@dataclass(frozen=True, slots=True)
class Startups:
    """How all peers start.

    Attributes:
        times: How many times each was started.
        startups: Each of them.
        omissions: Who was left out.
    """

    times: int
    startups: tuple[Startup, ...]
    omissions: tuple[Omission, ...]


def startups(
    peers: Sequence[Peer],
    times: int,
    tools: Tools,
    options: StageOptions,
    say: Callable[[str], None],
) -> Startups:
    """Start each peer several times, one after the other.

    Args:
        peers: The peers.
        times: How many times each.
        tools: What is measured with.
        options: How things are put up.
        say: Is told how far it is.
    """
    there, omissions = ready(peers, tools, say)
    seconds: dict[str, list[float]] = {peer.name: [] for peer in there}
    memory: dict[str, list[float]] = {peer.name: [] for peer in there}
    with open_stage(tools, options) as stage:
        for number in range(times):
            for peer in there:
                try:
                    with stage.standing(peer) as standing:
                        time.sleep(IDLE)
                        seconds[peer.name].append(standing.startup_seconds)
                        memory[peer.name].append(standing.process.memory_mb())
                except UnavailableError as error:
                    omissions.append(Omission(peer.name, None, str(error)))
                    say(str(omissions[-1]))
            say(f"{number + 1} of {times}")
    found = tuple(
        Startup(peer.name, spread(seconds[peer.name]), spread(memory[peer.name]))
        for peer in there
        if seconds[peer.name]
    )
    return Startups(times, found, tuple(omissions))


def startup_table(found: Startups) -> Table:
    """Make a table of it."""
    rows = [
        (
            one.peer,
            figure(one.seconds.median),
            range_of(one.seconds),
            figure(one.idle_mb.median),
            range_of(one.idle_mb),
        )
        for one in found.startups
    ]
    return Table(("peer", "ready after s", "range", "idle MB", "range"), tuple(rows))
