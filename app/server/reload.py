"""Reloads the settings of all processes, in two phases.

The settings are read once, here, and sent to the processes: so all have the same, and a mistake is
said once. First every process prepares a gateway of the new settings. If one of them cannot, none
uses it. Then all swap. A process that starts later begins with the settings that count then, and
serves no request before the supervisor has told it that they still count.

It runs in threads of the process that has the admin port and gets the signals. With several
workers that is their supervisor.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Literal, TypeAlias

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.errors import ConfigurationError
from app.observability.logs import library_event
from app.observability.metric_list import RELOADS
from app.server.admin_access import AdminAccess
from app.server.commands import (
    AbandonReload,
    Acknowledgement,
    Command,
    CommitReload,
    PrepareReload,
)
from app.server.control import ControlListener
from app.server.unusable import MOST_OF_SUPERVISOR, portions
from app.settings.changes import applicable, changes
from app.settings.files import WithFiles, with_files
from app.settings.models import Settings

_log = logging.getLogger("uvicorn.error")

PREPARE_WITHIN = 60.0
"""Seconds in which a process has to prepare: the longest that a process may take to start."""

COMMIT_WITHIN = 5.0
"""Seconds in which a process has to swap. It takes a millisecond, and a process that does not
answer for so long hangs, and is replaced."""

LoadSettings: TypeAlias = Callable[[], Settings]
"""Reads the settings and all that they name. It raises ``ConfigurationError``."""

START_WITHIN = 30.0
"""Seconds for which a reload waits for processes that are just starting."""

LATE_PROCESS = "a process that started meanwhile"
"""The trigger, in the log, for a process that has older settings than the others."""

NOBODY = "no process of this gateway runs, so none could check the settings: reload again"
"""Why settings are not used that no process has checked."""

ENDING = "the gateway ends, and reloads no more"
"""Why settings are not read any more."""


class _Met(Struct, frozen=True):
    """A process has connected.

    Attributes:
        version: Number of the settings that it began with.
    """

    version: int


FilesSeen: TypeAlias = WithFiles[Settings] | tuple[str, ...]
"""The settings that were read, or what is wrong with them."""

UseSettings: TypeAlias = Callable[[int, Settings], None]
"""Lets processes that start from now on have these settings, with their number."""


class ReloadOutcome(BaseModel):
    """What a reload has done."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    outcome: Literal["reloaded", "refused"] = Field(description="Whether the settings are used.")
    version: int = Field(description="Number of the settings that are used now.")
    changed: tuple[str, ...] = Field(default=(), description="Names of settings that changed.")
    needs_restart: tuple[str, ...] = Field(
        default=(), description="Names of settings that changed, and are read at the start only."
    )
    mistakes: tuple[str, ...] = Field(default=(), description="Why they are refused.")


