"""uvicorn's server with an end that loses no request, and with parts that a reload replaces."""

import asyncio
import logging
import os
import signal
import socket
import ssl
from asyncio import get_running_loop
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, cast

import uvicorn
from msgspec import Struct

from app import __version__
from app.observability.logs import library_event
from app.server.bound_address import base_url_of
from app.server.generations import Generations, SwapServer
from app.server.pipelining import LAST_REQUEST_WITHIN, ClosingState, OrderedProtocol
from app.settings.files import WithFiles, with_files
from app.settings.models import Settings
from app.settings.server import ServerTlsSettings

_log = logging.getLogger("uvicorn.error")


class ServerPart(Struct, frozen=True):
    """What the server itself has of settings. It can be pickled for other processes.

    Attributes:
        protocol_of: Makes the value of uvicorn's option ``http``.
    """

    protocol_of: Callable[[Settings], type[asyncio.Protocol]]


def log_start(workers: int, listener: socket.socket, *, is_https: bool) -> None:
    """Log that requests are accepted, and where.

    Args:
        workers: The number of processes.
        listener: The bound socket.
        is_https: Whether it takes TLS.
    """
    address = f"{base_url_of(listener, is_https=is_https)}/graphql"
    library_event(
        _log, logging.INFO, "gateway.started", version=__version__, workers=workers, address=address
    )


def log_draining(seconds: float) -> None:
    """Log that the gateway is about to end.

    Args:
        seconds: For how long requests are still accepted.
    """
    library_event(_log, logging.INFO, "gateway.draining", seconds=seconds)


class GatewayServer(uvicorn.Server):
    """A server that drains before its end, and replaces its parts for a reload.

    After SIGTERM, ``/readyz`` says 503 while requests are accepted as before, each as the last of
    its connection. Then the listener ends, running requests are answered, and idle connections stay
    open a little for requests that are on their way. After SIGINT it ends without that, as a
    terminal expects. A second signal ends it at once.

    Args:
        config: How to serve.
        part: What the server itself has of settings.
        drain: Seconds between SIGTERM and the end of the listener.
        is_alone: Whether there is no supervisor, which logs the start.
    """

    def __init__(
        self, config: uvicorn.Config, part: ServerPart, *, drain: float, is_alone: bool = True
    ) -> None:
        super().__init__(config)
        self.server_state: ClosingState = ClosingState()
        self._part = part
        self._drain = drain
        self._is_alone = is_alone
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.TimerHandle | None = None
        self._was_terminated = False
        self._tls: WithFiles[ServerTlsSettings] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the application, bind the port, and log the start.

        Args:
            sockets: Sockets that are bound already; ``None`` to bind one.
        """
        self._loop = get_running_loop()
        app = self._app()
        if app is not None:
            app.use_server(self._prepare, self._answer_last)
        await super().startup(sockets)
        if self.started and self._is_alone:
            [listener, *_] = self.servers[0].sockets
            log_start(1, listener, is_https=self.config.is_ssl)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the end of the server. A second signal ends it at once.

        Args:
            sig: The signal.
            frame: Not used.
        """
        # A terminal sends SIGINT to a supervisor and to its processes, which then get SIGTERM, too.
        is_again = sig == signal.SIGINT or self._was_terminated
        was_exiting = self.should_exit
        super().handle_exit(sig, frame)  # which also notes the signal, to raise it at the end
        if self._draining is not None or (was_exiting and is_again):
            self.force_exit = True
        elif sig == signal.SIGTERM and self._drain and self._loop is not None and self.started:
            self.should_exit = False  # not yet: nothing has run since the line above
            # The handler of a signal may run anywhere within the loop.
            self._draining = self._loop.call_later(self._drain, self._end_drain)
            self._loop.call_soon_threadsafe(self._begin_drain)
        elif sig == signal.SIGTERM:
            self.server_state.linger = LAST_REQUEST_WITHIN
        self._was_terminated |= sig == signal.SIGTERM

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the listener, answer what is under way, and close the application.

        Args:
            sockets: Sockets that were bound before.
        """
        self.server_state.is_closing = True
        await super().shutdown(sockets)

    def _app(self) -> Generations | None:
        """Return the application, if it can be reloaded."""
        config: Any = self.config  # uvicorn's type of the application is not complete
        app: object = config.loaded_app
        return app if isinstance(app, Generations) else None

    def _begin_drain(self) -> None:
        """Be no longer ready."""
        log_draining(self._drain)
        if (app := self._app()) is not None:
            app.drain()

    def _end_drain(self) -> None:
        """End the server."""
        self.server_state.linger = LAST_REQUEST_WITHIN
        self.should_exit = True

    def _answer_last(self) -> None:
        """Let the next response of each connection be its last."""
        self.server_state.is_draining = True
        for connection in cast("set[object]", self.server_state.connections):
            if isinstance(connection, OrderedProtocol):
                connection.answer_last()

    def _prepare(self, settings: Settings) -> SwapServer:
        """Prepare the protocol of connections, the certificate, and the end of other settings."""
        protocol = self._part.protocol_of(settings)
        tls = None if settings.tls is None else with_files(settings.tls)
        context = None if tls is None or tls == self._tls else tls.settings.context()

        async def swap() -> None:
            self.config.http_protocol_class = protocol
            self.config.timeout_graceful_shutdown = settings.shutdown_timeout
            if context is not None:
                await self._listen_with(context)
                self._tls = tls

        return swap

    async def _listen_with(self, context: ssl.SSLContext) -> None:
        """Accept connections with another certificate, by the same sockets.

        The new listener begins before the old one ends, and both have the same queue in the kernel.
        So no connection is refused, and those that are open go on. A process that is just starting
        has no listener yet, and begins with this certificate.
        """
        self.config.ssl = context
        if not self.started:
            return
        before, self.servers = self.servers, []
        for server in before:
            for listener in server.sockets:
                same = socket.socket(fileno=os.dup(listener.fileno()))
                self.servers.append(
                    await get_running_loop().create_server(
                        self._protocol, sock=same, ssl=context, backlog=self.config.backlog
                    )
                )
        for server in before:
            with suppress(OSError):
                server.close()

    def _protocol(self) -> asyncio.Protocol:
        """Make the protocol of a connection."""
        make = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        return make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
