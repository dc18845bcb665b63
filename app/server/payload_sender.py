"""Sends an answer that comes in several payloads, each as soon as it is there.

The operation and the sending run at the same time. So an operation does not wait for a client that
reads slowly: it ends by its deadline, and gives its place to others. What the client has not read
yet waits here, as a whole answer would in the connection's buffer, and the time limit of writing
(``connections.write_timeout``) applies to both.

No part of the response is held back: nothing here compresses or collects it, and the header
``X-Accel-Buffering: no`` asks proxies for the same.
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from starlette.types import Send

from app.server.responses import BY_ACCEPT, OK, PRIVATE, encoded_headers

UNBUFFERED = (b"x-accel-buffering", b"no")
"""Asks nginx, and proxies that know its header, to pass each piece on at once."""


class PayloadSender:
    """Sends the payloads of one answer. A context: leaving it waits until all are sent.

    Attributes:
        started: Whether the response has begun.
    """

    def __init__(self, send: Send, content_type: str) -> None:
        """Prepare to send.

        Args:
            send: The ASGI channel of outgoing messages.
            content_type: The value of ``Content-Type``.
        """
        self.started = False
        self._send = send
        self._content_type = content_type
        self._waiting = bytearray()
        self._more = asyncio.Event()
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is None:
            return
        if error is not None:
            self._task.cancel()
        self._ended = True
        self._more.set()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    def start(self, first: bytes, headers: Mapping[str, str]) -> None:
        """Begin the response.

        Args:
            first: The first piece of its body.
            headers: Further headers.
        """
        self.started = True
        self._waiting += first
        self._task = asyncio.create_task(self._run(headers), name="send payloads")

    def add(self, piece: bytes) -> None:
        """Send a piece of the body, after those before it.

        Args:
            piece: The piece.
        """
        self._waiting += piece
        self._more.set()

    def abandon(self) -> None:
        """Send nothing more: the client has disconnected."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, headers: Mapping[str, str]) -> None:
        """Send the head, then the pieces: those that wait for a slow client go out as one."""
        head = [
            *(PRIVATE, BY_ACCEPT, UNBUFFERED),
            *encoded_headers({**headers, "Content-Type": self._content_type}),
        ]
        await self._send({"type": "http.response.start", "status": OK, "headers": head})
        while True:
            piece, is_last = bytes(self._waiting), self._ended
            self._waiting.clear()
            self._more.clear()
            if piece or is_last:
                message = {"type": "http.response.body", "body": piece, "more_body": not is_last}
                await self._send(message)
            if is_last:
                return
            await self._more.wait()
