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
from structlog.typing import FilteringBoundLogger
from uvicorn.supervisors import Multiprocess

from app import __version__
from app.observability.logs import library_event
from app.observability.metric_list import WORKER_DEATHS
from app.observability.metrics import Counter
from app.server.admin import open_admin
from app.server.reports import ReportAddress

_log = logging.getLogger("uvicorn.error")

MAX_MISTAKES = 2_000
"""The most characters of mistakes in one event: a character of JSON can take several bytes."""

UNUSABLE = "The settings cannot be used"
"""Why the gateway does not start, if its settings have mistakes."""

STARTUP_FAILURE = 3
"""The exit code of a process that could not start. A supervisor does not start it again."""


MakeConfig = Callable[[ReportAddress | None], uvicorn.Config]
"""Makes the configuration of a server whose processes report to an address, or to nobody."""


def run_server(make: MakeConfig, workers: int, admin: socket.socket | None) -> None:
    """Run a server until a signal ends it.

    Args:
        make: Makes the configuration.
        workers: The number of processes.
        admin: The bound socket of the admin port; ``None`` for no such port.

    Raises:
        SystemExit: The server could not start.
    """
    if admin is None:
        _run(make(None), None)
        return
    with open_admin(admin, workers=workers, version=__version__) as port:
        config = make(port.report_to)
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

    uvicorn itself writes the death of a process as information, without its reason.
    """

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], deaths: Counter | None
    ) -> None:
        super().__init__(config, sockets)
        self._deaths = deaths
        self._has_started = False

    def keep_subprocess_alive(self) -> None:
        """Replace the processes that have died or hang, and log them as errors."""
        before = [(one, one.process.is_alive()) for one in self.processes]
        began = time.monotonic()
        super().keep_subprocess_alive()
        # A process that hangs is ended after this time without an answer.
        has_waited = time.monotonic() - began >= self.config.timeout_worker_healthcheck
        for worker, was_alive in before:
            if worker not in self.processes or worker.exitcode is not None:
                is_hung = was_alive and has_waited and worker.exitcode == -signal.SIGKILL
                reason = "hung" if is_hung else death_of(worker.exitcode)
                if self._deaths is not None:
                    self._deaths.add(1, reason)
                library_event(
                    _log,
                    logging.ERROR,
                    "worker.died",
                    worker=worker.pid,
                    reason=reason,
                    replaced=worker not in self.processes,
                )
        if not self._has_started and all(one.is_ready() for one in self.processes):
            self._has_started = True
            _log_start(len(self.processes))


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
