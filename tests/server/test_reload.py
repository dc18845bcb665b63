"""The supervisor of a reload: it reads the files once, and all processes swap or none."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.observability.logs import LogFormat, make_log, uvicorn_formatter
from app.server.commands import AbandonReload, Command, CommitReload, PrepareReload
from app.server.control import ControlListener
from app.server.process_link import keep_link
from app.server.reload import Reloader
from app.server.reports import Reports
from app.settings.models import LogSettings, Settings
from app.settings.operations import ReloadSettings
from app.settings.server import TrustedSettings
from tests.clock import ManualClock
from tests.fakes import settings_for_fakes
from tests.server.test_control import end_links
from tests.server.test_reports import report, until


class Process:
    """A process that records the commands that change something.

    Attributes:
        recorded: The commands.
        is_welcome: Whether its settings are confirmed.
        mistakes: The mistakes that it returns for settings.
        preparing: The event that it waits for when it prepares.
        settings: The settings that it has prepared.
    """

    def __init__(self) -> None:
        self.recorded: list[str] = []
        self.is_welcome = False
        self.mistakes: Sequence[str] = ()
        self.preparing = asyncio.Event()
        self.preparing.set()
        self.settings: Settings | None = None
        self._prepared = self._used = 1

    async def handle(self, command: Command) -> Sequence[str]:
        """Carry out a command."""
        match command:
            case PrepareReload(version=version, settings=settings):
                if version != self._used:
                    self.recorded.append(f"prepare {version}")
                    self.settings = settings
                    await self.preparing.wait()
                    self._prepared = version
                    return self.mistakes
            case CommitReload(version=version):
                if version not in {self._used, self._prepared}:
                    return ("it is not prepared",)
                if version != self._used:
                    self.recorded.append(f"commit {version}")
                    self._used = version
                self.is_welcome = True
            case AbandonReload(version=version):
                self.recorded.append(f"abandon {version}")
            case _:
                self.recorded.append(command.kind)
        return ()


class Supervisor:
    """A supervisor of processes, with the settings of the files."""

    def __init__(self, control: ControlListener, settings: Settings) -> None:
        self.control = control
        self.files: Settings | ConfigurationError = settings
        self.looks = 0
        self.reloader = Reloader(settings, self.load, control)
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
    reports = Reports(2, clock.monotonic)
    with ControlListener(reports, len(processes), has_reports=False) as control:
        supervisor = Supervisor(control, settings)
        links = [
            asyncio.create_task(
                keep_link(control.address, lambda: report(1, 0), one.handle, log, version)
            )
            for one in processes
        ]
        await asyncio.to_thread(control.wait_for_processes, 10)
        with supervisor.reloader.running():
            await until(lambda: all(one.is_welcome for one in processes))
            yield supervisor
        await end_links(*links)


async def test_all_processes_prepare_and_then_all_swap(clock: ManualClock) -> None:
    settings = settings_for_fakes()
    one, other = Process(), Process()
    async with supervised(clock, settings, one, other) as supervisor:
        supervisor.files = settings.model_copy(update={"max_ids": 7, "workers": 3})
        outcome = await asyncio.to_thread(supervisor.reloader.reload, "test")

    assert one.recorded == other.recorded == ["prepare 2", "commit 2"]
    assert (outcome.outcome, outcome.changed) == ("reloaded", ("max_ids",))
    assert outcome.needs_restart == ("workers",)
    assert one.settings == settings.model_copy(update={"max_ids": 7})
    assert supervisor.used == [2]


async def test_no_process_swaps_if_one_cannot_prepare(clock: ManualClock) -> None:
    settings = settings_for_fakes()
    one, other = Process(), Process()
    other.mistakes = ("the keys could not be fetched",)
    async with supervised(clock, settings, one, other) as supervisor:
        outcome = await asyncio.to_thread(supervisor.reloader.reload, "test")
        other.mistakes = ()
        again = await asyncio.to_thread(supervisor.reloader.reload, "test")

    assert one.recorded == ["prepare 2", "abandon 2", "prepare 2", "commit 2"]
    assert (outcome.outcome, outcome.mistakes) == ("refused", ("the keys could not be fetched",))
    assert again.outcome == "reloaded"


async def test_invalid_settings_are_sent_to_no_process(clock: ManualClock) -> None:
    process = Process()
    async with supervised(clock, settings_for_fakes(), process) as supervisor:
        supervisor.files = ConfigurationError(("one mistake", "another"))
        outcome = await asyncio.to_thread(supervisor.reloader.reload, "test")

    assert (outcome.outcome, outcome.mistakes) == ("refused", ("one mistake", "another"))
    assert process.recorded == []
    assert supervisor.reloader.settings == settings_for_fakes()


async def test_a_process_that_starts_with_old_settings_gets_the_new_ones(
    clock: ManualClock,
) -> None:
    settings = settings_for_fakes()
    one, late = Process(), Process()
    log = make_log(LogSettings(level="error"))
    async with supervised(clock, settings, one) as supervisor:
        await asyncio.to_thread(supervisor.reloader.reload, "test")
        link = asyncio.create_task(
            keep_link(supervisor.control.address, lambda: report(1, 0), late.handle, log, 1)
        )
        await until(lambda: "commit 2" in late.recorded)
        await end_links(link)

    assert late.recorded == ["prepare 2", "commit 2"]


async def test_a_process_that_connects_during_a_reload_gets_the_new_settings(
    clock: ManualClock,
) -> None:
    one, late = Process(), Process()
    log = make_log(LogSettings(level="error"))
    async with supervised(clock, settings_for_fakes(), one) as supervisor:
        one.preparing.clear()
        reload = asyncio.create_task(asyncio.to_thread(supervisor.reloader.reload, "test"))
        await until(lambda: one.recorded == ["prepare 2"])
        link = asyncio.create_task(
            keep_link(supervisor.control.address, lambda: report(1, 0), late.handle, log, 1)
        )
        await until(lambda: len(supervisor.control.processes()) == 2)
        was_welcome = late.is_welcome
        one.preparing.set()
        await reload
        await until(lambda: late.is_welcome)
        await end_links(link)

    assert not was_welcome
    assert late.recorded == ["prepare 2", "commit 2"]


async def test_settings_that_no_process_has_checked_are_refused(clock: ManualClock) -> None:
    one, log = Process(), make_log(LogSettings(level="error"))
    one.preparing.clear()
    with ControlListener(Reports(1, clock.monotonic), has_reports=False) as control:
        supervisor = Supervisor(control, settings_for_fakes())
        link = asyncio.create_task(
            keep_link(control.address, lambda: report(1, 0), one.handle, log, 1)
        )
        reload = asyncio.create_task(asyncio.to_thread(supervisor.reloader.reload, "test"))
        await until(lambda: one.recorded == ["prepare 2"])
        await end_links(link)  # the only process ends
        outcome = await reload

    assert (outcome.outcome, outcome.version, supervisor.used) == ("refused", 1, [])
    assert "no process of this gateway runs" in outcome.mistakes[0]


async def test_a_signal_before_the_connection_of_a_process_still_reloads(
    clock: ManualClock,
) -> None:
    one, other = Process(), Process()
    log = make_log(LogSettings(level="error"))
    async with supervised(clock, settings_for_fakes(), one) as supervisor:
        one.preparing.clear()
        supervisor.reloader.ask("SIGHUP")
        await until(lambda: one.recorded == ["prepare 2"])
        supervisor.reloader.ask("SIGHUP")
        link = asyncio.create_task(
            keep_link(supervisor.control.address, lambda: report(1, 0), other.handle, log, 1)
        )
        await until(lambda: len(supervisor.control.processes()) == 2)
        one.preparing.set()
        await until(lambda: "commit 3" in other.recorded)
        await end_links(link)

    assert one.recorded == ["prepare 2", "commit 2", "prepare 3", "commit 3"]
    assert other.recorded == one.recorded


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(("count", "events"), [(40, 1), (100, 3)])
async def test_mistakes_are_logged_whole_in_lines_of_limited_length(
    clock: ManualClock, caplog: pytest.LogCaptureFixture, form: LogFormat, count: int, events: int
) -> None:
    mistakes = tuple(f"setting_{number} is wrong: é\x7f{'x' * 300}" for number in range(count))
    async with supervised(clock, settings_for_fakes(), Process()) as supervisor:
        supervisor.files = ConfigurationError(mistakes)
        with caplog.at_level(logging.ERROR, "uvicorn.error"):
            await asyncio.to_thread(supervisor.reloader.reload, "test")

    lines = [uvicorn_formatter(form).format(one) for one in caplog.records]
    assert len(lines) == events
    assert all(len(line.encode()) <= 16_384 for line in lines)
    for number in range(count):
        assert [line for line in lines if f"setting_{number} is wrong" in line]
    assert not [line for line in lines if "characters cut" in line]


@pytest.mark.parametrize("broken", [False, True])
async def test_changed_files_are_reloaded_once(clock: ManualClock, *, broken: bool) -> None:
    settings = settings_for_fakes(reload=ReloadSettings(watch=True, interval=0.01))
    process = Process()

    def looked(supervisor: Supervisor, more: int) -> Callable[[], bool]:
        wanted = supervisor.looks + more
        return lambda: supervisor.looks >= wanted

    async with supervised(clock, settings, process) as supervisor:
        await until(looked(supervisor, 3))
        before = [*process.recorded]
        if broken:
            supervisor.files = ConfigurationError(("a mistake",))
            await until(looked(supervisor, 5))
        supervisor.files = settings.model_copy(update={"max_ids": 7})
        await until(lambda: len(process.recorded) > 1)
        await until(looked(supervisor, 5))

    assert before == []
    assert process.recorded == ["prepare 2", "commit 2"]


async def test_files_that_a_late_process_has_read_are_not_reloaded_again(
    clock: ManualClock, tmp_path: Path
) -> None:
    documents = tmp_path / "documents.graphql"
    documents.write_text("{ __typename }", encoding="utf-8")
    settings = settings_for_fakes(
        reload=ReloadSettings(watch=True, interval=0.1), trusted=TrustedSettings(path=documents)
    )
    process, late = Process(), Process()
    log = make_log(LogSettings(level="error"))
    async with supervised(clock, settings, process) as supervisor:
        documents.write_text("{ other: __typename }", encoding="utf-8")
        link = asyncio.create_task(
            keep_link(supervisor.control.address, lambda: report(1, 0), late.handle, log, 1)
        )
        await until(lambda: late.is_welcome and len(process.recorded) > 1)
        wanted = supervisor.looks + 4
        await until(lambda: supervisor.looks >= wanted)
        await end_links(link)

    assert process.recorded == late.recorded == ["prepare 2", "commit 2"]
