"""Commands to the store have the same outcome by the library and by the fast path."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import hiredis
import pytest

from app.fastpath.store import MOST_CONNECTIONS, REQUIRES, DirectCommands
from app.settings.store import StoreSettings
from app.store.contract import StoreError, StoreFailureKind
from app.store.redis_client import LibraryCommands, MakeCommands, RedisClient, connect

BOTH_WAYS = pytest.mark.parametrize("commands", [LibraryCommands, DirectCommands])

RIGHT = b"*2\r\n$1\r\na\r\n$-1\r\n"
SILENCE = b"silence"
HANG_UP = b"hang up"


@dataclass
class ScriptedStore:
    """A server that answers Redis commands as configured by a test.

    Attributes:
        port: Its port on the loopback address.
        answers: The answers to the next commands; ``RIGHT`` after that.
        connections: The number of opened connections.
    """

    port: int = 0
    answers: deque[bytes] = field(default_factory=deque[bytes])
    connections: int = 0

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator["ScriptedStore"]:
        """Open it."""
        tasks: set[asyncio.Task[Any]] = set()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            self.connections += 1
            try:
                await self._talk(reader, writer)
            finally:
                tasks.discard(task)
                writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as listener:
            self.port = listener.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()
                if tasks:
                    await asyncio.wait(tasks)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the commands of one connection."""
        parser: Any = hiredis.Reader(notEnoughData=self)
        with suppress(OSError):
            while data := await reader.read(65_536):
                parser.feed(data)
                while (command := parser.gets()) is not self:
                    answer = b"+OK\r\n"
                    if command[0] == b"MGET":
                        answer = self.answers.popleft() if self.answers else RIGHT
                    if HANG_UP in answer:
                        writer.write(answer.partition(HANG_UP)[0])
                        return
                    if answer != SILENCE:
                        writer.write(answer)


@asynccontextmanager
async def client_of(
    store: ScriptedStore, commands: MakeCommands, **settings: object
) -> AsyncGenerator[RedisClient]:
    """Open a client of a server."""
    values = {"url": f"redis://127.0.0.1:{store.port}", "connect_timeout": 5.0, **settings}
    client = connect(StoreSettings.model_validate(values), commands)
    try:
        yield client
    finally:
        await client.close()


async def outcome(client: RedisClient) -> Sequence[bytes | None] | StoreFailureKind:
    """Read two keys; return their values, or the kind of failure."""
    try:
        return await client.get_many(["k", "l"])
    except StoreError as error:
        return error.failure.kind


REFUSED, CONNECTION = StoreFailureKind.REFUSED, StoreFailureKind.CONNECTION
FORBIDDEN = StoreFailureKind.FORBIDDEN

WRONG = {
    b"-LOADING Redis is loading the dataset in memory\r\n": CONNECTION,
    b"-READONLY You can't write against a read only replica.\r\n": REFUSED,
    b"-OOM command not allowed when used memory > 'maxmemory'.\r\n": StoreFailureKind.FULL,
    b"-MOVED 3999 127.0.0.1:6381\r\n": REFUSED,
    b"-CLUSTERDOWN Hash slot not served\r\n": REFUSED,
    b"-MASTERDOWN Link with MASTER is down\r\n": REFUSED,
    b"-BUSY Redis is busy running a script.\r\n": REFUSED,
    b"-NOPERM this user has no permissions to run the 'mget' command\r\n": FORBIDDEN,
    b"-NOAUTH Authentication required.\r\n": CONNECTION,
    b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n": REFUSED,
    b"-\r\n": REFUSED,
    b":1\r\n": REFUSED,
    b"$3\r\nabc\r\n": REFUSED,
    b"*-1\r\n": REFUSED,
    b"*0\r\n": REFUSED,
    b"*1\r\n$1\r\na\r\n": REFUSED,
    b"*3\r\n$1\r\na\r\n$-1\r\n$-1\r\n": REFUSED,
    b"*2\r\n:1\r\n:2\r\n": REFUSED,
    b"HTTP/1.1 400 Bad Request\r\n\r\n": REFUSED,
    HANG_UP: CONNECTION,
    b"*2\r\n$1\r\na\r\n" + HANG_UP: CONNECTION,
    b"*2\r\n$900\r\naaa" + HANG_UP: CONNECTION,
}
"""Invalid answers to a command, and the kind of failure that each of them is."""


