"""The connections to one service; an answer to no request is never used.

Only the order on the connection ties an HTTP/1.1 answer to its request (RFC 9112, section 9.2). A
surplus answer on a kept connection would become the answer to the next request: one user would
see the data of another. aiohttp's pool hands such connections out (aio-libs/aiohttp#13656). Here a
kept connection is used only if nothing has arrived on it since its last answer ended:

- bytes that arrive while no answer is awaited close the connection at once;
- bytes that follow an answer in the same read close it too, be it an answer or a single byte;
- before a connection is used, its socket is checked for bytes that were not read yet;
- a connection whose last answer did not end is never kept: after a time-out, a cancellation, a
  protocol error, or an answer that came before its request was sent.

The rule works below the client, so aiohttp's own session can use the same connector.

This file relies on private parts of aiohttp. ``BaseConnector._factory`` makes the protocol of each
connection, and ``_create_connection`` opens one. Of the protocol, ``_buffer`` holds the heads that
were not read yet, ``_should_close`` is true when the connection may not be kept, and ``feed_eof``
of ``_parser`` shows whether the parser is within another answer.
"""

import asyncio
import select
from collections.abc import Callable
from functools import partial
from ssl import SSLContext
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.streams import StreamReader
from aiohttp.tracing import Trace

Head = tuple[RawResponseMessage, StreamReader]
"""The head of an answer, and its body."""

SWITCHING = 101
"""The status after which a connection no longer carries HTTP."""

_LINE_ENDS = (b"\n", b"\r")
"""Bytes that the parser skips between two answers."""

_EMPTY_LINE = 2
"""The line feeds of a line and an empty line after it."""

_LAST_BYTES = 64
"""Bytes at the end of a read that are searched for surplus line ends."""


_INTERIM = range(100, 200)
"""Statuses of interim answers; another answer follows (RFC 9110, section 15.2)."""


def is_final(status: int) -> bool:
    """Return whether an answer with this status ends the exchange.

    Args:
        status: The HTTP status.

    Returns:
        ``False`` for interim answers only; 101 is final.
    """
    return status not in _INTERIM or status == SWITCHING


class BrokenAnswerError(aiohttp.ClientPayloadError):
    """An answer violates HTTP."""


