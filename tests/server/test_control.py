"""The supervisor and its processes: reports arrive, and all processes execute commands."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path

import pytest

from app.observability.logs import make_log
from app.observability.metric_list import OPERATIONS
from app.observability.metrics import Metrics
from app.server.commands import (
    Acknowledgement,
    Command,
    CommandHandlers,
    CommitReload,
    InvalidateCache,
    PrepareReload,
)
from app.server.control import ControlAddress, ControlListener
from app.server.health import Readiness
from app.server.process_link import keep_link
from app.server.reports import Report, Reports
from app.settings.models import LogSettings, Settings
from app.sources.cache.invalidation import Invalidation
from tests.clock import ManualClock
from tests.server.test_reports import report, until, values

SETTINGS = Settings.model_validate({"router_token": "0123456789abcdef", "port": 8001})


async def refuse_all(command: Command) -> Sequence[str]:
    """Refuse a command."""
    return (f"no {command.kind} here",)


def host_and_port(address: ControlAddress) -> tuple[str, int]:
    """Return host and port."""
    return address.host, address.port


def start_link(
    address: ControlAddress,
    make: Callable[[], Report] = lambda: report(os.getpid(), 5),
    handle: Callable[[Command], Awaitable[Sequence[str]]] = refuse_all,
) -> asyncio.Task[None]:
    """Link this process to a supervisor; each link plays one process."""
    log = make_log(LogSettings(level="error"))
    return asyncio.create_task(keep_link(address, make, handle, log))


async def end_links(*links: asyncio.Task[None]) -> None:
    """End links."""
    for link in links:
        link.cancel()
    await asyncio.wait(links)


async def test_every_process_executes_a_command_or_returns_the_reasons(clock: ManualClock) -> None:
    done: list[Command] = []

    async def prepare(command: PrepareReload) -> Sequence[str]:
        done.append(command)
        return ()

    async def commit(command: CommitReload) -> Sequence[str]:
        return (f"nothing is prepared: version {command.version}", "a second reason")

    handlers = CommandHandlers().having(PrepareReload, prepare).having(CommitReload, commit)
    with ControlListener(Reports(2, clock.monotonic), 2, has_reports=False) as control:
        links = [start_link(control.address, handle=handlers) for _ in range(2)]
        await asyncio.to_thread(control.wait_for_processes, 10)
        answers = [
            await asyncio.to_thread(control.send, command, within=10)
            for command in (
                PrepareReload(version=7, settings=SETTINGS),
                CommitReload(version=7),
                InvalidateCache(invalidation=Invalidation(users=("a",))),
            )
        ]
        await end_links(*links)

    assert [[one.mistakes for one in answer] for answer in answers] == [
        [(), ()],
        [("nothing is prepared: version 7", "a second reason")] * 2,
        [("this gateway does not carry out the command invalidate_cache",)] * 2,
    ]
    assert {one.pid for answer in answers for one in answer} == {os.getpid()}
    # Secrets arrive unchanged.
    assert done == [PrepareReload(version=7, settings=SETTINGS)] * 2


async def test_a_process_without_an_acknowledgement_in_time_counts_as_refusing(
    clock: ManualClock,
) -> None:
    late = asyncio.Event()

    async def wait(_: Command) -> Sequence[str]:
        await late.wait()
        return ()

    with ControlListener(Reports(1, clock.monotonic), has_reports=False) as control:
        link = start_link(control.address, handle=wait)
        await asyncio.to_thread(control.wait_for_processes, 10)
        [answer] = await asyncio.to_thread(control.send, CommitReload(version=1), within=0.05)
        late.set()  # its late acknowledgement is ignored
        [again] = await asyncio.to_thread(control.send, CommitReload(version=1), within=10)
        await end_links(link)

    assert answer.mistakes == ("the process did not answer within 0.05 s",)
    assert again.mistakes == ()


async def test_the_supervisor_does_not_wait_for_a_process_that_has_ended(
    clock: ManualClock,
) -> None:
    asked = asyncio.Event()

    async def wait(_: Command) -> Sequence[str]:
        asked.set()
        await asyncio.Event().wait()
        return ()

    with ControlListener(Reports(1, clock.monotonic), has_reports=False) as control:
        link = start_link(control.address, handle=wait)
        await asyncio.to_thread(control.wait_for_processes, 10)
        sending = asyncio.create_task(
            asyncio.to_thread(control.send, CommitReload(version=1), within=60)
        )
        await asked.wait()
        await end_links(link)

        answers: Sequence[Acknowledgement] = await sending
        assert (answers, control.processes()) == ([], [])


async def test_a_process_that_waits_for_its_restart_is_not_waited_for(clock: ManualClock) -> None:
    with ControlListener(Reports(2, clock.monotonic), 2, has_reports=False) as control:
        waiting = asyncio.create_task(asyncio.to_thread(control.wait_for_processes, 60))
        link = start_link(control.address)
        await until(lambda: len(control.processes()) == 1)
        assert not waiting.done()
        control.expect(1)
        assert await waiting
        await end_links(link)


async def test_at_least_one_process_is_waited_for(clock: ManualClock) -> None:
    with ControlListener(Reports(1, clock.monotonic), has_reports=False) as control:
        control.expect(0)
        assert not control.wait_for_processes(0.01)
        link = start_link(control.address)
        assert await asyncio.to_thread(control.wait_for_processes, 60)
        await end_links(link)


async def test_an_exception_during_a_command_is_a_logged_refusal(
    clock: ManualClock, tmp_path: Path
) -> None:
    async def fail(_: Command) -> Sequence[str]:
        raise ZeroDivisionError

    with (
        (tmp_path / "log").open("w") as stream,
        ControlListener(Reports(1, clock.monotonic), has_reports=False) as control,
    ):
        log = make_log(LogSettings(), "json", stream)
        link = asyncio.create_task(
            keep_link(control.address, lambda: report(os.getpid(), 5), fail, log)
        )
        await asyncio.to_thread(control.wait_for_processes, 10)
        [answer] = await asyncio.to_thread(control.send, CommitReload(version=1), within=10)
        await end_links(link)

    assert "worker.bug" in answer.mistakes[0]
    assert "ZeroDivisionError" in (tmp_path / "log").read_text()


async def test_processes_send_no_reports_if_the_supervisor_reads_none(clock: ManualClock) -> None:
    made: list[Report] = []

    def make() -> Report:
        made.append(report(os.getpid(), 5))
        return made[-1]

    with ControlListener(Reports(1, clock.monotonic), has_reports=False) as control:
        link = start_link(control.address, make)
        await asyncio.to_thread(control.wait_for_processes, 10)
        await end_links(link)

    assert not made


async def test_the_gauges_of_a_report_end_with_its_connection(clock: ManualClock) -> None:
    reports = Reports(1, clock.monotonic)
    with ControlListener(reports, has_reports=True) as listener:
        sending = start_link(listener.address)
        await until(lambda: values(reports).get("gateway.operations") == 5)
        alive = values(reports)
        sending.cancel()
        await asyncio.wait([sending])
        await until(lambda: "graphql.server.active_requests" not in values(reports))

    assert alive["graphql.server.active_requests"] == 0
    assert values(reports) == {"gateway.operations": 5}


async def test_a_program_without_the_key_is_refused(clock: ManualClock) -> None:
    reports = Reports(1, clock.monotonic)
    with ControlListener(reports, has_reports=True) as listener:
        with pytest.raises(AuthenticationError):
            await asyncio.to_thread(Client, host_and_port(listener.address), authkey=b"guess")
        sending = start_link(listener.address)
        await until(lambda: values(reports).get("gateway.operations") == 5)
        sending.cancel()
        await asyncio.wait([sending])


async def test_the_last_report_arrives_while_another_is_being_sent(clock: ManualClock) -> None:
    made = asyncio.Event()
    large = Metrics()
    for number in range(20_000):
        large.counter(OPERATIONS).add(1, f"renderer {number:060}")
    sent = [
        report(os.getpid(), 2),
        Report(
            pid=os.getpid(),
            readiness=Readiness.of(is_ready=True, sources={}),
            snapshot=large.snapshot(),
        ),
    ]

    def make() -> Report:
        made.set()
        return sent.pop()

    reports = Reports(1, clock.monotonic)
    with ControlListener(reports, has_reports=True) as listener:
        sending = start_link(listener.address, make)
        await made.wait()
        sending.cancel()
        await asyncio.wait([sending])
        await until(lambda: values(reports) == {"gateway.operations": 2})


async def test_a_silent_program_does_not_block_the_links_of_others(clock: ManualClock) -> None:
    reports = Reports(1, clock.monotonic)
    with (
        ControlListener(reports, has_reports=True) as listener,
        socket.create_connection(host_and_port(listener.address)),
        socket.create_connection(host_and_port(listener.address)),
    ):
        sending = start_link(listener.address)
        await until(lambda: values(reports).get("gateway.operations") == 5)
        sending.cancel()
        await asyncio.wait([sending])


async def test_a_link_ends_without_an_error_if_the_supervisor_has_ended(clock: ManualClock) -> None:
    with ControlListener(Reports(1, clock.monotonic), has_reports=True) as listener:
        address = listener.address

    await start_link(address)  # it just ends
