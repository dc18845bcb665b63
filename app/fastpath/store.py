"""Commands to the store over connections whose replies are read at once.

Replaces: ``LibraryCommands`` (``store/redis_client.py``).
Switch: ``GATEWAY_FASTPATH__STORE``.
Gains: 90 us of CPU instead of 260 us for a command that reads 50 keys, with all that is around it
    (docs/decisions/0021-shared-store.md).
Proof: tests/fastpath/test_store.py compares both over a server that answers right and wrong, and
tests/store/test_shared.py tests both with a real one.

The library takes two locks for each command, begins two tasks for its time limits, and reads the
reply through a stream. That is several times the CPU of the command itself. Here the library opens
a connection with its TLS, password and Sentinels, and then the connection belongs to this file: it
gives bytes to the parser in C, and the reply to the future that waits for it. If all connections
are busy, the library carries the command out.

Private parts of redis-py that this file uses: the stream and the parser of a connection, which
``REQUIRES`` lists.
"""

import asyncio
from asyncio import get_running_loop
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import hiredis
from redis.asyncio import Connection
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import InvalidResponse, ReadOnlyError
from redis.exceptions import TimeoutError as SlowError

from app.libraries import Requirement
from app.store.contract import StoreCommand
from app.store.redis_client import LibraryCommands

if TYPE_CHECKING:
    from redis.asyncio import Redis

REQUIRES = Requirement(
    "store", package="redis", minor="8.1", parts={Connection: ("_writer", "_parser")}
)
"""The version and the private parts of redis-py that this file was written for."""

MOST_CONNECTIONS = 4
"""The most connections of a process. Commands that come together go together (``batches.py``), so
few are under way at the same time."""

MOST_WAITING = 8
"""The most commands that wait for their replies at a connection. The library does the others."""

SECOND_LOOK = 0.05
"""Seconds after which a late reply is looked for again: it may be there, and the loop was late."""

_MORE: Any = object()
"""What the parser returns until a reply is whole."""

_writer: Any = hiredis  # its types know no command of several words


class _Waiting(NamedTuple):
    """A command that waits for its reply.

    Attributes:
        reply: Gets the reply.
        until: When it has waited too long, by the clock of the loop.
    """

    reply: "asyncio.Future[object]"
    until: float


