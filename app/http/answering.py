"""Sending an answer: the whole of it by one write.

uvicorn writes the head of an answer and then its body, and uvloop hands each to the kernel at once:
two system calls and two packets, where one will do. It also looks through each header with every
answer, though nearly all of them are always the same. Here the everyday answer, of known length and
sent in one piece, is written as one; whatever else there is, is uvicorn's.
"""

import re
from functools import lru_cache

from uvicorn._types import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    HTTPResponseStartEvent,
    Scope,
)
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_REMEMBERED = 1_024
"""How many headers are remembered."""

_LONGEST = 256
"""The longest value, in bytes, of a header that is."""

_SANE = re.compile(rb"[!#$%&'*+.^_`|~\-0-9a-z]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n")
"""A header as it may be sent (RFC 9110, sections 5.1 and 5.5), its name in lower case."""

_FRAMING = frozenset({b"connection", b"transfer-encoding"})
"""Headers that say how an answer is sent."""

_BODILESS = frozenset({204, 304})
"""Statuses of answers without a body."""


class Answering:
    """An application, as one request meets it: its answer is sent by one write where it can be."""

    __slots__ = ("_app", "_cycle", "_start")

    def __init__(self, app: ASGI3Application, cycle: RequestResponseCycle) -> None:
        """Stand between an application and a request.

        Args:
            app: The application.
            cycle: uvicorn's part of the request.
        """
        self._app = app
        self._cycle = cycle
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
            whole = self._whole(start, message)
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

    def _whole(self, start: HTTPResponseStartEvent, message: ASGISendEvent) -> bytes | None:
        """Write an everyday answer; ``None`` where it is another, or nobody can take it now."""
        cycle = self._cycle
        if (
            message["type"] != "http.response.body"
            or message.get("more_body", False)
            or start["status"] in _BODILESS
            or cycle.scope["method"] == "HEAD"
            or cycle.waiting_for_100_continue
            or cycle.access_log
            or cycle.disconnected
            or cycle.flow.write_paused
            or not cycle.keep_alive
        ):
            return None
        body = message.get("body", b"")
        length: bytes | None = None
        parts = [STATUS_LINE[start["status"]]]
        for name, value in (*cycle.default_headers, *start.get("headers", ())):
            line = _line(name, value) if len(value) <= _LONGEST else None
            if line is None:
                return None
            if name == b"content-length":
                length = value
            parts.append(line)
        if length != b"%d" % len(body):
            return None
        parts += (b"\r\n", body)
        return b"".join(parts)


@lru_cache(maxsize=_REMEMBERED)
def _line(name: bytes, value: bytes) -> bytes | None:
    """Write a header; ``None`` for one that uvicorn is to look at."""
    line = b"%s: %s\r\n" % (name, value)
    return line if _SANE.fullmatch(line) and name not in _FRAMING else None
