"""The connections to one service, and the rule that no answer is taken that nobody asked for.

HTTP/1.1 ties an answer to its request by the order on the connection alone (RFC 9112, section 9.2).
A surplus answer on a kept connection would become the answer to the next request: one user would
see the data of another. aiohttp's pool hands such connections out (aio-libs/aiohttp#13656). Here a
kept connection is used only if nothing has arrived on it since its last answer ended:

- what arrives while no answer is awaited closes the connection at once;
- what follows an answer in the same read closes it too, be it an answer or a single byte;
- before a connection is used, its socket is asked whether bytes wait there that were not read yet;
- a connection whose last answer did not end is never kept: after a time-out, a cancellation, a
  protocol error, or an answer that came before its request was sent.

The rule works below the client, so aiohttp's own session can use the same connector.

Private parts of aiohttp that this file relies on: ``BaseConnector._factory`` makes the protocol of
each connection, and ``_create_connection`` opens one. Of the protocol, ``_buffer`` holds the heads
that nobody has read yet, ``_should_close`` says that the connection may not be kept, and
``_parser`` tells by ``feed_eof`` whether it is within another answer.
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
"""The status after which a connection does not speak HTTP any more."""

_LINE_ENDS = (b"\n", b"\r")
"""What the parser passes over between two answers."""

_EMPTY_LINE = 2
"""How many line feeds an empty line is behind another."""

_LAST_BYTES = 64
"""How many bytes at the end of a read are looked at for surplus line ends."""


_INTERIM = range(100, 200)
"""Statuses of answers that announce another (RFC 9110, section 15.2)."""


def is_final(status: int) -> bool:
    """Tell whether a status ends an exchange.

    Args:
        status: The status.

    Returns:
        Whether it does.
    """
    return status not in _INTERIM or status == SWITCHING


class BrokenAnswerError(aiohttp.ClientPayloadError):
    """An answer breaks the rules of HTTP."""


class LongHeadError(BrokenAnswerError):
    """The head of an answer is longer than it may be. The text quotes nothing of it."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the head of the answer is longer than max_head_bytes ({limit:,})")


class UnaskedAnswerError(aiohttp.ClientConnectionError):
    """A service sent something on a new connection before it was asked anything."""


