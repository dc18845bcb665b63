"""Time and size limits of one connection.

uvicorn limits only how long a connection may be idle between two requests. A client that sends a
byte per minute or an endless header, or that does not read its response, keeps its connection. So
this module adds limits to uvicorn's protocol. They cost time only while something is incomplete: a
request that arrives in one piece costs a comparison, and no timer. No method is async, because all
of them are callbacks of the event loop.

The application never sees a request that is refused here, so the response is written here.
"""

import asyncio
from functools import partial
from typing import Any, cast

from uvicorn._types import HTTPScope

from app.server.head import head_too_long, url_too_long
from app.server.pipelining import OrderedProtocol
from app.server.refusals import (
    encode_last_response,
    log_refusal,
    too_late,
    too_many_connections,
    too_much_framing,
)
from app.server.response_sender import WriteWhole
from app.settings.server import ConnectionSettings

OVERHEAD = 8
"""Most bytes on the wire per byte of ``max_body_bytes``: a chunk of one byte takes six bytes."""


class BoundedProtocol(OrderedProtocol):
    """The protocol of one connection, with limits of time and size.

    Args:
        limits: The limits of a connection.
        max_body_bytes: The most bytes of a request body.
        options: The arguments that uvicorn passes.
    """

    def __init__(
        self,
        *,
        limits: ConnectionSettings,
        max_body_bytes: int,
        **options: Any,  # noqa: ANN401 # uvicorn's own arguments
    ) -> None:
        super().__init__(max_held=max_body_bytes, **options)
        self.timeout_keep_alive = limits.idle_timeout
        self._limits = limits
        self._max_body_bytes = max_body_bytes
        # The incomplete part: its request, whether it is the body, its time limit, its bytes.
        self._awaited: HTTPScope | None = None
        self._in_body = False
        self._read_timer: asyncio.TimerHandle | None = None
        self._received = 0
        # Unsent data: its time limit, and its bytes when the timer was started.
        self._write_timer: asyncio.TimerHandle | None = None
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Wait for the first request, or refuse the connection if too many are open.

        Args:
            transport: The connection.
        """
        super().connection_made(transport)
        limit = self._limits.max_connections
        if limit and len(self.connections) > limit:
            # Closed at once, because a connection that lingers counts as open.
            refusal = too_many_connections(limit)
            state, scheme = self.app_state, self.scheme
            log_refusal(self.logger, refusal.refusal, state, scheme, is_seen=False)
            self._no_more = True
            transport.write(encode_last_response(refusal, self.server_state.default_headers))
            self._close()
        else:
            self._wait(in_body=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers.

        Args:
            exc: Why the connection was lost; ``None`` after a regular end.
        """
        super().connection_lost(exc)
        self._stop_waiting()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _parse(self, data: bytes) -> None:
        """Parse bytes, and limit the rest of a request that is incomplete after them."""
        super()._parse(data)
        cycle = self.cycle
        has_head = cycle is not None and cycle.scope is self.scope
        if (
            cycle is not None
            and has_head
            and not cycle.more_body
            and (not cycle.response_complete or self.timeout_keep_alive_task is not None)
        ):
            if self._read_timer is not None:
                self._stop_waiting()
        elif not self._no_more:
            self._receive_part(len(data), in_body=has_head)

    def _end_requests(self) -> None:
        """Read no more requests, and wait for none."""
        super()._end_requests()
        self._stop_waiting()

    def _receive_part(self, size: int, *, in_body: bool) -> None:
        """Count bytes of an incomplete part; start its timer when it begins."""
        if self._awaited is not self.scope or self._in_body is not in_body:
            self._wait(in_body=in_body)
            if self.cycle is not None:
                return  # these bytes may belong to the part before; that is one read at most
        self._received += size
        limits = self._limits
        if in_body:
            # `read_body` limits the body itself; this limits its framing.
            if self._received > OVERHEAD * self._max_body_bytes:
                self._refuse(too_much_framing())
        elif limits.max_url_bytes and len(self._url()) > limits.max_url_bytes:
            self._refuse(url_too_long(limits.max_url_bytes))
        elif limits.max_head_bytes and self._received > limits.max_head_bytes:
            self._refuse(head_too_long(limits.max_head_bytes))

    def _url(self) -> bytes:
        """Return the target of the request that is read; nothing if only blank lines have come."""
        return b"" if self.scope is None else self.url

    def _wait(self, *, in_body: bool) -> None:
        """Start the timer for the rest of a head or body."""
        self._stop_waiting()
        self._awaited, self._in_body, self._received = self.scope, in_body, 0
        seconds = self._limits.body_timeout if in_body else self._limits.head_timeout
        if seconds:
            self._read_timer = self.loop.call_later(seconds, self._on_read_timeout)

    def _stop_waiting(self) -> None:
        """Stop the timer for the rest of a request."""
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _on_read_timeout(self) -> None:
        """End a connection whose request did not arrive in time."""
        self._read_timer = None
        cycle = self._last_read()
        if self._is_busy() or self.flow.read_paused:
            self._wait(in_body=self._in_body)  # not the client is slow, but the gateway
        elif self.scope is None or (cycle is not None and cycle.response_complete):
            self._close()  # no request has begun, or its response is already complete
        elif cycle is not None:
            self._refuse(too_late("body", self._limits.body_timeout))
        else:
            self._refuse(too_late("head", self._limits.head_timeout))

    def _is_busy(self) -> bool:
        """Return whether a response is being sent, or an earlier request is being answered."""
        if not self._is_answering():
            return False
        serving = self._serving
        return serving is not self._last_read() or (
            serving is not None and serving.response_started
        )

    def _close(self) -> None:
        """Close the connection after everything is sent, or after the time limit of writing."""
        super()._close()
        self._await_drain()

    def eof_received(self) -> bool:  # type: ignore[override] # uvicorn never keeps it open
        """Answer what the client has sent, and limit how long that takes to send.

        Returns:
            Whether the connection stays open.
        """
        stays = super().eof_received()
        if not stays:
            self._await_drain()
        return stays

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even if the client has not read its last response."""
        self._close()

    def pause_writing(self) -> None:
        """Start the time limit of writing: the client does not read fast enough."""
        super().pause_writing()
        self._await_drain()

    def resume_writing(self) -> None:
        """Stop the time limit of writing."""
        super().resume_writing()
        if self._write_timer is not None and not self.transport.is_closing():
            self._write_timer.cancel()
            self._write_timer = None

    def _await_drain(self) -> None:
        """Start the timer for unsent data. uvicorn would wait forever."""
        seconds = self._limits.write_timeout
        if seconds and self._write_timer is None:
            self._unsent = self.transport.get_write_buffer_size()
            self._write_timer = self.loop.call_later(seconds, self._on_write_timeout)

    def _on_write_timeout(self) -> None:
        """Abort a connection whose client has read nothing in time."""
        self._write_timer = None
        unsent = self.transport.get_write_buffer_size()
        if unsent < self._unsent:
            self._await_drain()
        else:
            self.transport.abort()


def protocol_for(
    limits: ConnectionSettings, max_body_bytes: int, write_whole: WriteWhole | None = None
) -> type[asyncio.Protocol]:
    """Make the value of uvicorn's option ``http``.

    Args:
        limits: The limits of a connection.
        max_body_bytes: The most bytes of a request body.
        write_whole: Encodes whole responses; ``None`` to leave all responses to uvicorn.

    Returns:
        A factory of the protocol of each connection. It can be pickled for other processes.
    """
    factory = partial(
        BoundedProtocol, limits=limits, max_body_bytes=max_body_bytes, write_whole=write_whole
    )
    return cast("type[asyncio.Protocol]", factory)  # uvicorn only calls it
