"""Watches the process while the gateway runs, and links it to its supervisor."""

import asyncio
import os
import threading
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from structlog.typing import FilteringBoundLogger

from app.observability.metrics import Histogram
from app.observability.telemetry import Telemetry
from app.resilience.tasks import Tasks
from app.server.commands import HandleCommand
from app.server.control import ControlAddress
from app.server.health import Readiness
from app.server.observation import observe_process
from app.server.process_link import keep_link
from app.server.reports import Report

LAG_EVERY = 0.25
"""Seconds between two measurements of the lag."""

CLOSE_WITHIN = 3.0
"""Seconds in which waiting spans and metrics may be sent at the end."""


@asynccontextmanager
async def watching(
    telemetry: Telemetry,
    readiness: Callable[[], Readiness],
    control: ControlAddress | None,
    handle: HandleCommand,
    log: FilteringBoundLogger,
    *,
    version: int = 1,
) -> AsyncGenerator[None]:
    """Watch the process, if anybody reads what is found, and carry out its supervisor's commands.

    Args:
        telemetry: What the gateway measures with. What waits to be exported is sent at the end.
        readiness: Returns whether the gateway can answer requests.
        control: Where the supervisor listens; ``None`` if there is none.
        handle: Carries out commands of the supervisor.
        log: The log.
        version: Number of the settings that the process begins with.

    Yields:
        Nothing. The process is watched meanwhile.
    """
    registry = telemetry.metrics.registry

    def report() -> Report:
        return Report(pid=os.getpid(), readiness=readiness(), snapshot=registry.snapshot())

    async with AsyncExitStack() as stack:
        stack.push_async_callback(close_within, telemetry, CLOSE_WITHIN)
        stack.callback(log.info, "gateway.stopped")
        has_reports = control is not None and control.has_reports
        tasks = await stack.enter_async_context(Tasks())
        if has_reports or telemetry.closers:
            observe_process(registry)
            tasks.begin(_measure_lag(telemetry.metrics.event_loop_lag), "event loop lag")
        if control is not None:
            tasks.begin(keep_link(control, report, handle, log, version), "link to the supervisor")
        yield


async def _measure_lag(lag: Histogram) -> None:
    """Record how late the loop runs a timer, again and again."""
    loop = get_running_loop()
    while True:
        due = loop.time() + LAG_EVERY
        await asyncio.sleep(LAG_EVERY)
        lag.record(max(0.0, loop.time() - due))


async def close_within(telemetry: Telemetry, seconds: float) -> None:
    """Send what waits to be exported, but end in time even if the collector does not answer.

    Args:
        telemetry: What the gateway has measured with.
        seconds: The longest wait.
    """
    loop = get_running_loop()
    closed = [asyncio.Event() for _ in telemetry.closers]
    for close, event in zip(telemetry.closers, closed, strict=True):

        def run(close: Callable[[], None] = close, event: asyncio.Event = event) -> None:
            close()
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(event.set)

        # A daemon, unlike the threads of ``asyncio.to_thread``: it ends with the process.
        threading.Thread(target=run, name="telemetry", daemon=True).start()
    if closed:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for event in closed:
                    await event.wait()