class LongHeadError(BrokenAnswerError):
    """The head of an answer is longer than allowed. The message quotes nothing of it.

    Args:
        limit: The most bytes of a head.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"the head of the answer is longer than max_head_bytes ({limit:,})")


class UnsolicitedResponseError(aiohttp.ClientConnectionError):
    """A service sent bytes on a new connection before any request."""


class UpstreamConnection(ResponseHandler):
    """The protocol of one connection. It detects bytes that answer no request.

    Attributes:
        requests: How many requests were announced on it.
        has_received: Whether anything has arrived since the last of them.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, head_limit: int, on_unsolicited: Callable[[], None]
    ) -> None:
        """Create it, before the connection is open.

        Args:
            loop: The event loop.
            head_limit: The most bytes of the head of an answer.
            on_unsolicited: Called when bytes arrive that answer no request.
        """
        super().__init__(loop=loop)
        self.requests = 0
        self.has_received = False
        self._head_limit = head_limit
        self._head_bytes = 0
        self._on_unsolicited = on_unsolicited
        self._answer: Head | None = None
        self._ended = False
        self._socket = select.poll()
        self._encrypted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Watch the socket of the connection, which has just been opened.

        Args:
            transport: The transport of the connection.
        """
        super().connection_made(transport)
        self._socket.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._encrypted = transport.get_extra_info("sslcontext") is not None

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the reader of the body, too, if the body violates HTTP.

        aiohttp's reader that was woken by the end of a chunk, just before an error, waits again
        without a look at the error.

        Args:
            exc: Why the connection was lost; ``None`` if it was closed.
        """
        super().connection_lost(exc)
        answer = self._answer
        if answer is not None and (error := answer[1].exception()) is not None:
            answer[1].set_exception(error)

    def is_new(self) -> bool:
        """Return whether the connection, which was just opened, can be used.

        Returns:
            Whether nothing has arrived yet. With TLS, only bytes that were read count: bytes in the
            socket may belong to the handshake.
        """
        return not self.has_received and (self._encrypted or not self._socket.poll(0))

    def is_connected(self) -> bool:
        """Return whether the connection can be used.

        Returns:
            Whether it is open. If it waits for a request, its socket must also have nothing to
            read: neither bytes nor the end.
        """
        return super().is_connected() and not (self._ended and self._socket.poll(0))

    @property
    def should_close(self) -> bool:
        """Whether the connection cannot be kept for another request."""
        transport = self.transport
        return bool(
            not self._ended
            or self._should_close
            or self._buffer
            or transport is None
            or transport.get_write_buffer_size()  # the answer came before all of the request
        )

    def await_answer(self, *, has_body: bool) -> None:
        """Prepare for the answer to a request that is about to be sent; its body stays compressed.

        Args:
            has_body: Whether the answer may have a body.
        """
        self._reset()
        limit = self._head_limit
        ResponseHandler.set_response_params(
            self,
            skip_payload=not has_body,
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=limit,
            max_field_size=limit,
            max_headers=limit,
        )

    def set_response_params(self, **params: Any) -> None:  # noqa: ANN401 # the base class's
        """Prepare for the answer to a request; aiohttp calls it for its session and for proxies.

        Args:
            params: How to read the answer. The limits of the head are replaced by the connection's
                own.
        """
        self._reset()
        limit = self._head_limit
        params |= {"max_line_size": limit, "max_field_size": limit, "max_headers": limit}
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take bytes that have arrived; close the connection if they answer no request.

        Args:
            data: The bytes.
        """
        if self._ended:
            self._close_for_unsolicited()
            return
        self.has_received = True
        answer = self._answer
        before = None
        if answer is None:
            self._head_bytes += len(data)
        else:
            before = answer[1].total_bytes
        ResponseHandler.data_received(self, data)
        if answer is None:
            answer = self._answer = self._find_answer()
        if answer is not None and answer[1].is_eof():
            self._ended = True
            if self._has_surplus(answer, data, before):
                self._close_for_unsolicited()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 # aiohttp's
        """Read on: there is room for more of the body. After an answer, reading never pauses."""
        if not self._ended:
            super().resume_reading(resume_parser)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Fail the reader of the head or, unlike aiohttp, the reader of the body.

        Args:
            exc: The error.
            exc_cause: Its cause, if there is one.
        """
        cause = exc if exc_cause is None else exc_cause
        if isinstance(exc, HttpProcessingError):
            if self._answer is not None:
                self._answer[1].set_exception(BrokenAnswerError(), cause)
            elif self._head_bytes > self._head_limit:
                exc = LongHeadError(self._head_limit)
        super().set_exception(exc, cause)

    def _reset(self) -> None:
        """Forget the last answer, and count the next request."""
        self.requests += 1
        self.has_received = self._ended = False
        self._head_bytes = 0
        self._answer = None

    def _find_answer(self) -> Head | None:
        """Return the head of the awaited answer, if it was parsed; skip interim answers."""
        found = self._buffer[0][0] if self._buffer else None
        if found is not None and not is_final(found[0].code):
            found = next((head for head, _ in self._buffer if is_final(head[0].code)), None)
        if self._head_bytes > self._head_limit and (
            found is None or _head_size(found[0]) > self._head_limit
        ):
            self._buffer.clear()
            self.abort()
            self.set_exception(LongHeadError(self._head_limit))
            return None
        if found is not None and found[0].code == SWITCHING:
            self.force_close()
        return found

    def _has_surplus(self, answer: Head, data: bytes, before: int | None) -> bool:
        """Return whether bytes follow an answer in the read in which it ended.

        Args:
            answer: The answer.
            data: The bytes of the read.
            before: Bytes of the body in earlier reads; ``None`` if the head was not complete then.
        """
        if self._buffer and self._buffer[-1][0] is not answer:
            return True
        if self._parser is not None:
            try:
                if self._parser.feed_eof() is not None:
                    return True
            except HttpProcessingError:
                return True
        return data[-1:] in _LINE_ENDS and _ends_twice(answer, data, before)

    def _close_for_unsolicited(self) -> None:
        """Close the connection and report it: bytes have arrived that answer no request."""
        self.force_close()
        self.abort()
        self._on_unsolicited()


