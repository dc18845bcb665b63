"""A real server on 127.0.0.1 that plays all three services, and fails as it is told while it runs.

It speaks raw HTTP/1.1, so that it can also break it. Each source has its own path prefix:
``/profile``, ``/billing`` (with ``/billing/invoices``, which fails apart from it, as ``invoices``)
and ``/activity``. How they fail is in ``faults.py``.
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import orjson

from app.resilience.clock import Clock
from tests.fakes import PARAMETERS, Row, account_row, activity_row, invoice, profile_row, user_id

PATHS = {
    "/profile/users": "profile",
    "/billing/accounts": "billing",
    "/billing/invoices": "invoices",
    "/activity/summaries": "activity",
}
"""Where each source is asked; billing's list of invoices counts as one of its own."""

NUMBER = "x-number"
"""The header by which a test tells which of its calls a request is."""


class ClientLeftError(Exception):
    """The client went away while it was kept waiting."""


class Changes:
    """Wakes whoever waits for something to become true. Nothing is remembered."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def tell(self) -> None:
        """Say that something has changed."""
        now, self._next = self._next, asyncio.Event()
        now.set()

    async def wait(self) -> None:
        """Wait for the next change."""
        await self._next.wait()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so."""
        while not condition():
            await self.wait()


@dataclass(frozen=True)
class ReceivedRequest:
    """A request as it came over the wire.

    Attributes:
        source: Who was asked.
        path: The path that was asked, with its prefix.
        parameters: The query, as a server reads it.
        headers: The last value of each header, by its name in lower case.
        at: When it came, by the server's clock.
    """

    source: str
    path: str
    parameters: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    at: float

    @property
    def keys(self) -> list[str]:
        """The users that were asked for."""
        name = PARAMETERS["/" + self.path.rpartition("/")[2]]
        return [value for key, value in self.parameters if key == name]