class _Line(asyncio.Protocol):
    """A connection of the library, from the moment on at which it is open.

    Attributes:
        connection: The library's connection.
        waiting: The commands that wait, the oldest first.
        is_open: Whether commands can be sent.
        is_blocked: Whether the other side does not read.
    """

    def __init__(self, connection: Any, seconds: float) -> None:  # noqa: ANN401 # not typed
        """Take a connection over.

        Args:
            connection: The library's connection, which is open.
            seconds: How long a command may wait for its reply.
        """
        self.connection = connection
        self.waiting: deque[_Waiting] = deque()
        self.is_open, self.is_blocked = True, False
        self._seconds = seconds
        self._loop = get_running_loop()
        self._watch: asyncio.TimerHandle | None = None
        self._suspect: _Waiting | None = None
        self._error: Exception = LostError("the connection was lost")
        self._parser = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=connection._parser.parse_error,  # noqa: SLF001 # see REQUIRES
            notEnoughData=_MORE,
        )
        self._transport: asyncio.Transport = connection._writer.transport  # noqa: SLF001 # the same
        # The library waits for it to hear that the connection is closed.
        self._before: asyncio.BaseProtocol = self._transport.get_protocol()
        self._transport.set_protocol(self)
        if self._transport.is_closing():
            self.is_open = False

    def send(self, command: bytes) -> "asyncio.Future[object]":
        """Send a command.

        Args:
            command: Its bytes.

        Returns:
            Its reply.
        """
        reply: asyncio.Future[object] = self._loop.create_future()
        self.waiting.append(_Waiting(reply, self._loop.time() + self._seconds))
        self._transport.write(command)
        if self._watch is None:
            self._watch = self._loop.call_later(self._seconds, self._look)
        return reply

    def end(self, error: Exception) -> None:
        """Close the connection. Commands that wait fail.

        Args:
            error: How they fail.
        """
        self._error = error
        self._transport.abort()
        self._fail()

    def data_received(self, data: bytes) -> None:
        """Read replies."""
        parser = self._parser
        try:
            parser.feed(data)
            while (reply := parser.gets()) is not _MORE:
                self._hand_out(reply)
        except InvalidResponse as error:
            self.end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits, and tell the library."""
        self._fail()
        self._before.connection_lost(exc)

    def pause_writing(self) -> None:
        """Take no more commands for now."""
        self.is_blocked = True

    def resume_writing(self) -> None:
        """Take commands again."""
        self.is_blocked = False

    def _hand_out(self, reply: object) -> None:
        """Give a reply to the command that waits for it."""
        if not self.waiting:
            raise InvalidResponse("a reply to no command")
        first = self.waiting.popleft().reply
        if isinstance(reply, Exception):
            if not first.done():  # it may be cancelled
                first.set_exception(reply)
            if isinstance(reply, LostError | ReadOnlyError):
                # The server loads its data, or is no longer the one that can be written to.
                self.end(LostError("the server sends its clients away"))
        elif not first.done():
            first.set_result(reply)

    def _look(self) -> None:
        """End the connection if its oldest command has waited too long."""
        self._watch = None
        if not self.waiting:
            return
        first, now = self.waiting[0], self._loop.time()
        if now < first.until:
            self._watch = self._loop.call_at(first.until, self._look)
        elif first is not self._suspect:
            self._suspect = first
            self._watch = self._loop.call_later(SECOND_LOOK, self._look)
        else:
            self.end(SlowError("no reply"))

    def _fail(self) -> None:
        """Fail all commands that wait."""
        self.is_open = False
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        while self.waiting:
            reply = self.waiting.popleft().reply
            if not reply.done():
                reply.set_exception(self._error)


class DirectCommands:
    """Carries commands out. A ``StoreCommands``.

    Args:
        client: The library's client, of one server or of Sentinels.
        seconds: How long a command may take.
    """

    def __init__(self, client: "Redis", seconds: float) -> None:
        pool: Any = client.connection_pool  # its types are partial
        self._pool = pool
        self._others = LibraryCommands(client, seconds)
        self._seconds = seconds
        # The library needs some, too: for commands that wait long.
        self._most = min(MOST_CONNECTIONS, pool.max_connections // 2)
        self._lines: list[_Line] = []
        self._opening = 0

    async def run(self, command: StoreCommand) -> object:
        """Carry a command out; see ``StoreCommands``."""
        line = self._free_line()
        if line is None:
            await self._give_back([one for one in self._lines if not one.is_open])
            if len(self._lines) + self._opening >= self._most:
                return await self._others.run(command)
            line = await self._open()
        packed: bytes = _writer.pack_command(command)
        return await line.send(packed)

    async def close(self) -> None:
        """Close all connections; see ``StoreCommands``."""
        for line in self._lines:
            line.end(LostError("the gateway stops"))
        await self._give_back([*self._lines])

    def _free_line(self) -> _Line | None:
        """Choose a connection; ``None`` if another one has to be opened, or none can take more."""
        usable = [one for one in self._lines if one.is_open and not one.is_blocked]
        for line in usable:
            if not line.waiting:
                return line
        if not usable or len(usable) + self._opening < self._most:
            return None
        line = min(usable, key=lambda one: len(one.waiting))
        return line if len(line.waiting) < MOST_WAITING else None

    async def _open(self) -> _Line:
        """Have the library open a connection, and take it over."""
        self._opening += 1
        try:
            line = _Line(await self._pool.get_connection(), self._seconds)
        finally:
            self._opening -= 1
        self._lines.append(line)
        return line

    async def _give_back(self, lines: "list[_Line]") -> None:
        """Give connections that are closed back to the library."""
        self._lines = [one for one in self._lines if one not in lines]
        for line in lines:
            await line.connection.disconnect()
            await self._pool.release(line.connection)
