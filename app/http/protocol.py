"""Connections to clients that are slow, silent, or never come to an end.

uvicorn bounds how long a connection may be idle between two requests, and nothing else: who sends
a byte a minute, an endless header, or takes nothing of its answer, keeps its connection. So this
looks after uvicorn's own protocol. It is only ever at work where something is not whole: a request
that comes in one piece costs a comparison, and no timer. All of it is plain: these are callbacks of
the event loop, which never wait.

What is refused here never was a request that the application saw, so the answer is written here.
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, cast

from starlette.responses import Response
from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from app.errors import Code
from app.http.answering import Answering
from app.http.answers import error_response
from app.http.head import head_too_long, url_too_long
from app.http.security import SECURITY_HEADERS
from app.settings import Settings
from app.shapes.connections import ConnectionSettings

OVERHEAD = 8
"""How much longer a body may be on the way than it is: chunks of one byte take six each."""

RETRY_AFTER = 1
"""Seconds after which somebody else may have gone."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, whose clients have to get on with it.

    Args:
        limits: What they may take.
        max_body_bytes: The longest body.
        options: What uvicorn hands over.
    """

    # Before the first request there is neither of them, whatever uvicorn says of their types.
    cycle: RequestResponseCycle | None  # type: ignore[assignment]
    scope: HTTPScope | None  # type: ignore[assignment]

    def __init__(
        self,
        *,
        limits: ConnectionSettings,
        max_body_bytes: int,
        **options: Any,  # noqa: ANN401 # uvicorn's own business
    ) -> None:
        super().__init__(**options)
        self.timeout_keep_alive = limits.idle_timeout
        self._limits = limits
        self._max_body_bytes = max_body_bytes
        # What is not whole yet: of which request, head or body, until when, and how much came.
        self._awaited: HTTPScope | None = None
        self._in_body = False
        self._patience: asyncio.TimerHandle | None = None
        self._came = 0
        # What is not sent yet: until when, and how much it was at last.
        self._stall: asyncio.TimerHandle | None = None
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to wait for the first request, unless too many do so already."""
        super().connection_made(transport)
        limit = self._limits.max_connections
        if limit and len(self.connections) > limit:
            self._refuse(_too_many(limit))
        else:
            self._wait(in_body=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget all that was waited for."""
        for timer in (self._patience, self._stall):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; where a request is not whole by it, see to it that it will be."""
        super().data_received(data)
        cycle = self._begun()
        if cycle is not None and not cycle.more_body and not cycle.response_complete:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None
        elif not self.transport.is_closing():
            self._receive_part(len(data), in_body=cycle is not None)

    def _begun(self) -> RequestResponseCycle | None:
        """Find the newest request, if its head is whole."""
        cycle = self.cycle
        return cycle if cycle is not None and cycle.scope is self.scope else None

    def _busy(self) -> bool:
        """Tell whether an answer is on its way that one of ours would get into."""
        cycle = self.cycle
        if self.pipeline:
            return True
        if cycle is None or cycle.response_complete:
            return False
        return cycle.response_started or cycle.scope is not self.scope

    def _receive_part(self, size: int, *, in_body: bool) -> None:
        """Wait for the rest of a request, or count what comes of it."""
        if self._awaited is not self.scope or self._in_body is not in_body:
            self._wait(in_body=in_body)
            if self.cycle is not None:
                return  # what came may have belonged to what was before: a read, no more
        self._came += size
        limits = self._limits
        if in_body:
            # How long a body is, is for who reads it to find; not what may stand around it.
            if self._came > OVERHEAD * self._max_body_bytes:
                self._refuse(_too_wordy())
        elif limits.max_url_bytes and len(self.url) > limits.max_url_bytes:
            self._refuse(url_too_long(limits.max_url_bytes))
        elif limits.max_head_bytes and self._came > limits.max_head_bytes:
            self._refuse(head_too_long(limits.max_head_bytes))

    def _wait(self, *, in_body: bool) -> None:
        """Begin to wait for the rest of a request."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._awaited, self._in_body, self._came = self.scope, in_body, 0
        seconds = self._limits.body_timeout if in_body else self._limits.head_timeout
        if seconds:
            self._patience = self.loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        """End a connection whose request did not come."""
        self._patience = None
        cycle = self._begun()
        if self._busy() or self.flow.read_paused:
            self._wait(in_body=self._in_body)  # it is not the client that is slow
        elif self.scope is None or (cycle is not None and cycle.response_complete):
            self._close()  # nothing of a request has come, or nothing more that matters
        elif cycle is not None:
            self._refuse(_late("body", self._limits.body_timeout))
        else:
            self._refuse(_late("head", self._limits.head_timeout))

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in JSON as everything else; it is uvicorn who calls this."""
        del msg
        self._refuse(_no_http())

    def _refuse(self, response: Response) -> None:
        """Close the connection, with an answer where none is on its way or has been given."""
        cycle = self._begun()
        told = cycle is not None and cycle.response_complete and cycle.more_body
        if not told and not self._busy():
            self.transport.write(written(response, self.server_state.default_headers))
        self._close()

    def _close(self) -> None:
        """Close the connection when all is sent; if need be, before."""
        self.transport.close()
        self._linger()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Have a request served, and its answer sent in one piece."""
        super()._start_asgi_task(cycle, Answering(app, cycle))

    def on_response_complete(self) -> None:
        """Where the connection ends with this answer, see to it that it does."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._linger()

    def eof_received(self) -> None:
        """See to it that the connection of a client that says no more comes to an end."""
        self._linger()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even one whose last answer nobody has taken."""
        self._close()

    def pause_writing(self) -> None:
        """Wait for a client to take some of its answer."""
        super().pause_writing()
        self._linger()

    def resume_writing(self) -> None:
        """Go on with an answer."""
        super().resume_writing()
        if self._stall is not None and not self.transport.is_closing():
            self._stall.cancel()
            self._stall = None

    def _linger(self) -> None:
        """Wait for what is not sent to go; uvicorn would wait for ever."""
        seconds = self._limits.write_timeout
        if seconds and self._stall is None:
            self._unsent = self.transport.get_write_buffer_size()
            self._stall = self.loop.call_later(seconds, self._cut)

    def _cut(self) -> None:
        """End a connection whose client has taken nothing for too long."""
        self._stall = None
        unsent = self.transport.get_write_buffer_size()
        if unsent < self._unsent:
            self._linger()
        else:
            self.transport.abort()


def protocol_for(settings: Settings) -> type[asyncio.Protocol]:
    """Make what uvicorn takes as its ``http``.

    Args:
        settings: All settings.

    Returns:
        What makes a protocol for each connection; it can be handed to other processes.
    """
    made = partial(
        BoundedProtocol, limits=settings.connections, max_body_bytes=settings.max_body_bytes
    )
    return cast("type[asyncio.Protocol]", made)  # all that uvicorn does with it is to call it


def written(response: Response, defaults: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write an answer as it goes over the wire, the last one of its connection.

    Args:
        response: The answer.
        defaults: The server's own headers.

    Returns:
        All of it.
    """
    headers = [*defaults, *response.raw_headers, *SECURITY_HEADERS, (b"connection", b"close")]
    lines = b"".join(b"%s: %s\r\n" % header for header in headers)
    return STATUS_LINE[response.status_code] + lines + b"\r\n" + bytes(response.body)


def _late(what: str, seconds: float) -> Response:
    """Refuse a request that did not come in time."""
    return error_response(
        408,
        Code.BAD_REQUEST,
        f"the {what} of the request was not there in {seconds:g} s: expected it faster, from its"
        " first to its last byte",
    )


def _too_wordy() -> Response:
    """Refuse a body with more around it than in it."""
    return error_response(
        413,
        Code.BAD_REQUEST,
        "what stands around the body is too long: expected Content-Length, or larger chunks"
        " without extensions and trailers",
    )


def _too_many(limit: int) -> Response:
    """Refuse a connection."""
    return error_response(
        503,
        Code.GATEWAY_OVERLOADED,
        f"{limit} connections are open, which is the most there may be: try again in a moment",
        retry_after=RETRY_AFTER,
    )


def _no_http() -> Response:
    """Refuse what cannot be understood."""
    return error_response(
        400,
        Code.BAD_REQUEST,
        "this is no HTTP request: expected one as RFC 9112 has it, such as a POST to /graphql with"
        " Content-Type: application/json and Content-Length",
    )
