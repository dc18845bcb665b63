"""Reports of the processes: their metrics, and the states of their sources.

Each process reports once a second. The process that has the admin port collects the reports, adds
up the metrics, and so answers for all. With several processes, that is the supervisor.
``control.py`` receives the reports.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field

from app.observability.metric_list import WORKERS_HANGING
from app.observability.metrics import Metrics, Observation, Snapshot, lasting, summed
from app.server.health import DRAINING, Readiness

REPORT_EVERY = 1.0
"""Seconds between two reports of a process."""

OVERDUE_AFTER = 10.0
"""Seconds without a report after which a process is taken to hang."""


class Report(BaseModel):
    """What one process says of itself."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    kind: Literal["report"] = "report"
    pid: int = Field(description="Number of the process.")
    readiness: Readiness = Field(description="Whether it can answer requests, and its sources.")
    snapshot: Snapshot = Field(description="Its metrics.")


class _Latest(Struct, frozen=True):
    """The latest report of a process, and when it came."""

    report: Report
    at: float


class Reports:
    """The latest reports of all processes. Any thread may use it.

    Args:
        expected: How many processes there should be.
        monotonic: Returns the time, in seconds from any moment.

    Attributes:
        metrics: The metrics of the collecting process itself.
    """

    def __init__(self, expected: int, monotonic: Callable[[], float]) -> None:
        self.metrics = Metrics()
        self._expected = expected
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._latest: dict[int, _Latest] = {}
        self._ended: Snapshot | None = None
        self.metrics.observe(WORKERS_HANGING, self._hanging)

    def put(self, report: Report) -> None:
        """Keep a report in the place of the one before.

        Args:
            report: The report.
        """
        with self._lock:
            self._latest[report.pid] = _Latest(report, self._monotonic())

    def end(self, pid: int) -> None:
        """Note that a process has ended. Its counters stay in the sums.

        Args:
            pid: Number of the process.
        """
        with self._lock:
            last = self._latest.pop(pid, None)
            if last is not None:
                ended = lasting(last.report.snapshot)
                self._ended = ended if self._ended is None else summed([self._ended, ended])

    def snapshot(self) -> Snapshot:
        """Add up the metrics of all processes, also of those that have ended.

        Returns:
            The sums.
        """
        with self._lock:
            known = [one.report.snapshot for one in self._latest.values()]
            ended = [] if self._ended is None else [self._ended]
        return summed([self.metrics.snapshot(), *ended, *known])

    def is_alive(self) -> bool:
        """Return whether all processes that have reported still report.

        Returns:
            Whether none is overdue. A process that does not report does not answer requests.
        """
        with self._lock:
            return len(self._in_time()) == len(self._latest)

    def readiness(self) -> Readiness:
        """Join what the processes say of their readiness.

        Returns:
            ``ready`` if at least as many processes are ready as there should be; one that hangs is
            not. Of a source, the state of the process whose circuit is the worst, and the last
            contact of any process.
        """
        with self._lock:
            known = [one.readiness for one in self._in_time()]
        return joined_readiness(known, self._expected)

    def _in_time(self) -> Sequence[Report]:
        """Return the reports that are not overdue. The lock is held."""
        now = self._monotonic()
        return [one.report for one in self._latest.values() if now - one.at < OVERDUE_AFTER]

    def _hanging(self) -> Sequence[Observation]:
        """Return how many processes are overdue."""
        with self._lock:
            return [((), len(self._latest) - len(self._in_time()))]


def joined_readiness(known: list[Readiness], expected: int) -> Readiness:
    """Join the readiness of several processes.

    Args:
        known: What the processes say.
        expected: How many processes should be ready.

    Returns:
        The readiness of all.
    """
    ready = sum(one.is_ready for one in known)
    names = dict.fromkeys(name for one in known for name in one.sources)
    sources = {
        name: max(
            (one.sources[name] for one in known if name in one.sources),
            key=lambda source: source.badness,
        )
        for name in names
    }
    is_draining = any(one.status == DRAINING for one in known)
    return Readiness.of(is_ready=ready >= expected, sources=sources, is_draining=is_draining)
