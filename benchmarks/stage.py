"""Putting up the upstream and the programs over it."""

import http.client
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Final

from benchmarks.answers import AnswerBook
from benchmarks.client import is_taken
from benchmarks.conversation import ask, has_errors
from benchmarks.errors import BenchmarkError, UnavailableError
from benchmarks.load import Answers, Load, RequestFiles, press
from benchmarks.peer import Peer, PeerAddress
from benchmarks.places import WORK
from benchmarks.processes import Process, running
from benchmarks.tools import Tools
from benchmarks.truth import Truth, truth_of
from benchmarks.upstream import BenchUpstream, running_upstream
from benchmarks.users import Ids, user_id
from benchmarks.workloads import W1, UpstreamDoor, Workload

PORT_BASE: Final = 9400
_TO_UPSTREAM: Final = 100
_PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOptions:
    """How things are put up.

    Attributes:
        port_base: Peers listen above this port, the upstream from 100 above it on.
        delay_ms: How long a slow source waits, in milliseconds.
        pinned: Whether peers have CPU 0 for themselves, and all else CPU 1.
        ids: What the ids of users look like.
    """

    port_base: int = PORT_BASE
    delay_ms: int = 20
    pinned: bool = False
    ids: Ids = Ids.RANDOM


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """A peer that runs.

    Attributes:
        peer: Which.
        door: Through which it asks the upstream.
        port: Where it listens.
        process: Its process.
        startup_seconds: How long it took from its start to its first answer.
    """

    peer: Peer
    door: UpstreamDoor
    port: int
    process: Process
    startup_seconds: float


class Stage:
    """The upstream, and the peers that were put up so far; all end with its context."""

    def __init__(
        self, tools: Tools, options: StageOptions, upstream: BenchUpstream, stack: ExitStack
    ) -> None:
        self.tools = tools
        self.options = options
        self.upstream = upstream
        self._requests = RequestFiles(WORK / "requests", options.ids)
        self._books: dict[tuple[Standing, Workload], AnswerBook] = {}
        self._stack = stack
        self._ports = count(options.port_base + 1)

    @cached_property
    def truth(self) -> Truth:
        """What the upstream holds."""
        return truth_of(self.upstream)

    def press(self, standing: Standing, workload: Workload, load: Load, offset: int) -> Answers:
        """Put load on a peer, and compare each answer with what the upstream holds.

        Args:
            standing: The peer.
            workload: What is asked.
            load: How much.
            offset: With which request to begin.

        Raises:
            BenchmarkError: An answer is not right, or does not come.
        """
        peer = standing.peer
        requests = self._requests.of(workload, peer.dialect)
        book = self._books.get((standing, workload))
        if book is None:
            folder = WORK / "answers" / f"{peer.name}-{workload.name}-{standing.port}"
            book = AnswerBook(folder, workload, peer.dialect, requests.asked, self.truth)
            self._books[standing, workload] = book
        return press(
            self.tools.wrk,
            peer,
            standing.port,
            workload,
            load,
            requests=requests.path,
            book=book,
            offset=offset,
            cpu=1 if self.options.pinned else None,
        )

    def put_up(self, peer: Peer, door: UpstreamDoor = UpstreamDoor.FAST) -> Standing:
        """Start a peer and wait until it answers; it runs as long as the stage.

        Raises:
            UnavailableError: It does not come up.
        """
        return self._stack.enter_context(self.standing(peer, door))

    @contextmanager
    def standing(self, peer: Peer, door: UpstreamDoor = UpstreamDoor.FAST) -> Generator[Standing]:
        """Start a peer, wait until it answers, and end it with the context.

        Raises:
            UnavailableError: It does not come up.
        """
        address = PeerAddress(self._free_port(), self.upstream.url(door), door)
        command = peer.command(address)
        cpu = 0 if self.options.pinned else None
        start = time.monotonic()
        with running(f"{peer.name}-{door}", command, WORK / "logs", cpu) as process:
            self._wait(peer, address.port, process)
            yield Standing(peer, door, address.port, process, time.monotonic() - start)

    def _wait(self, peer: Peer, port: int, process: Process) -> None:
        """Wait until a peer answers with data."""
        end = time.monotonic() + _PATIENCE
        ids = [user_id(1, self.upstream.ids)]
        while time.monotonic() < end and not process.has_ended:
            try:
                reply = ask(peer, port, W1, ids)
                if reply.status == http.client.OK and not has_errors(reply):
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.005)
        raise UnavailableError(f"it did not come up: see {process.log}")

    def _free_port(self) -> int:
        """Take the next port."""
        port = next(self._ports)
        if port >= self.options.port_base + _TO_UPSTREAM:
            self._ports = count(self.options.port_base + 1)
            return self._free_port()
        if is_taken(port):
            raise BenchmarkError(f"port {port} is taken: choose others with --port-base")
        return port


@contextmanager
def open_stage(tools: Tools, options: StageOptions) -> Generator[Stage]:
    """Put up the upstream until the context ends.

    Raises:
        BenchmarkError: It cannot be put up.
    """
    first = options.port_base + _TO_UPSTREAM
    cpu = 1 if options.pinned else None
    with (
        running_upstream(tools, first, options.delay_ms, options.ids, cpu) as upstream,
        ExitStack() as peers,
    ):
        yield Stage(tools, options, upstream, peers)