class Reloader:
    """Reloads when it is asked to, one reload after the other. Any thread may ask.

    Args:
        settings: The settings that processes begin with; their number is 1.
        load: Reads the settings anew.
        control: Sends commands to the processes.
    """

    def __init__(self, settings: Settings, load: LoadSettings, control: ControlListener) -> None:
        self._used = with_files(settings)
        self._version = 1
        self._load = load
        self._control = control
        self._use: UseSettings = _use_nowhere
        self._reloading = threading.Lock()
        self._is_ending = False
        self._asked: SimpleQueue[str | _Met | None] = SimpleQueue()
        # What the last reload has read, and what the last look at the files.
        self._read: FilesSeen = self._used
        self._seen: FilesSeen = self._used
        self._count = control.reports.metrics.counter(RELOADS)
        for outcome in ("reloaded", "refused"):  # else the first one is no increase
            self._count.add(0, outcome)
        control.when_connected(self._meet)

    @property
    def settings(self) -> Settings:
        """The settings that are used now."""
        return self._used.settings

    def use_with(self, use: UseSettings) -> None:
        """Say what lets later processes have the settings.

        Args:
            use: Lets them.
        """
        self._use = use

    def ask(self, trigger: str) -> None:
        """Ask for a reload, and do not wait for it. A handler of a signal may call it.

        Args:
            trigger: What asks, for the log.
        """
        self._asked.put(trigger)

    @contextmanager
    def running(self) -> Generator[None]:
        """Reload when it is asked for, until the end of the context.

        Yields:
            Nothing.
        """
        watch = self.settings.reload
        interval = watch.interval if watch.watch else None
        # A daemon: a process that does not answer must not keep this one alive.
        thread = threading.Thread(target=self._run, args=(interval,), name="reload", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._is_ending = True
            self._control.expect_no_more()
            self._asked.put(None)
            thread.join(1.0)

    def reload(self, trigger: str) -> ReloadOutcome:
        """Read the settings, and let all processes use them. It blocks until that is done.

        Args:
            trigger: What asks, for the log.

        Returns:
            What was done.
        """
        with self._reloading:
            if self._is_ending:
                return self._refused(trigger, (ENDING,))
            began = time.monotonic()
            self._read = self._look()
            if isinstance(self._read, tuple):
                return self._refused(trigger, self._read)
            return self._apply(trigger, self._read, began)

    def _look(self) -> FilesSeen:
        """Read the settings and their files."""
        try:
            return with_files(self._load())
        except ConfigurationError as error:
            return error.mistakes

    def _apply(self, trigger: str, read: WithFiles[Settings], began: float) -> ReloadOutcome:
        """Let all processes prepare settings, and then use them."""
        settings, needs_restart = applicable(self.settings, read.settings)
        used, version = WithFiles(settings, read.digests), self._version + 1
        self._control.wait_for_processes(START_WITHIN)
        prepared = self._send(PrepareReload(version=version, settings=settings), PREPARE_WITHIN)
        if not prepared:
            return self._refused(trigger, (ENDING if self._is_ending else NOBODY,))
        if mistakes := _mistakes_of(prepared):
            self._send(AbandonReload(version=version), COMMIT_WITHIN)
            return self._refused(trigger, mistakes)
        changed = changes(self._used, used)
        self._used, self._version = used, version
        self._use(version, settings)
        swapped = self._send(CommitReload(version=version), COMMIT_WITHIN)
        self._count.add(1, "reloaded")
        library_event(
            _log,
            logging.INFO,
            "gateway.reloaded",
            trigger=trigger,
            version=version,
            workers=len(swapped),
            changed=[*changed],
            needs_restart=[*needs_restart],
            duration_ms=round((time.monotonic() - began) * 1000),
        )
        return ReloadOutcome(
            outcome="reloaded",
            version=version,
            changed=tuple(changed),
            needs_restart=tuple(needs_restart),
        )

    def _send(self, command: Command, within: float) -> Sequence[Acknowledgement]:
        """Send a command to all processes."""
        return self._control.send(command, within=within)

    def _refused(self, trigger: str, mistakes: Sequence[str]) -> ReloadOutcome:
        """Log why settings are not used."""
        self._count.add(1, "refused")
        for some in portions(mistakes, MOST_OF_SUPERVISOR):
            library_event(
                _log, logging.ERROR, "gateway.reload_refused", trigger=trigger, mistakes=[*some]
            )
        return ReloadOutcome(outcome="refused", version=self._version, mistakes=tuple(mistakes))

    def _run(self, interval: float | None) -> None:
        """Reload when it is asked for, or when files have changed."""
        while True:
            try:
                trigger = self._asked.get(timeout=interval)
            except Empty:
                trigger = self._changed_files()
                if not trigger:
                    continue
            asked = [trigger]
            while not self._asked.empty():
                asked.append(self._asked.get())
            if None in asked:
                return
            if met := [one.version for one in asked if isinstance(one, _Met)]:
                self._welcome(met)
            if triggers := [one for one in asked if isinstance(one, str)]:  # several are one
                self.reload(triggers[-1])

    def _changed_files(self) -> str:
        """Return why to reload; an empty text if nothing has changed.

        A change counts when two looks see the same: between them nobody was writing. Settings that
        were refused are not tried again before they have changed.
        """
        before, self._seen = self._seen, self._look()
        return "files" if self._seen != self._read and self._seen == before else ""

    def _meet(self, version: int) -> None:
        """Welcome a process that has connected, after what is being done now."""
        self._asked.put(_Met(version))

    def _welcome(self, versions: Sequence[int]) -> None:
        """Let processes that have connected use the settings that count now, and serve requests.

        They wait for it. One that was started while the others reloaded has older settings. The
        others use these settings already, and do nothing. If certificates or trusted documents have
        changed since then, the new process has the new ones, so that all read them again.
        """
        with self._reloading:
            began, now = time.monotonic(), with_files(self.settings)
            is_all_used = self._read == self._used
            if now != self._used and self._apply(LATE_PROCESS, now, began).outcome == "reloaded":
                if is_all_used:
                    self._read = now  # else the files would be reloaded once more
                return
            if any(version != self._version for version in versions):
                command = PrepareReload(version=self._version, settings=self.settings)
                if mistakes := _mistakes_of(self._send(command, PREPARE_WITHIN)):
                    self._refused(LATE_PROCESS, mistakes)
                    return
            self._send(CommitReload(version=self._version), COMMIT_WITHIN)


def _mistakes_of(answers: Sequence[Acknowledgement]) -> Sequence[str]:
    """Return what processes say is wrong, each sentence once."""
    return [*dict.fromkeys(mistake for one in answers for mistake in one.mistakes)]


def _use_nowhere(_: int, __: Settings) -> None:
    """Start no other process: there is one only."""


def reload_route(reloader: Reloader, access: AdminAccess) -> Route:
    """Make the route of the admin port that reloads.

    Args:
        reloader: Reloads.
        access: Lets only clients with the token do it.

    Returns:
        ``POST /reload``. It answers when all processes use the settings, with what was done; with
        status 422 if they are refused.
    """
    # One waits in a thread, and the others here: the port has few threads, and needs them to
    # answer /metrics meanwhile.
    turn = asyncio.Lock()

    async def reload(_: Request) -> Response:
        async with turn:
            outcome = await asyncio.to_thread(reloader.reload, "POST /reload")
        status = 200 if outcome.outcome == "reloaded" else 422
        return Response(outcome.model_dump_json(), status, media_type="application/json")

    return Route("/reload", access.guarded(reload), methods=["POST"])
