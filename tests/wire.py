"""The gateway behind a real server, spoken to in bytes: where what matters is on the wire."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from app.demo.server import DemoServer, listen
from app.main import protocol_of
from app.settings.models import Settings
from tests.fakes import settings_for_fakes

HOST = "127.0.0.1"
PATIENCE = 10.0
"""Seconds after which an answer counts as never coming."""

TICK = 0.1
"""Seconds between two ticks of a server, as uvicorn has it: one in ten writes the time of day."""

LOOK = 0.002
"""Seconds between two looks at what is left of a server that stops."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens.

    Attributes:
        port: Its port.
    """

    port: int

    @property
    def url(self) -> str:
        """The address of the GraphQL endpoint."""
        return f"http://{HOST}:{self.port}/graphql"

    async def exchange(self, data: bytes, *, idle: float = PATIENCE) -> bytes:
        """Send bytes on a connection of their own.

        Args:
            data: The bytes.
            idle: Seconds without an answer, or more of it, after which we say that this is all:
                the server may be waiting for the rest of a request.

        Returns:
            What comes back until the server closes the connection.
        """
        answer = bytearray()
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            with suppress(ConnectionError):
                writer.write(data)
                await writer.drain()
                with suppress(TimeoutError):
                    while piece := await asyncio.wait_for(reader.read(65_536), idle):
                        answer += piece
                writer.write_eof()
                while piece := await asyncio.wait_for(reader.read(65_536), PATIENCE):
                    answer += piece
            return bytes(answer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


class _PromptServer(uvicorn.Server):
    """uvicorn, which stops at once.

    uvicorn looks ten times a second whether it has to stop, and then waits for another tenth of a
    second: too long for hundreds of tests with a server each.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        self._told_to_stop = asyncio.Event()
        super().__init__(config)

    def stop(self) -> None:
        """Have the server stop."""
        self.should_exit = True
        self._told_to_stop.set()

    async def main_loop(self) -> None:
        """Run until the server has to stop."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._told_to_stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, end all connections and requests, and then the application."""
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        left = self.server_state
        for connection in [*left.connections]:
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while left.connections or left.tasks:  # noqa: ASYNC110 # uvicorn does not tell when they end
                    await asyncio.sleep(LOOK)
        for task in left.tasks:
            task.cancel()
        await self.lifespan.shutdown()


class PromptServer(DemoServer, _PromptServer):
    """A server as the demo has it, which stops at once."""


@asynccontextmanager
async def served(
    app: ASGIApp,
    settings: Settings | None = None,
    tls: ssl.SSLContext | None = None,
    *,
    port: int = 0,
) -> AsyncGenerator[Address]:
    """Serve an application as ``user-gateway serve`` does, in this loop; its lifespan is run.

    Args:
        app: The application.
        settings: What connections are bounded by.
        tls: The server's certificate, where it speaks https.
        port: Its port; any free one by default.
    """
    protocol = protocol_of(settings or settings_for_fakes())
    with listen(HOST, port) as listener:
        server = PromptServer("the gateway", app, grace=0, protocol=protocol)
        if tls is not None:
            server.config.ssl_context_factory = partial(_only, tls)
        running = asyncio.create_task(server.serve([listener]))
        ready = asyncio.create_task(server.ready.wait())
        try:
            await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
            yield Address(listener.getsockname()[1])
        finally:
            ready.cancel()
            server.stop()
            await running


def _only(tls: ssl.SSLContext, *_: object) -> ssl.SSLContext:
    """Give the server its certificate, as uvicorn asks for it."""
    return tls
