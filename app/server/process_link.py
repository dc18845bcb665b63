"""A process's end of the connection to its supervisor: reports go out, commands come in.

Each process reports once a second. The connection lasts as long as the gateway runs in the process.
"""

import asyncio
import os
import socket
import threading
from asyncio import get_running_loop
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Client, Connection

from structlog.typing import FilteringBoundLogger

from app.resilience.tasks import Tasks
from app.server.commands import Acknowledgement, HandleCommand, SentCommand
from app.server.control import ControlAddress, Hello, ProcessMessage, control_key
from app.server.reports import REPORT_EVERY, Report

Commands = asyncio.Queue[SentCommand | None]
"""The commands that have arrived; ``None`` after the last one."""


async def keep_link(
    address: ControlAddress,
    make: Callable[[], Report],
    handle: HandleCommand,
    log: FilteringBoundLogger,
    version: int = 1,
) -> None:
    """Send reports and carry out commands, until it is cancelled or the supervisor has ended.

    Args:
        address: Where the supervisor listens.
        make: Makes a report. It runs on the event loop, so that a loop that hangs does not report.
        handle: Carries out commands. Several may run at the same time.
        log: The log.
        version: Number of the settings that the process begins with.
    """
    with suppress(OSError, EOFError):
        connection = await asyncio.to_thread(
            Client, (address.host, address.port), authkey=control_key()
        )
        with connection:
            link = _SupervisorLink(connection)
            try:
                link.send(Hello(pid=os.getpid(), version=version))
                commands = link.receive()
                async with Tasks() as tasks:
                    if address.has_reports:
                        tasks.begin(_send_reports(link, make), "reports")
                    while (sent := await commands.get()) is not None:
                        tasks.begin(_carry_out(link, sent, handle, log), sent.command.kind)
            finally:
                link.end()


class _SupervisorLink:
    """The connection to the supervisor. Any thread may send.

    Args:
        connection: The connection.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, content: Hello | Report | Acknowledgement) -> None:
        """Encode a message, and send it. It may block."""
        message = ProcessMessage(content=content).model_dump_json().encode()
        with self._sending:
            self._connection.send_bytes(message)

    def receive(self) -> Commands:
        """Begin to receive commands, in a thread, until the connection ends."""
        commands: Commands = asyncio.Queue()
        loop = get_running_loop()

        def put(sent: SentCommand | None) -> None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(commands.put_nowait, sent)

        def read() -> None:
            with suppress(OSError, EOFError):
                while True:
                    received: SentCommand = self._connection.recv()
                    put(received)
            put(None)

        # A daemon: it ends with the process, even while it waits.
        threading.Thread(target=read, name="commands", daemon=True).start()
        return commands

    def end(self) -> None:
        """End the connection after everything is sent. The thread that reads it ends, too."""
        with suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as ended:
            ended.shutdown(socket.SHUT_RDWR)


async def _send_reports(link: _SupervisorLink, make: Callable[[], Report]) -> None:
    """Send a report every second, each in a thread: it may be large, and the collector slow."""
    sent: asyncio.Future[None] | None = None
    with suppress(OSError):
        try:
            while True:
                # Shielded: a thread goes on if it is no longer waited for.
                sent = get_running_loop().run_in_executor(None, link.send, make())
                await asyncio.shield(sent)
                await asyncio.sleep(REPORT_EVERY)
        finally:
            if sent is not None:
                await asyncio.wait([sent])  # the last report must not overtake another
            # The last counts. It does not wait: the collector has read all before.
            link.send(make())


async def _carry_out(
    link: _SupervisorLink, sent: SentCommand, handle: HandleCommand, log: FilteringBoundLogger
) -> None:
    """Carry out a command, and answer it."""
    try:
        mistakes = tuple(await handle(sent.command))
    except Exception as error:  # the supervisor has to know of each bug
        log.error("worker.bug", command=sent.command.kind, exc_info=error)  # noqa: TRY400 # one form for all
        mistakes = (
            "the gateway has a bug: report it, with the traceback of worker.bug in the log",
        )
    answer = Acknowledgement(number=sent.number, pid=os.getpid(), mistakes=mistakes)
    with suppress(OSError):
        await asyncio.to_thread(link.send, answer)
