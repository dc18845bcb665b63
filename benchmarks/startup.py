"""What peers need until they answer, in seconds and CPU, and their memory when idle."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.bench import ready
from benchmarks.catalog import REFERENCE
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
        cpu_seconds: CPU of all its processes until then.
        ratio: That, over the reference's in the same round; nothing without a reference.
        idle_mb: Memory of all its processes, a second later.
    """

    peer: str
    seconds: Spread
    cpu_seconds: Spread
    ratio: Spread | None
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
    cpu: dict[str, list[float]] = {peer.name: [] for peer in there}
    ratios: dict[str, list[float]] = {peer.name: [] for peer in there}
    memory: dict[str, list[float]] = {peer.name: [] for peer in there}
    with open_stage(tools, options) as stage:
        for number in range(times):
            used: dict[str, float] = {}
            for peer in there:
                try:
                    with stage.standing(peer) as standing:
                        used[peer.name] = standing.process.cpu_seconds()
                        time.sleep(IDLE)
                        seconds[peer.name].append(standing.startup_seconds)
                        memory[peer.name].append(standing.process.memory_mb())
                except UnavailableError as error:
                    omissions.append(Omission(peer.name, None, str(error)))
                    say(str(omissions[-1]))
            for name, spent in used.items():
                cpu[name].append(spent)
                if REFERENCE in used:
                    ratios[name].append(spent / used[REFERENCE])
            say(f"{number + 1} of {times}")
    found = tuple(
        Startup(
            peer.name,
            spread(seconds[peer.name]),
            spread(cpu[peer.name]),
            spread(ratios[peer.name]) if ratios[peer.name] else None,
            spread(memory[peer.name]),
        )
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
            figure(one.cpu_seconds.median),
            "–" if one.ratio is None else figure(one.ratio.median),
            "–" if one.ratio is None else range_of(one.ratio),
            figure(one.idle_mb.median),
            range_of(one.idle_mb),
        )
        for one in found.startups
    ]
    titles = ("peer", "ready after s", "range", "CPU s", "ratio", "range", "idle MB", "range")
    return Table(titles, tuple(rows))