@BOTH_WAYS
@pytest.mark.parametrize(("answer", "kind"), WRONG.items())
async def test_a_wrong_answer_is_a_failure_of_its_command_only(
    commands: MakeCommands, answer: bytes, kind: StoreFailureKind
) -> None:
    async with ScriptedStore().opened() as store, client_of(store, commands) as client:
        for _ in range(2):  # on a new connection, and on a kept one
            store.answers.append(answer)
            assert await outcome(client) is kind
            assert await outcome(client) == [b"a", None]


@BOTH_WAYS
async def test_the_detail_of_a_node_of_a_cluster_says_what_is_expected(
    commands: MakeCommands,
) -> None:
    async with ScriptedStore().opened() as store, client_of(store, commands) as client:
        store.answers.append(b"-MOVED 3999 127.0.0.1:6381\r\n")
        with pytest.raises(StoreError) as moved:
            await client.get_many(["k", "l"])

        assert "expected +cluster after the scheme" in moved.value.failure.detail


@BOTH_WAYS
async def test_a_silent_server_is_a_timeout_of_its_command_only(
    commands: MakeCommands,
) -> None:
    async with (
        ScriptedStore().opened() as store,
        client_of(store, commands, connect_timeout=0.2) as client,
    ):
        store.answers.append(SILENCE)
        assert await outcome(client) is StoreFailureKind.TIMEOUT
        assert await outcome(client) == [b"a", None]


@BOTH_WAYS
async def test_a_second_answer_is_not_taken_for_the_next_command(commands: MakeCommands) -> None:
    async with ScriptedStore().opened() as store, client_of(store, commands) as client:
        store.answers.append(RIGHT + b"*2\r\n$5\r\nwrong\r\n$-1\r\n")
        for _ in range(3):
            assert await outcome(client) == [b"a", None]


@BOTH_WAYS
async def test_each_of_many_commands_gets_its_own_answer(commands: MakeCommands) -> None:
    async with ScriptedStore().opened() as store, client_of(store, commands) as client:
        expected = [b"%d" % number for number in range(200)]
        store.answers.extend(b"*2\r\n$%d\r\n%b\r\n$-1\r\n" % (len(one), one) for one in expected)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(outcome(client)) for _ in expected]
        found: list[bytes] = [one.result()[0] for one in asked]  # type: ignore[misc]

        assert sorted(found) == sorted(expected)


async def test_consecutive_commands_share_a_connection() -> None:
    async with ScriptedStore().opened() as store, client_of(store, DirectCommands) as client:
        for _ in range(20):
            await outcome(client)
        assert store.connections == 1

        opened: list[int] = []
        for _ in range(3):
            async with asyncio.TaskGroup() as group:
                for _ in range(MOST_CONNECTIONS * 4):
                    group.create_task(outcome(client))
            opened.append(store.connections)
        # The first round opens all connections that concurrent commands need.
        assert opened[0] > 1
        assert opened[1:] == opened[:1] * 2


async def test_the_answer_of_a_cancelled_command_is_not_taken_for_another() -> None:
    async with ScriptedStore().opened() as store, client_of(store, DirectCommands) as client:
        await outcome(client)
        store.answers.extend([b"*2\r\n$4\r\nmine\r\n$-1\r\n", RIGHT])
        mine = asyncio.create_task(outcome(client))
        await asyncio.sleep(0)  # the command is sent
        mine.cancel()
        assert await outcome(client) == [b"a", None]


def test_the_fast_path_needs_the_version_of_the_installed_library() -> None:
    assert REQUIRES.missing() is None
    assert REQUIRES.missing(lambda _: "7.9.0") == "written for redis 8.1, found 7.9.0"
