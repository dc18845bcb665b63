"""One of the demo's servers: uvicorn, made to live beside others in one loop."""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.demo.answers import problem
from app.demo.errors import DemoError

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
        self._guard = _Guard(app)
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


class _Guard:
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
