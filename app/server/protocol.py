"""Connections to clients that are slow, silent, or never come to an end.

uvicorn bounds how long a connection may be idle between two requests, and nothing else: who sends
a byte a minute, an endless header, or takes nothing of its answer, keeps its connection. So this
looks after uvicorn's own protocol. It is only ever at work where something is not whole: a request
that comes in one piece costs a comparison, and no timer. All of it is plain: these are callbacks of
the event loop, which never wait.

What is refused here never was a request that the application saw, so the answer is written here.
"""

import asyncio
from functools import partial
from typing import Any, cast

from uvicorn._types import HTTPScope

from app.server.head import head_too_long, url_too_long
from app.server.pipelining import OrderedProtocol
from app.server.refusals import too_late, too_many_connections, too_much_framing, written
from app.server.response_sender import WriteWhole
from app.settings.models import Settings
from app.settings.server import ConnectionSettings

OVERHEAD = 8
"""How much longer a body may be on the way than it is: chunks of one byte take six each."""


class BoundedProtocol(OrderedProtocol):
    """The protocol of one connection, whose client has to get on with it.

    Args:
        limits: What the client may take.
        max_body_bytes: The longest body.
        options: What uvicorn hands over.
    """

    def __init__(
        self,
        *,
        limits: ConnectionSettings,
        max_body_bytes: int,
        **options: Any,  # noqa: ANN401 # uvicorn's own business
    ) -> None:
        super().__init__(max_held=max_body_bytes, **options)
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
            # Closed at once, since a connection that lingers would count as one of them.
            refusal = too_many_connections(limit)
            self._no_more = True
            transport.write(written(refusal, self.server_state.default_headers))
            self._close()
        else:
            self._wait(in_body=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything that was waited for."""
        super().connection_lost(exc)
        self._stop_waiting()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _parse(self, data: bytes) -> None:
        """Parse some bytes; where a request is not whole by them, see to it that it will be."""
        super()._parse(data)
        cycle = self.cycle
        is_begun = cycle is not None and cycle.scope is self.scope
        if (
            cycle is not None
            and is_begun
            and not cycle.more_body
            and (not cycle.response_complete or self.timeout_keep_alive_task is not None)
        ):
            if self._patience is not None:
                self._stop_waiting()
        elif not self._no_more:
            self._receive_part(len(data), in_body=is_begun)

    def _end_requests(self) -> None:
        """Wait for nothing more of the client."""
        super()._end_requests()
        self._stop_waiting()

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
                self._refuse(too_much_framing())
        elif limits.max_url_bytes and len(self.url) > limits.max_url_bytes:
            self._refuse(url_too_long(limits.max_url_bytes))
        elif limits.max_head_bytes and self._came > limits.max_head_bytes:
            self._refuse(head_too_long(limits.max_head_bytes))

    def _wait(self, *, in_body: bool) -> None:
        """Begin to wait for the rest of a request."""
        self._stop_waiting()
        self._awaited, self._in_body, self._came = self.scope, in_body, 0
        seconds = self._limits.body_timeout if in_body else self._limits.head_timeout
        if seconds:
            self._patience = self.loop.call_later(seconds, self._give_up)

    def _stop_waiting(self) -> None:
        """Wait no more for the rest of a request."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        """End a connection whose request did not come."""
        self._patience = None
        cycle = self._begun()
        if self._is_busy() or self.flow.read_paused:
            self._wait(in_body=self._in_body)  # it is not the client that is slow
        elif self.scope is None or (cycle is not None and cycle.response_complete):
            self._close()  # nothing of a request has come, or nothing more that matters
        elif cycle is not None:
            self._refuse(too_late("body", self._limits.body_timeout))
        else:
            self._refuse(too_late("head", self._limits.head_timeout))

    def _is_busy(self) -> bool:
        """Tell whether an answer is on its way, or one to an earlier request is being made."""
        if not self._owes_answers():
            return False
        serving = self._serving
        return serving is not self._begun() or (serving is not None and serving.response_started)

    def _close(self) -> None:
        """Close the connection when all is sent; if need be, before."""
        super()._close()
        self._await_drain()

    def eof_received(self) -> bool:  # type: ignore[override] # uvicorn never keeps it open
        """See to it that the connection of a client that says no more comes to an end."""
        stays = super().eof_received()
        if not stays:
            self._await_drain()
        return stays

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even one whose last answer nobody has taken."""
        self._close()

    def pause_writing(self) -> None:
        """Wait for a client to take some of its answer."""
        super().pause_writing()
        self._await_drain()

    def resume_writing(self) -> None:
        """Go on with an answer."""
        super().resume_writing()
        if self._stall is not None and not self.transport.is_closing():
            self._stall.cancel()
            self._stall = None

    def _await_drain(self) -> None:
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
            self._await_drain()
        else:
            self.transport.abort()


def protocol_for(
    settings: Settings, write_whole: WriteWhole | None = None
) -> type[asyncio.Protocol]:
    """Make what uvicorn takes as its ``http``.

    Args:
        settings: All settings.
        write_whole: Writes whole responses; ``None`` to leave all to uvicorn.

    Returns:
        What makes a protocol for each connection; it can be handed to other processes.
    """
    made = partial(
        BoundedProtocol,
        limits=settings.connections,
        max_body_bytes=settings.max_body_bytes,
        write_whole=write_whole,
    )
    return cast("type[asyncio.Protocol]", made)  # all that uvicorn does with it is to call it
