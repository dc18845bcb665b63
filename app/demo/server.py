"""One of the demo's servers: uvicorn beside others in one event loop, and its port.

A port is the wanted one or the next free one. The socket itself is handed to the server, not its
number, so that nobody can take the port in between.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from ipaddress import ip_address

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.demo.errors import DemoError
from app.demo.responses import problem

_TRIES = 100
_LAST_PORT = 65535


def listen(host: str, wanted: int) -> socket.socket:
    """A socket that listens already, so that the port is ours and early callers wait in line.

    Args:
        host: An address of this machine, or a name for one.
        wanted: The first port to try; 0 takes any free one.

    Raises:
        DemoError: No port is free, or the host is not this machine's.
    """
    return _first_free(host, wanted, listening=True)


def reserve(host: str, wanted: int) -> socket.socket:
    """A socket that holds its port and never listens, so that connections to it are refused.

    Args:
        host: An address of this machine, or a name for one.
        wanted: The first port to try; 0 takes any free one.

    Raises:
        DemoError: No port is free, or the host is not this machine's.
    """
    return _first_free(host, wanted, listening=False)


def base_url(bound: socket.socket) -> str:
    """Where a caller on this machine reaches a socket, without a slash at the end."""
    host, port = bound.getsockname()[:2]
    address = ip_address(host)
    if address.is_unspecified:  # listens on all addresses; one calls a single one
        address = ip_address("127.0.0.1" if address.version == 4 else "::1")  # noqa: PLR2004 - IPv4
    return f"http://{address}:{port}" if address.version == 4 else f"http://[{address}]:{port}"  # noqa: PLR2004 - IPv4


def _first_free(host: str, wanted: int, *, listening: bool) -> socket.socket:
    """Try one port after the other."""
    last = min(wanted + _TRIES - 1, _LAST_PORT) if wanted else 0
    for port in range(wanted, last + 1):
        try:
            return _bind(host, port, listening=listening)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise DemoError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    raise DemoError(f"no port from {wanted} to {last} is free on {host}")


def _bind(host: str, port: int, *, listening: bool) -> socket.socket:
    """One bound socket, or an OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if listening and os.name == "posix":
            # Else a port would stay taken for a minute after the last demo. Not for a port that
            # is only reserved: another process could bind beside it and answer in its place.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        if listening:
            bound.listen()
    except OSError:
        bound.close()
        raise
    return bound


_KEEP_ALIVE_S = 75  # longer than callers keep a connection, so that they never reuse a closed one
_LAST_RESORT_S = 1  # when even cancelled requests do not end


class DemoServer(uvicorn.Server):
    """A server that leaves signals to its runner, says when it is ready, and stops quickly.

    It is asked to stop by setting `should_exit`, as any uvicorn server is.

    Args:
        name: What messages call it.
        app: What it serves; its lifespan is run.
        grace: How many seconds the running requests have to end when the server stops.
        protocol: Makes what speaks HTTP on a connection; uvicorn's own by default.

    Attributes:
        ready: Set when the server serves.
    """

    def __init__(
        self,
        name: str,
        app: ASGIApp,
        *,
        grace: float,
        protocol: type[asyncio.Protocol] = HttpToolsProtocol,
    ) -> None:
        self.ready = asyncio.Event()
        self._name = name
        self._guard = _LifespanErrors(app)
        self._grace = grace
        super().__init__(
            uvicorn.Config(
                self._guard,
                http=protocol,
                ws="none",
                lifespan="on",
                interface="asgi3",
                workers=1,
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_LAST_RESORT_S,
            )
        )

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals alone: four servers share one process, and its runner has them."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, once the application has started.

        Raises:
            DemoError: The application did not start; uvicorn would exit the process.
        """
        try:
            await super().startup(sockets)
        except SystemExit:
            cause = self._guard.lifespan_error
            why = repr(cause) if cause else "its log says why"
            raise DemoError(f"{self._name} did not start: {why}") from cause
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: accept no more, let requests end while the grace lasts, cancel the others."""
        late = asyncio.get_running_loop().call_later(self._grace, self.cancel_requests)
        try:
            await super().shutdown(sockets)
        finally:
            late.cancel()

    def cancel_requests(self) -> None:
        """End the running requests now: each is answered 503."""
        for request in self.server_state.tasks:
            request.cancel()


class _LifespanErrors:
    """Stands between uvicorn and an application, and keeps what uvicorn would only log.

    Args:
        app: The application to wrap.

    Attributes:
        lifespan_error: What the application's lifespan has raised, if it has.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.lifespan_error: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the lifespan or one request."""
        if scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            except Exception as error:
                self.lifespan_error = error
                raise
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; one that is cancelled ends with an answer."""
        started = False

        async def send_noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except asyncio.CancelledError:
            # Only the stopping server cancels a request, and waits for nothing but its end.
            # uvicorn would log a traceback.
            if not started:
                stopping = problem(HTTPStatus.SERVICE_UNAVAILABLE, "the demo has been stopped")
                await stopping(scope, receive, send)
