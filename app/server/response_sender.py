"""Sends a response by uvicorn's cycle, or writes a whole response at once.

uvicorn sends the head of a response as soon as the application sends it. Here the head waits for
the next message, as ASGI allows. So a response that is complete by then can be written at once
(``fastpath/responses.py``), and a refusal before an unsent request body closes the connection.
"""

from collections.abc import Callable
from typing import TypeAlias

from uvicorn._types import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    HTTPResponseStartEvent,
    Scope,
)
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

WriteWhole: TypeAlias = Callable[
    [RequestResponseCycle, HTTPResponseStartEvent, ASGISendEvent], bytes | None
]
"""Encodes a whole response; returns ``None`` to leave the response to uvicorn's cycle."""


class ResponseSender:
    """Wraps the application for one request, and sends its response."""

    __slots__ = ("_app", "_cycle", "_start", "_write_whole")

    def __init__(
        self, app: ASGI3Application, cycle: RequestResponseCycle, write_whole: WriteWhole | None
    ) -> None:
        """Wrap the application.

        Args:
            app: The application.
            cycle: uvicorn's state of the request.
            write_whole: Encodes whole responses; ``None`` to leave all responses to the cycle.
        """
        self._app = app
        self._cycle = cycle
        self._write_whole = write_whole
        self._start: HTTPResponseStartEvent | None = None

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Run the application.

        Args:
            scope: The ASGI scope.
            receive: The ASGI channel of incoming messages.
            send: Not used; it is the cycle's.
        """
        del send
        await self._app(scope, receive, self.send)

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the response. The head is sent with the part that follows it.

        Args:
            message: The part.
        """
        cycle, start = self._cycle, self._start
        if start is not None:
            self._start = None
            write = self._write_whole
            whole = None if write is None else write(cycle, start, message)
            if whole is not None:
                cycle.response_started = cycle.response_complete = True
                cycle.transport.write(whole)
                cycle.message_event.set()
                cycle.on_response()
                return
            if cycle.waiting_for_100_continue and cycle.more_body:
                # The client may or may not send the body now. So the body could be read as a
                # request, or the next request as the body (RFC 9110, section 10.1.1).
                cycle.keep_alive = False
            await cycle.send(start)
        elif message["type"] == "http.response.start" and not cycle.response_started:
            self._start = message
            return
        await cycle.send(message)