@dataclass
class FaultExchange:
    """One request, and the ways to answer it.

    Attributes:
        asked: The request.
        number: Which request of its source it is since the source was last told how to behave.
        server: Whose it is.
        reader: What the client sends further; nothing, until it leaves.
        writer: The way to the client.
    """

    asked: ReceivedRequest
    number: int
    server: "FaultServer"
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def rows(self) -> list[Row]:
        """The rows for the users asked for, in the reverse order: the contract promises none."""
        known = self.server.rows[self.asked.source]
        return [known[key] for key in reversed(self.asked.keys) if key in known]

    @property
    def right(self) -> object:
        """What the contract wants as the answer: rows, or a page; ``None`` for 404."""
        if self.asked.source != "invoices":
            return self.rows
        parameters = dict(self.asked.parameters)
        items = self.server.invoices.get(self.asked.keys[0])
        if items is None:
            return None
        start = int(parameters.get("cursor", "0"))
        end = start + int(parameters["limit"])
        return {
            "items": items[start:end],
            "nextCursor": str(end) if end < len(items) else None,
        }

    async def answer(self) -> None:
        """Answer by the contract."""
        right = self.right
        if right is None:
            await self.say(b'{"error":"no such user"}', "404 Not Found")
        else:
            await self.say(orjson.dumps(right))

    async def say(
        self,
        body: bytes,
        status: str = "200 OK",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with a body, rightly by HTTP."""
        self.head(status, {"Content-Length": str(len(body)), **(headers or {})})
        await self.write(body)

    def head(self, status: str = "200 OK", headers: Mapping[str, str] | None = None) -> None:
        """Begin an answer; JSON unless the headers say another type."""
        all_headers = {"Content-Type": "application/json", **(headers or {})}
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {all_headers[name]}" for name in all_headers)]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def write(self, data: bytes) -> None:
        """Send some bytes, as fast as the client takes them."""
        self.writer.write(data)
        await self.writer.drain()

    async def wait(self, seconds: float | None = None) -> None:
        """Keep the client waiting, for ever or for a while; raises when it leaves meanwhile."""
        number = self.asked.headers.get(NUMBER, "")
        leaving = asyncio.create_task(self.reader.read(1))
        waiting: set[asyncio.Task[object]] = {leaving}
        if seconds is not None:
            waiting.add(asyncio.create_task(self.server.clock.sleep(seconds)))
        self.server.held[number] += 1
        self.server.changes.tell()
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                raise ClientLeftError
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
            self.server.held -= Counter([number])
            self.server.changes.tell()

    def close(self) -> None:
        """Close the connection in an orderly way."""
        self.writer.close()

    def reset(self) -> None:
        """Tear the connection down: the client gets a reset instead of an end."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Fault = Callable[[FaultExchange], Awaitable[None]]
"""What a source does instead of answering by the contract."""


@dataclass
class FaultServer:
    """The server.

    Attributes:
        clock: Tells and passes its time.
        changes: Tells when it begins or ends to serve or to hold a request.
        base_url: Where it is.
        rows: What each source has, by user.
        invoices: The invoices of each user, newest first.
        asked: Every request.
        open: How many connections are open.
        busy: How many requests are being served.
        held: The requests that it keeps waiting, by their numbers.
        tasks: What serves the open connections.
    """

    clock: Clock
    changes: Changes
    base_url: str = ""
    rows: Mapping[str, dict[str, Row]] = field(
        default_factory=lambda: {name: dict[str, Row]() for name in PATHS.values()}
    )
    invoices: dict[str, list[Row]] = field(default_factory=dict[str, list[Row]])
    asked: list[ReceivedRequest] = field(default_factory=list[ReceivedRequest])
    open: int = 0
    busy: int = 0
    held: Counter[str] = field(default_factory=Counter[str])
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _faults: dict[str, Fault] = field(default_factory=dict[str, Fault])
    _since: Counter[str] = field(default_factory=Counter[str])

    def url(self, source: str) -> str:
        """Tell the base URL of a source."""
        return f"{self.base_url}/{source}"

    def know(self, *numbers: int) -> None:
        """Let all sources know some users, each of whom has three invoices."""
        for number in numbers:
            user = user_id(number)
            self.rows["profile"][user] = profile_row(number)
            self.rows["billing"][user] = account_row(number)
            self.rows["activity"][user] = activity_row(number)
            self.invoices[user] = [invoice(10 * number + index) for index in (3, 2, 1)]

    def fail(self, source: str, fault: Fault) -> None:
        """Have a source fail from its next request on."""
        self._faults[source] = fault
        self._since[source] = 0

    def heal(self, source: str) -> None:
        """Have a source answer by the contract again."""
        self._faults.pop(source, None)

    def calls(self, source: str) -> list[ReceivedRequest]:
        """List the requests to a source, in their order."""
        return [asked for asked in self.asked if asked.source == source]

    def batches(self, source: str) -> list[list[str]]:
        """List the users of each request to a source."""
        return [asked.keys for asked in self.calls(source)]

    def known(self, source: str) -> Collection[str]:
        """List the users that a source knows."""
        return self.rows[source].keys()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side closes it."""
        self.open += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.busy += 1
                self.changes.tell()
                try:
                    await self._serve_one(self._read(head), reader, writer)
                    await writer.drain()
                finally:
                    self.busy -= 1
                    self.changes.tell()
        except (asyncio.IncompleteReadError, ConnectionError, ClientLeftError):
            pass  # the client has gone, as clients do
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self.open -= 1
            self.changes.tell()

    async def _serve_one(
        self, asked: ReceivedRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request, or fail as told."""
        self.asked.append(asked)
        self._since[asked.source] += 1
        exchange = FaultExchange(asked, self._since[asked.source], self, reader, writer)
        fault = self._faults.get(asked.source)
        await (exchange.answer() if fault is None else fault(exchange))

    def _read(self, head: bytes) -> ReceivedRequest:
        """Read a request; one that the contract does not have is an error of the test."""
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = first.split(" ")
        url = urlsplit(target)
        assert method == "GET", f"nobody serves {first}"
        assert url.path in PATHS, f"nobody serves {first}"
        pairs = (line.partition(":") for line in lines)
        return ReceivedRequest(
            source=PATHS[url.path],
            path=url.path,
            parameters=tuple(parse_qsl(url.query, keep_blank_values=True, strict_parsing=True)),
            headers={name.lower(): value.strip() for name, _, value in pairs},
            at=self.clock.monotonic(),
        )


@asynccontextmanager
async def fault_server(clock: Clock) -> AsyncGenerator[FaultServer]:
    """Run a server; every connection of it ends with the context."""
    server = FaultServer(clock, Changes())
    async with asyncio.TaskGroup() as group:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = group.create_task(server.serve(reader, writer))
            server.tasks.add(task)
            task.add_done_callback(server.tasks.discard)

        listener = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=1024)
        server.base_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        try:
            yield server
        finally:
            listener.close()
            for task in list(server.tasks):
                task.cancel()
