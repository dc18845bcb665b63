"""Reports of the processes: their metrics, and the states of their sources.

Each process reports once a second. The process that has the admin port collects the reports, adds
up the metrics, and so answers for all. With several processes, that is the supervisor.

Reports come through a connection of ``multiprocessing`` on the loopback address. Both ends prove by
HMAC that they have the key that a process inherits from its parent.

The collector uses threads: the supervisor has no event loop, and reading a report takes a few
milliseconds, for which an event loop should not wait.
"""

import asyncio
import socket
import threading
from asyncio import get_running_loop
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError, current_process
from multiprocessing.connection import (
    Client,
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)
from types import TracebackType
from typing import Self, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.observability.metric_list import WORKERS_HANGING
from app.observability.metrics import Metrics, Observation, Snapshot, lasting, summed
from app.server.health import Readiness

REPORT_EVERY = 1.0
"""Seconds between two reports of a process."""

OVERDUE_AFTER = 10.0
"""Seconds without a report after which a process is taken to hang."""

MAX_REPORT = 64 * 1024 * 1024
"""The most bytes of a report."""

MAX_WAITING = 64
"""The most connections that wait to be accepted: as many as there may be processes."""

ReportAddress: TypeAlias = tuple[str, int]
"""Where reports are collected."""


class Report(BaseModel):
    """What one process says of itself."""

    model_config = ConfigDict(frozen=True)

    pid: int = Field(description="Number of the process.")
    readiness: Readiness = Field(description="Whether it can answer requests, and its sources.")
    snapshot: Snapshot = Field(description="Its metrics.")


@dataclass(frozen=True, slots=True)
class _Latest:
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
    return Readiness.of(is_ready=ready >= expected, sources=sources)


class ReportListener:
    """Collects reports in threads, from the start of its context to the end.

    Args:
        reports: Where reports are kept.

    Attributes:
        address: Where reports are collected.
    """

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._listener = Listener(("127.0.0.1", 0), backlog=MAX_WAITING)
        self.address = cast("ReportAddress", self._listener.address)
        self._closed = False
        # A daemon thread ends with the process, even while it waits.
        self._thread = threading.Thread(target=self._accept, name="reports", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        # The thread waits for a connection, and closing the socket would not wake it.
        with suppress(OSError):
            socket.create_connection(self.address, timeout=1.0).close()
        self._thread.join(1.0)
        self._listener.close()

    def _accept(self) -> None:
        """Accept the connections of processes."""
        while not self._closed:
            with suppress(OSError):  # the program has gone at once
                connection = self._listener.accept()
                threading.Thread(
                    target=self._read, args=(connection,), name="reports of a process", daemon=True
                ).start()

    def _read(self, connection: Connection) -> None:
        """Read the reports of one process until it ends."""
        pid: int | None = None
        # A program that does not have the key changes nothing. It is asked for it here, because one
        # that does not answer must not hold up the others.
        with connection, suppress(OSError, EOFError, AuthenticationError, ValidationError):
            deliver_challenge(connection, _key())
            answer_challenge(connection, _key())
            while True:
                report = Report.model_validate_json(connection.recv_bytes(MAX_REPORT))
                pid = report.pid
                self._reports.put(report)
        if pid is not None:
            self._reports.end(pid)


async def send_reports(address: ReportAddress, make: Callable[[], Report]) -> None:
    """Send a report every second, until it is cancelled or nobody collects reports any more.

    A report is encoded and sent in a thread: it may be large, and the collector may be slow.

    Args:
        address: Where reports are collected.
        make: Makes a report. It runs on the event loop, so that a loop that hangs does not report.
    """
    with suppress(OSError, EOFError):
        connection = await asyncio.to_thread(Client, address, authkey=_key())
        with connection:
            sent: asyncio.Future[None] | None = None
            try:
                while True:
                    # Shielded: a thread goes on if it is no longer waited for.
                    sent = get_running_loop().run_in_executor(None, _send, connection, make())
                    await asyncio.shield(sent)
                    await asyncio.sleep(REPORT_EVERY)
            finally:
                if sent is not None:
                    await asyncio.wait([sent])  # the last report must not overtake another
                # The last counts. It does not wait: the collector has read all before.
                _send(connection, make())


def _send(connection: Connection, report: Report) -> None:
    """Encode and send a report."""
    connection.send_bytes(report.model_dump_json().encode())


def _key() -> bytes:
    """Return the key that all processes of one supervisor have."""
    return bytes(current_process().authkey)
