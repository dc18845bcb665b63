"""What happens in a run, each with its time, and what was counted."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.weather import Weather

SHOWN: Final = 8
"""How many of the things that went wrong are shown."""

LATE: Final = 0.2
"""Seconds by which this process may be late before its sources count as broken."""

TOLERANCE: Final = 0.05
"""By how much of its quota a caller may get more or less."""


class Journal:
    """Says what happens, with the seconds since the run began.

    Attributes:
        kills: When a gateway was killed.
        store_changes: How often something was done to the store or the way to it.
        is_store_broken: Whether the store, or the way to it, is broken or slow now.

    Args:
        say: Shows a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.kills: list[float] = []
        self.store_changes = 0
        self.is_store_broken = False
        self._say = say
        self._zero = time.monotonic()
        self._began = time.time()

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._zero

    def note(self, text: str) -> None:
        """Say that something happens now; with the time of day, as logs have it."""
        clock = time.strftime("%H:%M:%S", time.gmtime(self._began + self.now))
        self._say(f"{clock} {self.now:7.2f} s  {text}")

    def was_kill_between(self, began: float, ended: float) -> bool:
        """Tell whether a gateway was killed in some time."""
        return any(began <= one <= ended for one in self.kills)


@dataclass
class Episode:
    """What one caller got that asked for more than its quota.

    Attributes:
        got: The cost of what it got.
        due: The quota, and what was refilled meanwhile.
        was_limited: Whether something was refused, so that it could have had no more.
        with_store: Whether all gateways had the store all the time.
    """

    got: float
    due: float
    was_limited: bool
    with_store: bool

    @property
    def error(self) -> float:
        """By how much of what was due it got more, or less if it was refused any."""
        share = self.got / self.due - 1
        return share if share > 0 or self.was_limited else 0.0


@dataclass
class ClusterTally:
    """What has been counted.

    Attributes:
        requests: Requests that were sent.
        checked: Values that were compared with those of the sources.
        partial: Answers in which something could not be had.
        wrong: What was wrong, in words.
        lost: What could not be had of sources that were well, in words.
        unanswered: Why answers did not come, in words.
        excused: How many did not come that were in flight when a gateway was killed.
        invalidations: How many invalidations were acknowledged.
        refused: How many were not, and were sent again.
        stale: Values that were too old, in words.
        stale_for: The most seconds after the acknowledgement at which an old value was asked for.
        episodes: What callers got that asked for more than their quota.
        events: How much was done to gateways, the store and the network, by kind.
        storms: How often a source broke.
        bad_ends: How gateways ended that did not end well.
        tracebacks: Lines with a traceback in the logs of gateways.
        latencies: Seconds that each answer took.
        lag: Seconds by which the run itself was late at worst.
        doubts: How often it was so late that its sources count as broken.
    """

    requests: int = 0
    checked: int = 0
    partial: int = 0
    wrong: list[str] = field(default_factory=list[str])
    lost: list[str] = field(default_factory=list[str])
    unanswered: list[str] = field(default_factory=list[str])
    excused: int = 0
    invalidations: int = 0
    refused: int = 0
    stale: list[str] = field(default_factory=list[str])
    stale_for: float = 0.0
    episodes: list[Episode] = field(default_factory=list[Episode])
    events: dict[str, int] = field(default_factory=dict[str, int])
    storms: int = 0
    bad_ends: list[str] = field(default_factory=list[str])
    tracebacks: list[str] = field(default_factory=list[str])
    latencies: list[float] = field(default_factory=list[float])
    lag: float = 0.0
    doubts: int = 0

    @property
    def quota_errors(self) -> list[float]:
        """By how much the callers got more or less, where the store was there all the time."""
        return [one.error for one in self.episodes if one.with_store]

    @property
    def quota_error(self) -> float:
        """The one that was furthest off."""
        return max(self.quota_errors, key=abs, default=0.0)

    @property
    def is_good(self) -> bool:
        """Whether everything is as it must be."""
        broken = (
            self.wrong,
            self.lost,
            self.unanswered,
            self.stale,
            self.bad_ends,
            self.tracebacks,
        )
        counted = self.requests and self.checked and self.invalidations
        return not any(broken) and abs(self.quota_error) <= TOLERANCE and bool(counted)


async def watch_lag(tally: ClusterTally, weather: Weather) -> None:
    """Measure how late this process itself is: it plays the sources, which are late with it."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.02
        await asyncio.sleep(0.02)
        late = loop.time() - due
        tally.lag = max(tally.lag, late)
        if late > LATE:
            tally.doubts += 1
            weather.doubt()


def cluster_table(tally: ClusterTally) -> str:
    """Write what was counted for a person.

    Args:
        tally: What was counted.

    Returns:
        A table, and some of what went wrong.
    """
    took = sorted(tally.latencies) or [0.0]
    middle, high = took[len(took) // 2], took[int(0.99 * (len(took) - 1))]
    shared = len(tally.quota_errors)
    events = ", ".join(f"{name} {tally.events[name]}" for name in sorted(tally.events))
    rows = [
        ("requests", f"{tally.requests:,}", ""),
        ("  values compared", f"{tally.checked:,}", ""),
        ("  with something missing", f"{tally.partial:,}", ""),
        ("times that a source broke", f"{tally.storms:,}", ""),
        ("wrong answers", f"{len(tally.wrong):,}", "0"),
        ("missing though the source was well", f"{len(tally.lost):,}", "0"),
        ("unanswered", f"{len(tally.unanswered):,}", "0"),
        ("  and in flight when one was killed", f"{tally.excused:,}", ""),
        ("invalidations acknowledged", f"{tally.invalidations:,}", ""),
        ("  not acknowledged, sent again", f"{tally.refused:,}", ""),
        ("stale a second after that", f"{len(tally.stale):,}", "0"),
        ("  longest that one was stale", f"{tally.stale_for * 1000:,.0f} ms", "1,000 ms"),
        ("callers beyond their quota", f"{len(tally.episodes):,}", ""),
        ("  with the store all the time", f"{shared:,}", ""),
        ("  furthest from the quota", f"{100 * tally.quota_error:+.1f} %", "5 %"),
        ("gateways that ended badly", f"{len(tally.bad_ends):,}", "0"),
        ("tracebacks in their logs", f"{len(tally.tracebacks):,}", "0"),
        ("median time, p99", f"{middle * 1000:,.0f}, {high * 1000:,.0f} ms", ""),
        ("  lag of this run itself", f"{tally.lag * 1000:,.0f} ms", ""),
        ("  times that it made sources late", f"{tally.doubts:,}", ""),
    ]
    lines = [f"{name:<37}{value:>12}   {must}".rstrip() for name, value, must in rows]
    lines.append(f"events: {events}")
    for title, found in (
        ("wrong", tally.wrong),
        ("missing", tally.lost),
        ("unanswered", tally.unanswered),
        ("stale", tally.stale),
        ("ended", tally.bad_ends),
        ("traceback", tally.tracebacks),
    ):
        lines += [f"{title}: {one}" for one in found[:SHOWN]]
    return "\n".join(lines)
