"""Runs uvicorn: in this process, or in several with a supervisor. Logs the start and each death.

It is plain code. The supervisor sleeps and looks after its processes, and has no event loop.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from multiprocessing import parent_process
from types import FrameType
from typing import TypeAlias

import uvicorn
from msgspec import Struct
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from app import __version__
from app.observability.logs import library_event
from app.observability.metric_list import WORKER_DEATHS
from app.observability.metrics import Counter
from app.observability.otlp import exporting_metrics
from app.observability.otlp_variables import read_otlp
from app.server.admin_access import AdminAccess
from app.server.commands import BeginDrain
from app.server.control import ControlAddress, ControlListener
from app.server.gateway_server import GatewayServer, ServerPart, log_draining, log_start
from app.server.invalidating import invalidation_route
from app.server.reload import LoadSettings, Reloader, reload_route
from app.server.reports import Reports
from app.server.unusable import STARTUP_FAILURE
from app.settings.models import Settings

_log = logging.getLogger("uvicorn.error")

START_WITHIN = 60.0
"""Seconds after which a process that has not started is taken to hang."""


MakeConfig: TypeAlias = Callable[[int, Settings, ControlAddress], uvicorn.Config]
"""Makes the configuration of a server of numbered settings, whose processes are linked to this
address."""


class Serving(Struct, frozen=True):
    """How to run a server.

    Attributes:
        make: Makes its configuration.
        load: Reads the settings anew, for a reload.
        part: What the server itself has of settings.
        workers: The number of processes.
        drain: Seconds between SIGTERM and the end of the listener.
    """

    make: MakeConfig
    load: LoadSettings
    part: ServerPart
    workers: int
    drain: float


def run_server(serving: Serving, settings: Settings, admin: socket.socket | None) -> None:
    """Run a server until a signal ends it.

    Args:
        serving: How to run it.
        settings: The settings to begin with.
        admin: The bound socket of the admin port; ``None`` for no such port.
        operations: Makes the routes of the admin port that change something.

    Raises:
        SystemExit: The server could not start.
    """
    reports = Reports(serving.workers, time.monotonic)
    with ExitStack() as stack:
        otlp = read_otlp(os.environ)
        # Who counts hanging processes needs their reports.
        control = ControlListener(reports, has_reports=admin is not None or otlp.metrics)
        stack.enter_context(control)
        reloader = Reloader(settings, serving.load, control, serving.workers)
        address = None
        if admin is not None:
            from app.server.admin import open_admin  # noqa: PLC0415 # few have an admin port

            access = AdminAccess(lambda: reloader.settings.admin.token)

            def sources() -> Collection[str]:
                return reloader.settings.sources  # those of now, after a reload

            operations = (
                invalidation_route(control, serving.workers, access, sources),
                reload_route(reloader, access),
            )
            port = stack.enter_context(
                open_admin(
                    admin,
                    control,
                    __version__,
                    operations,
                    hosts=lambda: reloader.settings.hosts,  # the same
                )
            )
            address = port.address
        # After that of the admin port, because it sets up the log of the whole process.
        config = serving.make(1, settings, control.address)
        stack.enter_context(exporting_metrics(otlp, reports.metrics.snapshot, version=__version__))
        if address is not None:
            library_event(_log, logging.INFO, "admin.started", address=address)
        stack.enter_context(reloader.running())
        if config.workers > 1:
            with config.bind_socket() as listener:
                Supervisor(
                    config,
                    [listener],
                    serving=serving,
                    reloader=reloader,
                    control=control,
                    deaths=reports.metrics.counter(WORKER_DEATHS),
                ).run()
            return

        def reload(_: int, __: FrameType | None) -> None:
            reloader.ask("SIGHUP")

        signal.signal(signal.SIGHUP, reload)
        server = GatewayServer(config, serving.part, drain=serving.drain)
        try:
            server.run()
        except KeyboardInterrupt:
            pass
        except SystemExit:  # as process 1: uvicorn raises the signal again that has ended it
            if not server.started:
                raise
        if not server.started:
            sys.exit(STARTUP_FAILURE)


class Supervisor(Multiprocess):
    """Starts the processes, replaces those that die, and logs both.

    Args:
        config: How to serve.
        sockets: The bound sockets.
        serving: How to run the server.
        reloader: Reloads on SIGHUP.
        control: Sends commands to the processes.
        deaths: Counts the processes that die.

    uvicorn itself writes the death of a process as information, without its reason. It also ends a
    process that takes more than five seconds to start.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        *,
        serving: Serving,
        reloader: Reloader,
        control: ControlListener,
        deaths: Counter,
    ) -> None:
        super().__init__(config, sockets)
        self._serving = serving
        self._reloader = reloader
        self._control = control
        # When the listener ends after SIGTERM, by the monotonic clock; and whether to wait for
        # running requests no longer.
        self._drained_at: float | None = None
        reloader.use_with(self._use)
        for usual in ("SIGKILL", "hung"):  # else the first death of a kind is no increase
            deaths.add(0, usual)
        self._deaths = deaths
        self._has_started = False
        self._starting: dict[Process, float] = {}
        self._asked: set[Process] = set()
        self._ready: set[Process] = set()

    def init_processes(self) -> None:
        """Start all processes."""
        for _ in range(self.processes_num):
            self.processes.append(self._started_process())

    def _started_process(self) -> "WorkerProcess":
        """Start a process with the settings that are used now."""
        process = WorkerProcess(self.config, self.sockets, self._serving.part)
        process.start()
        return process

    def _use(self, version: int, settings: Settings) -> None:
        """Let processes that start from now on have other settings."""
        self.config = self._serving.make(version, settings, self._control.address)

    def handle_hup(self) -> None:
        """Reload. uvicorn would replace all processes."""
        self._reloader.ask("SIGHUP")

    def handle_term(self) -> None:
        """Begin the drain; end at once if it has begun already."""
        if self._drained_at is not None or not self._serving.drain:
            self.should_exit.set()
            return
        self._drained_at = time.monotonic() + self._serving.drain
        log_draining(self._serving.drain)
        self._control.send(BeginDrain(), within=1.0)

    def join_all(self) -> None:
        """Wait for the end of all processes; a further signal ends them at once."""
        while any(worker.process.is_alive() for worker in self.processes):
            if any(one in {signal.SIGTERM, signal.SIGINT} for one in self.signal_queue):
                self.signal_queue.clear()
                for worker in self.processes:
                    worker.process.terminate()
            for worker in self.processes:
                worker.process.join(0.05)

    def keep_subprocess_alive(self) -> None:
        """Replace the processes that have died or hang, and log them as errors."""
        if self._drained_at is not None:
            has_workers = any(worker.process.is_alive() for worker in self.processes)
            if time.monotonic() >= self._drained_at or not has_workers:
                self.should_exit.set()
            return
        for place, worker in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            reason = self._why_it_ended(worker)
            if reason is not None:
                self._replace(place, worker, reason)
        if not self._has_started and len(self._ready) == len(self.processes):
            self._has_started = True
            log_start(len(self.processes), self.sockets[0], is_https=self.config.is_ssl)

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
        # The next one could not start either: the settings or the port are wrong. Later, another
        # reason is likely, such as a file that is just replaced, and the other processes serve on.
        is_replaced = worker.exitcode != STARTUP_FAILURE or self._has_started
        if is_replaced:
            self.processes[place] = self._started_process()
        else:
            self.should_exit.set()
        if worker.exitcode == -signal.SIGTERM and is_replaced:
            library_event(_log, logging.INFO, "worker.restarted", worker=worker.pid)
            return
        self._deaths.add(1, reason)
        library_event(
            _log,
            logging.ERROR,
            "worker.died",
            worker=worker.pid,
            reason=reason,
            replaced=is_replaced,
        )


class WorkerProcess(Process):
    """One of several processes.

    Args:
        config: How to serve.
        sockets: The bound sockets.
        part: What the server itself has of settings.
    """

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], part: ServerPart
    ) -> None:
        super().__init__(config, sockets)
        self._part = part

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, in the new process. It does not drain: its supervisor does, for all processes.

        Args:
            sockets: The bound sockets.
        """
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor reloads
        # A daemon: it ends with the process, even while it waits.
        threading.Thread(target=_end_after_supervisor, name="supervisor", daemon=True).start()
        # Before uvicorn's thread, which answers the supervisor, asks for it.
        self._server = GatewayServer(self.config, self._part, drain=0.0, is_alone=False)
        super().target(sockets)


def _end_after_supervisor() -> None:
    """Wait for the end of the supervisor, then end this process as SIGTERM does.

    A supervisor that ends in good order ends its processes first. One that is killed cannot. Its
    processes would keep the port, and nothing would reload, watch or replace them.
    """
    supervisor = parent_process()
    if supervisor is not None:
        supervisor.join()
        library_event(_log, logging.ERROR, "gateway.supervisor_died", supervisor=supervisor.pid)
        os.kill(os.getpid(), signal.SIGTERM)


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
