"""Sending an answer by uvicorn's cycle, or the everyday one as a whole.

uvicorn sends the head of an answer as soon as the application gives it. Here it waits for what
follows, as ASGI lets a server do. So an answer that is whole by then can be written at once
(``fastpath/responses.py``), and a refusal before a body that was not sent ends the connection.
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
"""Writes a whole response, if it can; ``None`` leaves it to uvicorn's cycle."""


class ResponseSender:
    """An application, as one request meets it."""

    __slots__ = ("_app", "_cycle", "_start", "_write_whole")

    def __init__(
        self, app: ASGI3Application, cycle: RequestResponseCycle, write_whole: WriteWhole | None
    ) -> None:
        """Stand between an application and a request.

        Args:
            app: The application.
            cycle: uvicorn's part of the request.
            write_whole: Writes whole responses; ``None`` to leave all to the cycle.
        """
        self._app = app
        self._cycle = cycle
        self._write_whole = write_whole
        self._start: HTTPResponseStartEvent | None = None

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Have the application serve the request."""
        del send  # it is the cycle's
        await self._app(scope, receive, self.send)

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the answer; its head when more comes, as ASGI lets a server do.

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
                # Whether its body still comes is for the client to choose: by then it could be
                # taken for a request, or the next request for it (RFC 9110, section 10.1.1).
                cycle.keep_alive = False
            await cycle.send(start)
        elif message["type"] == "http.response.start" and not cycle.response_started:
            self._start = message
            return
        await cycle.send(message)
