"""HTTP/1.1 over aiohttp's connections, without the clients that aiohttp and httpx have above them.

Replaces: ``ClientTransport`` (``transport/client.py``).
Switch: ``GATEWAY_FASTPATH__WIRE``.
Gains: 62 us of CPU for a call with one key, rather than 380 (docs/performance.md).
Proof: tests/sources/test_fuzz.py compares it with aiohttp's client over scripted upstreams, and
tests/transport/test_transport.py tries both transports.

What is used of it are the pool, with its TLS, proxies and tunnels, the protocol of a connection
(``connections.py``), and the parser in C below that. The session, and the objects that it makes of
each request and answer, are for redirects, cookies, repetitions, forms and encodings: nothing of
that is wanted of a service, and it took half the time of a call. So a request is written here, and
its answer is taken from the protocol.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError
from aiohttp.streams import StreamReader
from httpx_aiohttp.transport import map_aiohttp_exceptions
from yarl import URL

from app.fastpath.availability import Requirement
from app.settings.source import SourceSettings
from app.settings.transport import TlsSettings
from app.transport.connections import UpstreamConnector, is_final, protocol_of
from app.transport.transport import BODILESS, REPEATED, STRAYS, RawResponse, ReadyRequest, basic

REQUIRES = Requirement(
    "wire",
    package="aiohttp",
    minor="3.14",
    owner=ResponseHandler,
    parts=("_buffer", "_should_close", "_parser", "set_response_params", "read"),
)
"""What this file and ``connections.py`` were written for."""

_CONTROLS = bytes({*range(32), 127} - {9})
"""What ends a line or is no text: nowhere in one (RFC 9110, section 5.5)."""

_SCHEMES = frozenset({"http", "https"})
"""What can be asked for."""


class _LostError(aiohttp.ClientConnectionError):
    """A connection was lost before any byte of an answer, and requests before had used it."""


class _Route:
    """The way to one address.

    Attributes:
        base: The address.
        start: What stands before a request's own target.
        request: Tells the pool where to connect, and what to tell a proxy.
        headers: What is sent with each request beside its own.
    """

    __slots__ = ("base", "headers", "request", "start")

    def __init__(
        self,
        base: str,
        proxy: str | None,
        proxy_headers: Mapping[str, str],
        tls: Callable[[], ssl.SSLContext],
    ) -> None:
        parts, url = urlsplit(base), URL(base, encoded=True)
        if url.scheme not in _SCHEMES:
            raise aiohttp.NonHttpUrlClientError(url)
        host = url.host_port_subcomponent or ""
        self.base = base
        self.start = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self.request = aiohttp.ClientRequest(
            "GET",
            url,
            proxy=None if proxy is None else URL(proxy),
            # The pool would put the host in by itself, and find its own connections no more.
            proxy_headers={**proxy_headers, "Host": host} if proxy_headers else None,
            ssl=tls() if url.scheme == "https" else True,
        )
        # Of a user and password in the address, where there are any.
        own = self.request.headers.get("Authorization")
        self.headers = [] if own is None else [("Authorization", own)]
        if proxy is not None and url.scheme == "http":  # without a tunnel, it reads these
            self.start = f"http://{host}{self.start}"
            self.headers += proxy_headers.items()


class Wire:
    """Connections to one service, kept open between exchanges.

    It keeps no cookies: a cookie set for one user would be sent with the calls of all others. It
    sends a request twice in one case alone: where the service has closed a kept connection just
    when the request was sent.
    """

    def __init__(self, settings: SourceSettings) -> None:
        """Begin without connections; within a running event loop.

        Args:
            settings: How the service is reached.
        """
        self._pool = UpstreamConnector(
            limit=settings.max_connections,
            keepalive_timeout=settings.keepalive,
            head_limit=settings.max_head_bytes,
        )
        self._tls = settings.tls
        self._context: ssl.SSLContext | None = None
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout)
        proxy = settings.proxy
        self._proxy = None if proxy is None else proxy.url
        self._proxy_headers: Mapping[str, str] = {}
        if proxy is not None and proxy.username is not None and proxy.password is not None:
            credentials = basic(proxy.username, proxy.password.get_secret_value())
            self._proxy_headers = {"Proxy-Authorization": credentials}
        self._way = self._way_to(settings.base_url)

    def _way_to(self, base: str) -> _Route:
        """Find the way to an address."""
        return _Route(base, self._proxy, self._proxy_headers, self._tls_context)

    def _tls_context(self) -> ssl.SSLContext:
        """Make what connections with TLS are opened with; once, since it reads files."""
        if self._context is None:
            self._context = (self._tls or TlsSettings()).context()
        return self._context

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def exchange(
        self,
        method: str,
        base: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        repeatable: bool = False,
    ) -> "WireResponse":
        """Send a request, and receive an answer up to its headers.

        Services close connections that were idle for a while or had many requests, and a request
        may cross that on its way. Where a kept connection is lost before any byte of an answer, a
        request that may be repeated is sent once more, on a new connection (RFC 9112, section
        9.3.1). That is no failure of the service, and neither the budget of retries nor the circuit
        breaker hears of it.

        Args:
            method: The HTTP method.
            base: The address of the service, or another that is reached in the same way.
            target: Path and query below it, percent-encoded.
            headers: All headers, ``Host`` and ``Content-Length`` among them.
            body: The body; empty where there is none.
            repeatable: Whether the service may receive the request twice.

        Returns:
            The answer.

        Raises:
            httpx.HTTPError: There was none.
            ValueError: There is a control character in what was to be written.
        """
        try:
            way = self._way if base == self._way.base else self._way_to(base)
            written = _written(method, way.start + target, (*headers, *way.headers)) + body
            has_body = method != "HEAD"
            try:
                connection = await self._pool.connect(way.request, [], self._timeout)
                try:
                    return await _sent(connection, written, has_body=has_body)
                except _LostError:
                    if not repeatable:
                        raise
                connection = await self._pool.connect_anew(way.request, self._timeout)
                return await _sent(connection, written, has_body=has_body, repeated=True)
            except HttpProcessingError as error:
                raise aiohttp.ClientResponseError(
                    way.request.request_info, (), status=error.code, message=error.message
                ) from error
            except TimeoutError as error:  # nothing else has a time-out here
                raise aiohttp.ConnectionTimeoutError from error
        except aiohttp.ClientError:
            with map_aiohttp_exceptions():
                raise

    def take_strays(self) -> int:
        """Tell how many connections were closed since the last time this was asked.

        Returns:
            Those that were closed because of something that no request had asked for.
        """
        strays, self._pool.strays = self._pool.strays, 0
        return strays


class WireResponse(httpx.AsyncByteStream):
    """An answer whose headers have come; as a stream it is its body, in the pieces that come.

    Attributes:
        status: Its status.
        headers: Its headers.
        repeated: Whether the request was sent twice.
    """

    def __init__(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        content: StreamReader,
        connection: Connection,
        repeated: bool,  # noqa: FBT001 # made in one place
    ) -> None:
        self.status = status
        self.headers = headers
        self.repeated = repeated
        self._content = content
        self._connection = connection

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._content.at_eof():
            raise StopAsyncIteration
        try:
            piece = await self._content.readany()
        except aiohttp.ClientError:
            with map_aiohttp_exceptions():
                raise
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Give the connection back, or close it where the body has not come to its end."""
        self._connection.release()