class UpstreamConnector(aiohttp.TCPConnector):
    """The pool of connections to one service.

    Attributes:
        unsolicited: How many connections were closed because of bytes that answered no request.
    """

    def __init__(
        self,
        *,
        limit: int,
        keepalive_timeout: float,
        head_limit: int,
        ssl: SSLContext | bool = True,
    ) -> None:
        """Create it, within a running event loop.

        Args:
            limit: The most connections.
            keepalive_timeout: Seconds for which an idle connection is kept.
            head_limit: The most bytes of the head of an answer.
            ssl: The TLS context of connections, where a request has none of its own.
        """
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout, ssl=ssl)  # pyright: ignore[reportUnknownMemberType] # of an argument that is not given
        self.unsolicited = 0
        make = partial(UpstreamConnection, self._loop, head_limit, self._count_unsolicited)
        self._factory = cast("partial[ResponseHandler]", make)

    async def connect_anew(
        self, req: aiohttp.ClientRequest, bounds: aiohttp.ClientTimeout
    ) -> Connection:
        """Open a new connection, after the service has closed a kept one.

        Kept connections to the same address are closed: the service may have closed them as well.

        Args:
            req: The request that the connection is for.
            bounds: How long it may take.

        Returns:
            A connection without any request so far.

        Raises:
            aiohttp.ClientError: It could not be opened.
            TimeoutError: That took too long.
        """
        while protocol_of(connection := await self.connect(req, [], bounds)).requests:
            connection.close()
        return connection

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 # the base class has it
    ) -> ResponseHandler:
        """Open a connection; reject one on which the service sends bytes first."""
        protocol = await super()._create_connection(req, traces, timeout)
        if not isinstance(protocol, UpstreamConnection):
            raise TypeError("aiohttp does not use the connector's factory of protocols any more")
        if not protocol.is_new():
            protocol.abort()
            self._count_unsolicited()
            raise UnsolicitedResponseError
        return protocol

    def _count_unsolicited(self) -> None:
        """Count a connection that was closed because of bytes that answered no request."""
        self.unsolicited += 1


def protocol_of(connection: Connection) -> UpstreamConnection:
    """Return the protocol of a connection of an ``UpstreamConnector``.

    Args:
        connection: The connection, not given back yet.

    Returns:
        Its protocol.

    Raises:
        TypeError: The connection belongs to another pool.
    """
    protocol = connection.protocol
    if not isinstance(protocol, UpstreamConnection):
        raise TypeError(f"expected a connection of UpstreamConnector, got {protocol!r}")
    return protocol


def _head_size(message: RawResponseMessage) -> int:
    """Count the bytes of a head."""
    return sum(len(name) + len(value) + len(": \r\n") for name, value in message.raw_headers)


def _ends_twice(answer: Head, data: bytes, before: int | None) -> bool:
    """Return whether surplus line ends, which the parser skips, follow an answer.

    Args:
        answer: The answer, which has ended.
        data: The bytes of the read in which it ended.
        before: Bytes of the body in earlier reads; ``None`` if the head was not complete then.
    """
    message, body = answer
    end = len(data)
    if not message.chunked:
        end -= body.total_bytes - (before or 0)
        if before is not None:
            return end > 0
    # A valid answer ends with the last line of its head or last chunk, and an empty line.
    last = data[max(0, end - _LAST_BYTES) : end]
    line_ends = last[len(last.rstrip(b"\r\n")) :]
    lines = line_ends.count(b"\n")
    if len(line_ends) == end:  # the other line ends were in the read before
        return lines > _EMPTY_LINE
    return lines != _EMPTY_LINE or line_ends.endswith(b"\r")
