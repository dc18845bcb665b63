"""Runs uvicorn: in this process, or in several with a supervisor. Logs the start and each death.

It is plain code. The supervisor sleeps and looks after its processes, and has no event loop.
"""

import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import uvicorn
from starlette.routing import Route
from structlog.typing import FilteringBoundLogger
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from app import __version__
from app.observability.logs import library_event
from app.observability.metric_list import WORKER_DEATHS
from app.observability.metrics import Counter
from app.server.control import ControlAddress, ControlListener
from app.server.reports import Reports

_log = logging.getLogger("uvicorn.error")

MAX_MISTAKES = 2_000
"""The most characters of mistakes in one event: a character of JSON can take several bytes."""

UNUSABLE = "The settings cannot be used"
"""Why the gateway does not start, if its settings have mistakes."""

START_WITHIN = 60.0
"""Seconds after which a process that has not started is taken to hang."""

STARTUP_FAILURE = 3
"""The exit code of a process that could not start. A supervisor does not start it again."""


MakeConfig = Callable[[ControlAddress], uvicorn.Config]
"""Makes the configuration of a server whose processes are linked to this address."""


MakeOperations = Callable[[ControlListener], Sequence[Route]]
"""Makes the routes of the admin port that change something."""


def run_server(
    make: MakeConfig, workers: int, admin: socket.socket | None, operations: MakeOperations
) -> None:
    """Run a server until a signal ends it.

    Args:
        make: Makes the configuration.
        workers: The number of processes.
        admin: The bound socket of the admin port; ``None`` for no such port.
        operations: Makes the routes of the admin port that change something.

    Raises:
        SystemExit: The server could not start.
    """
    reports = Reports(workers, time.monotonic)
    with ControlListener(reports, has_reports=admin is not None) as control:
        if admin is None:
            _run(make(control.address), None)
            return
        from app.server.admin import open_admin  # noqa: PLC0415 # few have an admin port

        with open_admin(admin, control, __version__, operations(control)) as port:
            # After that of the admin port, because it sets up the log of the whole process.
            config = make(control.address)
            library_event(_log, logging.INFO, "admin.started", address=port.address)
            _run(config, port.metrics.counter(WORKER_DEATHS))


def _run(config: uvicorn.Config, deaths: Counter | None) -> None:
    """Run a server in this process, or in several."""
    if config.workers > 1:
        with config.bind_socket() as listener:
            Supervisor(config, [listener], deaths).run()
        return
    server = GatewayServer(config)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def _log_start(workers: int) -> None:
    """Log that requests are accepted."""
    library_event(_log, logging.INFO, "gateway.started", version=__version__, workers=workers)


def log_unusable(
    log: FilteringBoundLogger,
    reason: str,
    mistakes: Sequence[str],
    *,
    cause: BaseException | None = None,
) -> None:
    """Log why the gateway does not start.

    Args:
        log: The log.
        reason: What is wrong.
        mistakes: A sentence for each mistake. If they are too long for one line, there are several
            events, so that none is cut.
        cause: The exception of an operator's module that is behind it; ``None`` if there is none.
    """
    more = {} if cause is None else {"exc_info": cause}
    rest = [*mistakes]
    while rest:
        now = [rest.pop(0)]
        while rest and sum(map(len, now)) + len(rest[0]) < MAX_MISTAKES:
            now.append(rest.pop(0))
        log.error("gateway.unusable", reason=reason, mistakes=now, **more)


class GatewayServer(uvicorn.Server):
    """A server that logs its start when its port is bound, and not before."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the application, bind the port, and log the start.

        Args:
            sockets: Sockets that are bound already; ``None`` to bind one.
        """
        await super().startup(sockets)
        if self.started:
            _log_start(1)


class Supervisor(Multiprocess):
    """Starts the processes, replaces those that die, and logs both.

    Args:
        config: How to serve.
        sockets: The bound sockets.
        deaths: Counts the processes that die; ``None`` if nobody reads that.

    uvicorn itself writes the death of a process as information, without its reason. It also ends a
    process that takes more than five seconds to start.
    """

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], deaths: Counter | None
    ) -> None:
        super().__init__(config, sockets)
        if deaths is not None:
            for usual in ("SIGKILL", "hung"):  # else the first death of a kind is no increase
                deaths.add(0, usual)
        self._deaths = deaths
        self._has_started = False
        self._starting: dict[Process, float] = {}
        self._asked: set[Process] = set()
        self._ready: set[Process] = set()

    def keep_subprocess_alive(self) -> None:
        """Replace the processes that have died or hang, and log them as errors."""
        for place, worker in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            reason = self._why_it_ended(worker)
            if reason is not None:
                self._replace(place, worker, reason)
        if not self._has_started and len(self._ready) == len(self.processes):
            self._has_started = True
            _log_start(len(self.processes))

    def _why_it_ended(self, worker: Process) -> str | None:
        """Return why a process has ended, and end one that hangs; ``None`` if it lives."""
        if not worker.process.is_alive():
            return death_of(worker.exitcode)
        if worker in self._ready:
            if worker.ping(self.config.timeout_worker_healthcheck):
                return None
        elif self._starts(worker):
            return None
        has_died = not worker.process.is_alive()  # while it was asked
        worker.kill()
        return death_of(worker.exitcode) if has_died else "hung"

    def _starts(self, worker: Process) -> bool:
        """Ask a process whether it has started; return whether it may still do so."""
        now = time.monotonic()
        if worker not in self._starting:
            self._starting[worker] = now
            self._asked.discard(worker)
        # One question at a time: it cannot answer while it imports the application.
        with suppress(OSError, EOFError):
            if worker not in self._asked:
                worker.parent_conn.send(b"ping")
                self._asked.add(worker)
            if worker.parent_conn.poll(0):
                self._asked.discard(worker)
                if worker.parent_conn.recv():
                    self._ready.add(worker)
        return worker in self._ready or now - self._starting[worker] < START_WITHIN

    def _replace(self, place: int, worker: Process, reason: str) -> None:
        """Start a process in the place of another, unless that could not even start."""
        worker.join()
        self._ready.discard(worker)
        self._asked.discard(worker)
        self._starting.pop(worker, None)
        # The next one could not start either: the settings or the port are wrong.
        is_replaced = worker.exitcode != STARTUP_FAILURE
        if is_replaced:
            self.processes[place] = Process(self.config, self.sockets)
            self.processes[place].start()
        else:
            self.should_exit.set()
        if self._deaths is not None:
            self._deaths.add(1, reason)
        library_event(
            _log,
            logging.ERROR,
            "worker.died",
            worker=worker.pid,
            reason=reason,
            replaced=is_replaced,
        )


def death_of(exit_code: int | None) -> str:
    """Say how a process ended.

    Args:
        exit_code: Its exit code, negative for a signal; ``None`` if it is not known.

    Returns:
        The name of the signal, such as ``SIGKILL``, or the exit code.
    """
    if exit_code is None:
        return "not known"
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"