def _written(method: str, target: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """Write the head of a request (RFC 9112, section 3)."""
    if not target.startswith(("/", "http:")):
        target = f"/{target}"
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    head = "\r\n".join([*lines, "", ""]).encode()
    if len(head) - len(head.translate(None, _CONTROLS)) != 2 * len(lines) + 2:
        raise ValueError("expected no control characters in the head of a request")
    return head


async def _sent(
    connection: Connection, written: bytes, *, has_body: bool, repeated: bool = False
) -> WireResponse:
    """Send what was written, and receive an answer up to its headers."""
    protocol, transport = protocol_of(connection), connection.transport
    if transport is None:
        connection.close()
        raise aiohttp.ClientConnectionError("lost before anything was sent")
    try:
        protocol.await_answer(has_body=has_body)
        transport.write(written)
        message, content = await protocol.read()
        while not is_final(message.code):
            message, content = await protocol.read()
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        connection.close()
        if protocol.requests > 1 and not protocol.has_received:
            raise _LostError(type(error).__name__) from error
        raise aiohttp.ClientConnectionError(type(error).__name__) from error
    except BaseException:
        connection.close()
        raise
    return WireResponse(message.code, message.raw_headers, content, connection, repeated)


class WireTransport(httpx.AsyncBaseTransport):
    """Connections to one service, kept open between calls."""

    def __init__(self, settings: SourceSettings) -> None:
        """Make it; nothing is opened before its context is entered.

        Args:
            settings: How the service is reached.
        """
        self._settings = settings
        self._wire: Wire | None = None

    async def __aenter__(self) -> Self:
        self._wire = Wire(self._settings)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        if self._wire is not None:
            await self._wire.close()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and receive an answer up to its headers.

        Args:
            request: The request.

        Returns:
            The answer; its body is still to be read.

        Raises:
            httpx.HTTPError: There was none.
        """
        if self._wire is None:
            raise RuntimeError("the transport is not open: its context has to be entered first")
        if isinstance(request, ReadyRequest):
            base, target, headers = request.base, request.target, request.pairs
            repeatable = request.repeatable
        else:
            base, target, headers = str(request.url), "", request.headers.multi_items()
            repeatable = request.method in BODILESS
        incoming = await self._wire.exchange(
            request.method, base, target, headers, request.content, repeatable=repeatable
        )
        strays = self._wire.take_strays()
        noted = None
        if incoming.repeated or strays:
            noted = {REPEATED: incoming.repeated, STRAYS: strays}
        return RawResponse(incoming.status, incoming.headers, incoming, noted)


def wire_transport(settings: SourceSettings) -> httpx.AsyncBaseTransport:
    """Make the transport of a service over our own wire.

    Args:
        settings: How the service is reached.

    Returns:
        A transport with a pool of its own.
    """
    return WireTransport(settings)
