"""The supervisor's end of the connections to its processes: reports come in, commands go out.

Each process has one connection of ``multiprocessing`` on the loopback address. Both ends prove by
HMAC that they have the key that a process inherits from its parent. Reports and answers are JSON,
because the supervisor must not depend on what a process sends. Commands are pickled, as
``multiprocessing`` pickles the arguments of a process: they may have settings with secrets, which
JSON would hide.

It uses threads: the supervisor has no event loop, and reading a report takes a few milliseconds,
for which an event loop should not wait. With one process, that process itself has this end, too.
"""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import AuthenticationError, current_process
from multiprocessing.connection import (
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)
from types import TracebackType
from typing import Literal, Self

from msgspec import Struct, field
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.server.commands import Acknowledgement, Command, SentCommand
from app.server.reports import Report, Reports

MAX_MESSAGE = 64 * 1024 * 1024
"""The most bytes of a message of a process. A report can be long."""

MAX_WAITING = 64
"""The most connections that wait to be accepted: as many as there may be processes."""


class ControlAddress(Struct, frozen=True):
    """Where the supervisor listens for its processes.

    Attributes:
        host: The address.
        port: The port.
        has_reports: Whether somebody reads reports: there is an admin port.
    """

    host: str
    port: int
    has_reports: bool


class Hello(BaseModel):
    """The first message of a process."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    kind: Literal["hello"] = "hello"
    pid: int = Field(description="Number of the process.")
    version: int = Field(description="Number of the settings that it runs with.")


class ProcessMessage(BaseModel):
    """A message of a process."""

    model_config = ConfigDict(defer_build=True, frozen=True)

    content: Hello | Report | Acknowledgement = Field(
        description="What it says.", discriminator="kind"
    )


class _Link(Struct, eq=False, frozen=True):
    """The connection of one process.

    Attributes:
        connection: The connection.
        pid: Number of the process.
        answers: Its answers to commands that somebody waits for; ``None`` before the answer.
        sending: Held while a command is written.
    """

    connection: Connection
    pid: int
    answers: dict[int, Acknowledgement | None] = field(
        default_factory=dict[int, Acknowledgement | None]
    )
    sending: threading.Lock = field(default_factory=threading.Lock)

    def send(self, command: SentCommand) -> None:
        """Send a command. A process that has just ended gets none."""
        with self.sending, suppress(OSError):
            self.connection.send(command)


class ControlListener:
    """Collects reports and sends commands, from the start of its context to the end.

    Any thread may use it.

    Args:
        reports: Where reports are kept.
        processes: How many processes run, until ``expect`` says otherwise.
        has_reports: Whether somebody reads them.

    Attributes:
        reports: Where reports are kept.
        address: Where processes connect to.
    """

    def __init__(self, reports: Reports, processes: int = 1, *, has_reports: bool) -> None:
        self.reports = reports
        self._expected = processes
        self._is_ending = False
        self._listener = Listener(("127.0.0.1", 0), backlog=MAX_WAITING)
        host, port = self._listener.address
        self.address = ControlAddress(str(host), int(port), has_reports)
        self._closed = False
        self._numbers = itertools.count(1)
        self._links: set[_Link] = set()
        self._meet: Callable[[int], None] = _meet_nobody
        self._changed = threading.Condition()
        # A daemon thread ends with the process, even while it waits.
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        # The thread waits for a connection, and closing the socket would not wake it.
        with suppress(OSError):
            socket.create_connection((self.address.host, self.address.port), timeout=1.0).close()
        self._thread.join(1.0)
        self._listener.close()

    def when_connected(self, meet: Callable[[int], None]) -> None:
        """Say what to do when a process has connected.

        Args:
            meet: Gets the number of the settings that the process runs with. Any thread calls it.
        """
        self._meet = meet

    def processes(self) -> Sequence[int]:
        """Return the numbers of the processes that are connected now.

        Returns:
            Their numbers, in ascending order.
        """
        with self._changed:
            return sorted(link.pid for link in self._links)

    def expect(self, count: int) -> None:
        """Say how many processes run: one that waits for its restart does not.

        Args:
            count: How many have been started, and have not ended.
        """
        with self._changed:
            self._expected = count
            self._changed.notify_all()

    def expect_no_more(self) -> None:
        """Say that the gateway ends, so that nobody waits for a process to connect."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()

    def wait_for_processes(self, within: float) -> bool:
        """Wait until all processes that run are connected, as they are soon after their start.

        Args:
            within: The longest wait, in seconds. If none runs, the next one is waited for, unless
                the gateway ends.

        Returns:
            Whether they are connected, and at least one is.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_ending or self._are_connected(), within)
            return self._are_connected()

    def send(self, command: Command, *, within: float) -> Sequence[Acknowledgement]:
        """Send a command to every connected process, and wait for their answers.

        It blocks: call it in a thread.

        Args:
            command: The command.
            within: Seconds in which all processes have to answer.

        Returns:
            One answer for each process, by its number. A process that did not answer in time has
            refused, with a sentence that says so. One that has ended meanwhile is left out: its
            successor does not know of the time before its start.
        """
        number = next(self._numbers)
        end = time.monotonic() + within
        with self._changed:
            asked = sorted(self._links, key=lambda link: link.pid)
            for link in asked:
                link.answers[number] = None
        for link in asked:
            link.send(SentCommand(number=number, command=command))
        with self._changed:
            self._changed.wait_for(
                lambda: not any(self._is_awaited(link, number) for link in asked),
                max(0.0, end - time.monotonic()),
            )
            late = f"the process did not answer within {within:g} s"
            answers = [
                Acknowledgement(number=number, pid=link.pid, mistakes=(late,))
                if self._is_awaited(link, number)
                else link.answers[number]
                for link in asked
            ]
            for link in asked:
                del link.answers[number]
        return [answer for answer in answers if answer is not None]

    def _are_connected(self) -> bool:
        """Return whether all processes that run are connected, and one is. The lock is held."""
        return len(self._links) >= max(self._expected, 1)

    def _is_awaited(self, link: _Link, number: int) -> bool:
        """Return whether a process has not answered yet, and still can. The lock is held."""
        return link in self._links and link.answers[number] is None

    def _accept(self) -> None:
        """Accept the connections of processes."""
        while not self._closed:
            with suppress(OSError):  # the program has gone at once
                connection = self._listener.accept()
                threading.Thread(
                    target=self._serve, args=(connection,), name="control of a process", daemon=True
                ).start()

    def _serve(self, connection: Connection) -> None:
        """Read the messages of one process until it ends."""
        link: _Link | None = None
        # A program that does not have the key changes nothing. It is asked for it here, because one
        # that does not answer must not hold up the others.
        with connection, suppress(OSError, EOFError, AuthenticationError, ValidationError):
            deliver_challenge(connection, control_key())
            answer_challenge(connection, control_key())
            while True:
                content = _read(connection)
                match content:
                    case Hello(pid=pid, version=version):
                        link = _Link(connection, pid)
                        with self._changed:
                            self._links.add(link)
                            self._changed.notify_all()
                        self._meet(version)
                    case Report():
                        self.reports.put(content)
                    case Acknowledgement(number=number) if link is not None:
                        with self._changed:
                            if number in link.answers:  # else nobody waits for it any more
                                link.answers[number] = content
                            self._changed.notify_all()
                    case _:
                        break
        if link is not None:
            with self._changed:
                self._links.discard(link)
                self._changed.notify_all()
            self.reports.end(link.pid)


def _read(connection: Connection) -> Hello | Report | Acknowledgement:
    """Read the next message of a process."""
    return ProcessMessage.model_validate_json(connection.recv_bytes(MAX_MESSAGE)).content


def control_key() -> bytes:
    """Return the key that all processes of one supervisor have.

    Returns:
        The key, which ``multiprocessing`` gives to each process at its start.
    """
    return bytes(current_process().authkey)


def _meet_nobody(_: int) -> None:
    """Do nothing when a process has connected."""
