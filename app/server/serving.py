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
from msgspec import Struct, field
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
from app.server.restarts import Restarts
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

    Raises:
        SystemExit: The server could not start.
    """
    reports = Reports(serving.workers, time.monotonic)
    with ExitStack() as stack:
        otlp = read_otlp(os.environ)
        # Who counts hanging processes needs their reports.
        has_reports = admin is not None or otlp.metrics
        control = ControlListener(reports, serving.workers, has_reports=has_reports)
        stack.enter_context(control)
        reloader = Reloader(settings, serving.load, control)
        address = None
        if admin is not None:
            from app.server.admin import open_admin  # noqa: PLC0415 # few have an admin port

            access = AdminAccess(lambda: reloader.settings.admin.token)

            def sources() -> Collection[str]:
                return reloader.settings.sources  # those of now, after a reload

            operations = (
                invalidation_route(control, access, sources),
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
        config = serving.make(1, settings, control.address)
        # After that of the admin port, because it sets up the log of the whole process.
        config.configure_logging()
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
        # Else they would be uvicorn's: it would add a process that no reload reaches, or end one.
        for changes_number in (signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(changes_number, signal.SIG_IGN)
        reloader.use_with(self._use)
        for usual in ("SIGKILL", "hung"):  # else the first death of a kind is no increase
            deaths.add(0, usual)
        self._deaths = deaths
        self._has_started = False
        self._places: list[_Place] = []

    def init_processes(self) -> None:
        """Start all processes."""
        for number in range(self.processes_num):
            place = _Place(number)
            self._places.append(place)
            self.processes.append(self._started_process(place))

    def _started_process(self, place: "_Place") -> "WorkerProcess":
        """Start a process with the settings that are used now."""
        process = WorkerProcess(self.config, self.sockets, self._serving.part)
        place.begin(time.monotonic())
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
            alive = sum(worker.process.is_alive() for worker in self.processes)
            self._control.expect(alive)
            if time.monotonic() >= self._drained_at or not alive:
                self.should_exit.set()
            return
        for place in self._places:
            if self.should_exit.is_set():
                return
            self._look_after(place)
        # The others do not wait for one that pauses before its restart.
        self._control.expect(sum(place.restart_at is None for place in self._places))
        if not self._has_started and all(place.is_ready for place in self._places):
            self._has_started = True
            log_start(len(self.processes), self.sockets[0], is_https=self.config.is_ssl)

    def _look_after(self, place: "_Place") -> None:
        """Replace the process of a place if it has died or hangs; at once, or when it is time."""
        if place.restart_at is None:
            worker = self.processes[place.number]
            reason = self._why_it_ended(worker, place)
            if reason is not None:
                self._plan_restart(worker, place, reason)
        if place.restart_at is not None and time.monotonic() >= place.restart_at:
            self.processes[place.number] = self._started_process(place)

    def _why_it_ended(self, worker: Process, place: "_Place") -> str | None:
        """Return why a process has ended, and end one that hangs; ``None`` if it lives."""
        if not worker.process.is_alive():
            return death_of(worker.exitcode)
        if place.is_ready:
            if worker.ping(self.config.timeout_worker_healthcheck):
                return None
        elif _may_still_start(worker, place):
            return None
        has_died = not worker.process.is_alive()  # while it was asked
        worker.kill()
        return death_of(worker.exitcode) if has_died else "hung"

    def _plan_restart(self, worker: Process, place: "_Place", reason: str) -> None:
        """Log the end of a process, and say when the next one is to start, if it is."""
        worker.join()
        place.is_ready = False
        now = time.monotonic()
        # The next one could not start either: the settings or the port are wrong. Later, another
        # reason is likely, such as a file that is just replaced, and the other processes serve on.
        is_replaced = worker.exitcode != STARTUP_FAILURE or self._has_started
        if worker.exitcode == -signal.SIGTERM and is_replaced:
            place.restart_at = now
            library_event(_log, logging.INFO, "worker.restarted", worker=worker.pid)
            return
        pause = place.restarts.pause_after(now - place.started_at)
        if is_replaced:
            place.restart_at = now + pause
        else:
            self.should_exit.set()
        self._deaths.add(1, reason)
        library_event(
            _log,
            logging.ERROR,
            "worker.died",
            worker=worker.pid,
            reason=reason,
            replaced=is_replaced,
            pause_s=pause,
        )


class _Place(Struct):
    """The place of one process after another.

    Attributes:
        number: Its index.
        started_at: When its process was started, by the monotonic clock.
        restart_at: When the next process is to start; ``None`` while one lives.
        is_asked: Whether the process was asked if it has started, and has not answered.
        is_ready: Whether the process has started.
        restarts: How long the next process waits.
    """

    number: int
    started_at: float = 0.0
    restart_at: float | None = None
    is_asked: bool = False
    is_ready: bool = False
    restarts: Restarts = field(default_factory=Restarts)

    def begin(self, now: float) -> None:
        """Begin the life of a process.

        Args:
            now: The time, by the monotonic clock.
        """
        self.started_at, self.restart_at = now, None
        self.is_asked = self.is_ready = False


def _may_still_start(worker: Process, place: _Place) -> bool:
    """Ask a process whether it has started; return whether it has, or may still do so."""
    # One question at a time: it cannot answer while it imports the application.
    with suppress(OSError, EOFError):
        if not place.is_asked:
            worker.parent_conn.send(b"ping")
            place.is_asked = True
        if worker.parent_conn.poll(0):
            place.is_asked = False
            place.is_ready = worker.parent_conn.recv()
    return place.is_ready or time.monotonic() - place.started_at < START_WITHIN


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