class UpstreamConnection(ResponseHandler):
    """The protocol of one connection. It notices all that arrives without being asked for.

    Attributes:
        requests: How many requests were announced on it.
        heard: Whether anything has arrived since the last of them.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, head_limit: int, on_stray: Callable[[], None]
    ) -> None:
        """Make it.

        Args:
            loop: The event loop.
            head_limit: The most bytes that the head of an answer may have.
            on_stray: Is called where something arrives that nobody asked for.
        """
        super().__init__(loop=loop)
        self.requests = 0
        self.heard = False
        self._head_limit = head_limit
        self._head_bytes = 0
        self._on_stray = on_stray
        self._answer: Head | None = None
        self._ended = False
        self._socket = select.poll()
        self._encrypted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._socket.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._encrypted = transport.get_extra_info("sslcontext") is not None

    def is_new(self) -> bool:
        """Tell whether the connection, which was just opened, can be used.

        Returns:
            Whether nothing has arrived yet. Within TLS, only what was read counts: what waits in
            the socket may be a part of the handshake.
        """
        return not self.heard and (self._encrypted or not self._socket.poll(0))

    def is_connected(self) -> bool:
        """Tell whether the connection can be used.

        Returns:
            Whether it is open. Where it waits for a request, its socket must have nothing to read
            either: neither bytes nor the end.
        """
        return super().is_connected() and not (self._ended and self._socket.poll(0))

    @property
    def should_close(self) -> bool:
        """Whether the connection can not be kept for another request."""
        transport = self.transport
        return bool(
            not self._ended
            or self._should_close
            or self._buffer
            or transport is None
            or transport.get_write_buffer_size()  # the answer came before all of the request
        )

    def await_answer(self, *, has_body: bool) -> None:
        """Await the answer to a request that is about to be sent; its body stays compressed.

        Args:
            has_body: Whether the answer may have a body.
        """
        self._begin()
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
        """Await the answer to a request, as aiohttp does for its session and for proxies.

        Args:
            params: How it is read. The limits of its head are the connection's own.
        """
        self._begin()
        limit = self._head_limit
        params |= {"max_line_size": limit, "max_field_size": limit, "max_headers": limit}
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        if self._ended:
            self._refuse()
            return
        self.heard = True
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
            if self._is_followed(answer, data, before):
                self._refuse()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 # aiohttp's
        """Go on, as the reader of the body has room again; at its end nothing is held back."""
        if not self._ended:
            super().resume_reading(resume_parser)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Fail whoever waits for the answer: for its head or, as aiohttp does not, for its body."""
        cause = exc if exc_cause is None else exc_cause
        if isinstance(exc, HttpProcessingError):
            if self._answer is not None:
                self._answer[1].set_exception(BrokenAnswerError(), cause)
            elif self._head_bytes > self._head_limit:
                exc = LongHeadError(self._head_limit)
        super().set_exception(exc, cause)

    def _begin(self) -> None:
        """Forget the answer before."""
        self.requests += 1
        self.heard = self._ended = False
        self._head_bytes = 0
        self._answer = None

    def _find_answer(self) -> Head | None:
        """Find the head of the awaited answer among those that were parsed."""
        found = self._buffer[0][0] if self._buffer else None
        if found is not None and not is_final(found[0].code):
            found = next((head for head, _ in self._buffer if is_final(head[0].code)), None)
        if self._head_bytes > self._head_limit and (
            found is None or _size(found[0]) > self._head_limit
        ):
            self._buffer.clear()
            self.abort()
            self.set_exception(LongHeadError(self._head_limit))
            return None
        if found is not None and found[0].code == SWITCHING:
            self.force_close()
        return found

    def _is_followed(self, answer: Head, data: bytes, before: int | None) -> bool:
        """Tell whether something follows an answer in the read that it ended with.

        Args:
            answer: The answer.
            data: What was read.
            before: How many bytes of the body had come before; ``None`` if not even the head had.
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

    def _refuse(self) -> None:
        """Close the connection, since something has arrived that nobody asked for."""
        self.force_close()
        self.abort()
        self._on_stray()


class UpstreamConnector(aiohttp.TCPConnector):
    """The pool of connections to one service.

    Attributes:
        strays: How many connections were closed because of something that nobody asked for.
    """

    def __init__(
        self,
        *,
        limit: int,
        keepalive_timeout: float,
        head_limit: int,
        ssl: SSLContext | bool = True,
    ) -> None:
        """Make it, within a running event loop.

        Args:
            limit: The most connections.
            keepalive_timeout: Seconds for which an idle one is kept.
            head_limit: The most bytes that the head of an answer may have.
            ssl: What connections with TLS are opened with, where a request does not say it.
        """
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout, ssl=ssl)  # pyright: ignore[reportUnknownMemberType] # of an argument that is not given
        self.strays = 0
        make = partial(UpstreamConnection, self._loop, head_limit, self._count)
        self._factory = cast("partial[ResponseHandler]", make)

    async def connect_anew(
        self, req: aiohttp.ClientRequest, bounds: aiohttp.ClientTimeout
    ) -> Connection:
        """Open a new connection, after the service has closed a kept one.

        Kept ones that lead to the same place are closed: the service may have closed them as well.

        Args:
            req: Where it leads.
            bounds: How long it may take.

        Returns:
            A connection that had no request yet.

        Raises:
            aiohttp.ClientError: It could not be opened.
            TimeoutError: That took too long.
        """
        while upstream(connection := await self.connect(req, [], bounds)).requests:
            connection.close()
        return connection

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 # the base class has it
    ) -> ResponseHandler:
        """Open a connection; one on which the service speaks first is not used."""
        protocol = await super()._create_connection(req, traces, timeout)
        if not isinstance(protocol, UpstreamConnection):
            raise TypeError("aiohttp makes its connections in another way than this file says")
        if not protocol.is_new():
            protocol.abort()
            self._count()
            raise UnaskedAnswerError
        return protocol

    def _count(self) -> None:
        """Count a connection that was closed because of something that nobody asked for."""
        self.strays += 1


def upstream(connection: Connection) -> UpstreamConnection:
    """Get the protocol of a connection of the pool above.

    Args:
        connection: The connection, which was not given back yet.

    Returns:
        Its protocol.

    Raises:
        TypeError: It is of another pool.
    """
    protocol = connection.protocol
    if not isinstance(protocol, UpstreamConnection):
        raise TypeError(f"expected a connection of UpstreamConnector, got {protocol!r}")
    return protocol


def _size(message: RawResponseMessage) -> int:
    """Count the bytes of a head."""
    return sum(len(name) + len(value) + len(": \r\n") for name, value in message.raw_headers)


def _ends_twice(answer: Head, data: bytes, before: int | None) -> bool:
    """Tell whether line ends follow an answer that has ended. The parser passes over them.

    Args:
        answer: The answer.
        data: The read that it ended with.
        before: How many bytes of the body had come before; ``None`` if not even the head had.
    """
    message, body = answer
    end = len(data)
    if not message.chunked:
        end -= body.total_bytes - (before or 0)
        if before is not None:
            return end > 0
    # Before the end are the last line of the head, or of the last chunk, and an empty one.
    last = data[max(0, end - _LAST_BYTES) : end]
    line_ends = last[len(last.rstrip(b"\r\n")) :]
    lines = line_ends.count(b"\n")
    if len(line_ends) == end:  # the rest of them was in the read before
        return lines > _EMPTY_LINE
    return lines != _EMPTY_LINE or line_ends.endswith(b"\r")
