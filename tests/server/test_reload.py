"""The supervisor's part of a reload: it reads once, and all processes swap or none."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from app.errors import ConfigurationError
from app.observability.logs import make_log
from app.server.commands import AbandonReload, Command, CommitReload, PrepareReload
from app.server.control import ControlListener
from app.server.process_link import keep_link
from app.server.reload import Reloader
from app.server.reports import Reports
from app.settings.models import LogSettings, Settings
from app.settings.operations import ReloadSettings
from tests.clock import ManualClock
from tests.fakes import settings_for_fakes
from tests.server.test_control import end
from tests.server.test_reports import report, until


class Process:
    """A process that records what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.mistakes: Sequence[str] = ()
        self.settings: Settings | None = None

    async def handle(self, command: Command) -> Sequence[str]:
        """Carry out a command."""
        match command:
            case PrepareReload(version=version, settings=settings):
                self.told.append(f"prepare {version}")
                self.settings = settings
                return self.mistakes
            case CommitReload(version=version) | AbandonReload(version=version):
                self.told.append(f"{command.kind.partition('_')[0]} {version}")
            case _:
                self.told.append(command.kind)
        return ()


class Supervisor:
    """A supervisor of processes, with the settings that the files have."""

    def __init__(self, control: ControlListener, settings: Settings, workers: int) -> None:
        self.control = control
        self.files: Settings | ConfigurationError = settings
        self.looks = 0
        self.reloader = Reloader(settings, self.load, control, workers)
        self.used: list[int] = []
        self.reloader.use_with(lambda version, _: self.used.append(version))

    def load(self) -> Settings:
        """Read the files."""
        self.looks += 1
        if isinstance(self.files, ConfigurationError):
            raise self.files
        return self.files


@asynccontextmanager
async def supervised(
    clock: ManualClock, settings: Settings, *processes: Process, version: int = 1
) -> AsyncGenerator[Supervisor]:
    """Run a supervisor and processes."""
    log = make_log(LogSettings(level="error"))
    with ControlListener(Reports(2, clock.monotonic), has_reports=False) as control:
        supervisor = Supervisor(control, settings, len(processes))
        links = [
            asyncio.create_task(
                keep_link(control.address, lambda: report(1, 0), one.handle, log, version)
            )
            for one in processes
        ]
        await asyncio.to_thread(control.wait_for_processes, len(processes), 10)
        with supervisor.reloader.running():
            yield supervisor
        await end(*links)


async def test_all_processes_prepare_and_then_all_swap(clock: ManualClock) -> None:
    settings = settings_for_fakes()
    one, other = Process(), Process()
    async with supervised(clock, settings, one, other) as supervisor:
        supervisor.files = settings.model_copy(update={"max_ids": 7, "workers": 3})
        outcome = await asyncio.to_thread(supervisor.reloader.reload, "test")

    assert one.told == other.told == ["prepare 2", "commit 2"]
    assert (outcome.outcome, outcome.changed) == ("reloaded", ("max_ids",))
    assert outcome.needs_restart == ("workers",)
    assert one.settings == settings.model_copy(update={"max_ids": 7})
    assert supervisor.used == [2]


async def test_if_one_process_cannot_prepare_none_swaps(clock: ManualClock) -> None:
    settings = settings_for_fakes()
    one, other = Process(), Process()
    other.mistakes = ("the keys could not be fetched",)
    async with supervised(clock, settings, one, other) as supervisor:
        outcome = await asyncio.to_thread(supervisor.reloader.reload, "test")
        other.mistakes = ()
        again = await asyncio.to_thread(supervisor.reloader.reload, "test")

    assert one.told == ["prepare 2", "abandon 2", "prepare 2", "commit 2"]
    assert (outcome.outcome, outcome.mistakes) == ("refused", ("the keys could not be fetched",))
    assert again.outcome == "reloaded"


async def test_settings_that_cannot_be_read_reach_no_process(clock: ManualClock) -> None:
    process = Process()
    async with supervised(clock, settings_for_fakes(), process) as supervisor:
        supervisor.files = ConfigurationError(("one mistake", "another"))
        outcome = await asyncio.to_thread(supervisor.reloader.reload, "test")

    assert (outcome.outcome, outcome.mistakes) == ("refused", ("one mistake", "another"))
    assert process.told == []
    assert supervisor.reloader.settings == settings_for_fakes()


async def test_a_process_that_began_with_older_settings_catches_up(clock: ManualClock) -> None:
    settings = settings_for_fakes()
    one, late = Process(), Process()
    log = make_log(LogSettings(level="error"))
    async with supervised(clock, settings, one) as supervisor:
        await asyncio.to_thread(supervisor.reloader.reload, "test")
        link = asyncio.create_task(
            keep_link(supervisor.control.address, lambda: report(1, 0), late.handle, log, 1)
        )
        await until(lambda: "commit 2" in late.told)
        await end(link)

    assert late.told == ["prepare 2", "commit 2"]


@pytest.mark.parametrize("broken", [False, True])
async def test_changed_files_are_reloaded_once(clock: ManualClock, *, broken: bool) -> None:
    settings = settings_for_fakes(reload=ReloadSettings(watch=True, interval=0.01))
    process = Process()

    def looked(supervisor: Supervisor, more: int) -> Callable[[], bool]:
        wanted = supervisor.looks + more
        return lambda: supervisor.looks >= wanted

    async with supervised(clock, settings, process) as supervisor:
        await until(looked(supervisor, 3))
        before = [*process.told]
        if broken:
            supervisor.files = ConfigurationError(("a mistake",))
            await until(looked(supervisor, 5))
        supervisor.files = settings.model_copy(update={"max_ids": 7})
        await until(lambda: len(process.told) > 1)
        await until(looked(supervisor, 5))

    assert before == []
    assert process.told == ["prepare 2", "commit 2"]
