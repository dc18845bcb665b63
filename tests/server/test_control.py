"""The supervisor and its processes: reports arrive, and commands are carried out by all."""

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
    """Carry out nothing."""
    return (f"no {command.kind} here",)


def place(address: ControlAddress) -> tuple[str, int]:
    """Return host and port."""
    return address.host, address.port


def linked(
    address: ControlAddress,
    make: Callable[[], Report] = lambda: report(os.getpid(), 5),
    handle: Callable[[Command], Awaitable[Sequence[str]]] = refuse_all,
) -> asyncio.Task[None]:
    """Link this process to a supervisor; several links stand for several processes."""
    log = make_log(LogSettings(level="error"))
    return asyncio.create_task(keep_link(address, make, handle, log))


async def end(*links: asyncio.Task[None]) -> None:
    """End links."""
    for link in links:
        link.cancel()
    await asyncio.wait(links)


async def test_every_process_carries_out_a_command_or_says_why_not(clock: ManualClock) -> None:
    done: list[Command] = []

    async def prepare(command: PrepareReload) -> Sequence[str]:
        done.append(command)
        return ()

    async def commit(command: CommitReload) -> Sequence[str]:
        return (f"nothing is prepared: version {command.version}", "a second reason")

    handlers = CommandHandlers().having(PrepareReload, prepare).having(CommitReload, commit)
    with ControlListener(Reports(2, clock.monotonic), has_reports=False) as control:
        links = [linked(control.address, handle=handlers) for _ in range(2)]
        await asyncio.to_thread(control.wait_for_processes, 2, 10)
        answers = [
            await asyncio.to_thread(control.send, command, within=10)
            for command in (
                PrepareReload(version=7, settings=SETTINGS),
                CommitReload(version=7),
                InvalidateCache(invalidation=Invalidation(users=("a",))),
            )
        ]
        await end(*links)

    assert [[one.mistakes for one in answer] for answer in answers] == [
        [(), ()],
        [("nothing is prepared: version 7", "a second reason")] * 2,
        [("this gateway does not carry out the command invalidate_cache",)] * 2,
    ]
    assert {one.pid for answer in answers for one in answer} == {os.getpid()}
    # Secrets arrive as they are.
    assert done == [PrepareReload(version=7, settings=SETTINGS)] * 2


async def test_a_process_that_does_not_answer_in_time_has_refused(clock: ManualClock) -> None:
    late = asyncio.Event()

    async def wait(_: Command) -> Sequence[str]:
        await late.wait()
        return ()

    with ControlListener(Reports(1, clock.monotonic), has_reports=False) as control:
        link = linked(control.address, handle=wait)
        await asyncio.to_thread(control.wait_for_processes, 1, 10)
        [answer] = await asyncio.to_thread(control.send, CommitReload(version=1), within=0.05)
        late.set()  # its answer comes when nobody waits for it, and changes nothing
        [again] = await asyncio.to_thread(control.send, CommitReload(version=1), within=10)
        await end(link)

    assert answer.mistakes == ("the process did not answer within 0.05 s",)
    assert again.mistakes == ()


async def test_a_process_that_ends_is_not_waited_for(clock: ManualClock) -> None:
    asked = asyncio.Event()

    async def wait(_: Command) -> Sequence[str]:
        asked.set()
        await asyncio.Event().wait()
        return ()

    with ControlListener(Reports(1, clock.monotonic), has_reports=False) as control:
        link = linked(control.address, handle=wait)
        await asyncio.to_thread(control.wait_for_processes, 1, 10)
        sending = asyncio.create_task(
            asyncio.to_thread(control.send, CommitReload(version=1), within=60)
        )
        await asked.wait()
        await end(link)

        answers: Sequence[Acknowledgement] = await sending
        assert (answers, control.processes()) == ([], [])


async def test_a_bug_while_a_command_is_carried_out_is_a_refusal(
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
        await asyncio.to_thread(control.wait_for_processes, 1, 10)
        [answer] = await asyncio.to_thread(control.send, CommitReload(version=1), within=10)
        await end(link)

    assert "worker.bug" in answer.mistakes[0]
    assert "ZeroDivisionError" in (tmp_path / "log").read_text()


async def test_no_reports_are_sent_where_nobody_reads_them(clock: ManualClock) -> None:
    made: list[Report] = []

    def make() -> Report:
        made.append(report(os.getpid(), 5))
        return made[-1]

    with ControlListener(Reports(1, clock.monotonic), has_reports=False) as control:
        link = linked(control.address, make)
        await asyncio.to_thread(control.wait_for_processes, 1, 10)
        await end(link)

    assert not made


async def test_a_report_arrives_by_the_connection_and_ends_with_it(clock: ManualClock) -> None:
    reports = Reports(1, clock.monotonic)
    with ControlListener(reports, has_reports=True) as listener:
        sending = linked(listener.address)
        await until(lambda: values(reports).get("gateway.operations") == 5)
        alive = values(reports)
        sending.cancel()
        await asyncio.wait([sending])
        await until(lambda: "graphql.server.active_requests" not in values(reports))

    assert alive["graphql.server.active_requests"] == 0
    assert values(reports) == {"gateway.operations": 5}


async def test_a_program_without_the_key_changes_nothing(clock: ManualClock) -> None:
    reports = Reports(1, clock.monotonic)
    with ControlListener(reports, has_reports=True) as listener:
        with pytest.raises(AuthenticationError):
            await asyncio.to_thread(Client, place(listener.address), authkey=b"guess")
        sending = linked(listener.address)
        await until(lambda: values(reports).get("gateway.operations") == 5)
        sending.cancel()
        await asyncio.wait([sending])


async def test_the_last_report_arrives_though_another_is_being_sent(clock: ManualClock) -> None:
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
        sending = linked(listener.address, make)
        await made.wait()
        sending.cancel()
        await asyncio.wait([sending])
        await until(lambda: values(reports) == {"gateway.operations": 2})


async def test_a_program_that_says_nothing_does_not_hold_up_the_others(clock: ManualClock) -> None:
    reports = Reports(1, clock.monotonic)
    with (
        ControlListener(reports, has_reports=True) as listener,
        socket.create_connection(place(listener.address)),
        socket.create_connection(place(listener.address)),
    ):
        sending = linked(listener.address)
        await until(lambda: values(reports).get("gateway.operations") == 5)
        sending.cancel()
        await asyncio.wait([sending])


async def test_a_process_goes_on_if_nobody_collects_reports_any_more(clock: ManualClock) -> None:
    with ControlListener(Reports(1, clock.monotonic), has_reports=True) as listener:
        address = listener.address

    await linked(address)  # it just ends
