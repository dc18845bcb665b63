"""HTTP/1.1 over aiohttp's connections, without the clients of aiohttp and httpx.

Replaces: ``ClientTransport`` (``transport/client.py``).
Switch: ``GATEWAY_FASTPATH__WIRE``.
Gains: 62 us of CPU instead of 380 us for a call with one key (docs/explanation/performance.md).
Proof: tests/sources/test_fuzz.py compares it with aiohttp's client over scripted upstreams, and
tests/transport/test_transport.py tests both transports.

This file uses aiohttp's pool with its TLS, proxies and tunnels, its protocol of a connection
(``connections.py``), and its parser in C. It does not use aiohttp's session and the objects that
the session makes of each request and response. They are for redirects, cookies, retries, forms and
encodings. Calls to services need none of that, and it took half the time of a call. So this file
writes the request, and reads the response from the protocol.
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

from app.libraries import Requirement
from app.settings.source import SourceSettings
from app.settings.transport import TlsSettings
from app.transport.connections import UpstreamConnector, is_final, protocol_of
from app.transport.transport import (
    BODILESS,
    REPEATED,
    UNSOLICITED,
    RawResponse,
    ReadyRequest,
    UpstreamBody,
    basic,
)

REQUIRES = Requirement(
    "wire",
    package="aiohttp",
    minor="3.14",
    parts={ResponseHandler: ("_buffer", "_should_close", "_parser", "set_response_params", "read")},
)
"""The version and parts of aiohttp that this file and ``connections.py`` were written for."""

_CONTROLS = bytes({*range(32), 127} - {9})
"""Control characters except tab. No header may contain one (RFC 9110, section 5.5)."""

_SCHEMES = frozenset({"http", "https"})
"""The schemes of URLs that can be requested."""


class _LostError(aiohttp.ClientConnectionError):
    """A connection that had earlier requests was lost before the first byte of a response."""


class _Route:
    """How requests reach one base URL.

    Attributes:
        base: The base URL.
        start: The text before each request's own target.
        request: A request for the pool: where to connect, and the headers for a proxy.
        headers: Headers that are sent with each request.
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
            # Without Host the pool would add it, and then not find its own connections again.
            proxy_headers={**proxy_headers, "Host": host} if proxy_headers else None,
            ssl=tls() if url.scheme == "https" else True,
        )
        # From a user and password in the URL, if there are any.
        own = self.request.headers.get("Authorization")
        self.headers = [] if own is None else [("Authorization", own)]
        if proxy is not None and url.scheme == "http":  # without a tunnel, the proxy reads these
            self.start = f"http://{host}{self.start}"
            self.headers += proxy_headers.items()


class Wire:
    """Connections to one service, kept open between calls.

    It stores no cookies: a cookie for one user would be sent with the calls of all others. It sends
    a request twice in one case only: the service closes a kept connection just when the request is
    sent.
    """

    def __init__(self, settings: SourceSettings) -> None:
        """Set up the pool, without connections. Needs a running event loop.

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
        self._route = self._route_to(settings.base_url)

    def _route_to(self, base: str) -> _Route:
        """Make the route to a base URL."""
        return _Route(base, self._proxy, self._proxy_headers, self._tls_context)

    def _tls_context(self) -> ssl.SSLContext:
        """Return the TLS context. It is made once, because that reads files."""
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
        """Send a request, and receive a response up to its headers.

        Services close connections that were idle or had many requests, and may do so just when a
        request is sent. If a kept connection is lost before the first byte of a response, a
        repeatable request is sent once more, on a new connection (RFC 9112, section 9.3.1). That is
        not a failure of the service, so it counts neither for the retry budget nor for the circuit
        breaker.

        Args:
            method: The HTTP method.
            base: The base URL of the service, or another URL that is reached in the same way.
            target: Path and query below the base URL, percent-encoded.
            headers: All headers, with ``Host`` and ``Content-Length``.
            body: The body; empty if there is none.
            repeatable: Whether the service may receive the request twice.

        Returns:
            The response. Its body is not read yet.

        Raises:
            httpx.HTTPError: There was no response.
            ValueError: There is a control character in the head of the request.
        """
        try:
            route = self._route if base == self._route.base else self._route_to(base)
            head = _encode_head(method, route.start + target, (*headers, *route.headers))
            data = head + body
            has_body = method != "HEAD"
            try:
                connection = await self._pool.connect(route.request, [], self._timeout)
                try:
                    return await _send(connection, data, has_body=has_body)
                except _LostError:
                    if not repeatable:
                        raise
                connection = await self._pool.connect_anew(route.request, self._timeout)
                return await _send(connection, data, has_body=has_body, repeated=True)
            except HttpProcessingError as error:
                raise aiohttp.ClientResponseError(
                    route.request.request_info, (), status=error.code, message=error.message
                ) from error
            except TimeoutError as error:  # only connecting has a timeout here
                raise aiohttp.ConnectionTimeoutError from error
        except aiohttp.ClientError:
            with map_aiohttp_exceptions():
                raise

    def take_unsolicited(self) -> int:
        """Return how many connections got unsolicited data and were closed, and reset the count.

        Returns:
            The connections since the last call on which bytes arrived that answer no request.
        """
        unsolicited, self._pool.unsolicited = self._pool.unsolicited, 0
        return unsolicited


class WireResponse(UpstreamBody):
    """A response whose headers have arrived. As a stream it yields the pieces of its body.

    Attributes:
        status: The HTTP status.
        headers: The headers.
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

    def arrived(self) -> bytes | None:
        """Take the whole body, if all of it has arrived before anybody has read of it.

        Returns:
            The body; ``None`` if it has to be read in pieces.
        """
        content = self._content
        if content.is_eof() and content.exception() is None:
            return content.read_nowait()
        return None

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
        """Return the connection to the pool, or close it if the body has not ended."""
        self._connection.release()


def _encode_head(method: str, target: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """Encode the head of a request (RFC 9112, section 3)."""
    if not target.startswith(("/", "http:")):
        target = f"/{target}"
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    head = "\r\n".join([*lines, "", ""]).encode()
    if len(head) - len(head.translate(None, _CONTROLS)) != 2 * len(lines) + 2:
        raise ValueError("expected no control characters in the head of a request")
    return head


async def _send(
    connection: Connection, data: bytes, *, has_body: bool, repeated: bool = False
) -> WireResponse:
    """Send an encoded request, and receive a response up to its headers."""
    protocol, transport = protocol_of(connection), connection.transport
    if transport is None:
        connection.close()
        raise aiohttp.ClientConnectionError("lost before anything was sent")
    try:
        protocol.await_answer(has_body=has_body)
        transport.write(data)
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
    """The transport of one service over its own ``Wire``."""

    def __init__(self, settings: SourceSettings) -> None:
        """Set up the transport. Nothing is opened before its context is entered.

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
        """Send a request, and receive a response up to its headers.

        Args:
            request: The request.

        Returns:
            The response. Its body is not read yet.

        Raises:
            httpx.HTTPError: There was no response.
            RuntimeError: The transport is not open.
            ValueError: There is a control character in the head of the request.
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
        unsolicited = self._wire.take_unsolicited()
        extensions = None
        if incoming.repeated or unsolicited:
            extensions = {REPEATED: incoming.repeated, UNSOLICITED: unsolicited}
        return RawResponse(incoming.status, incoming.headers, incoming, extensions)


def wire_transport(settings: SourceSettings) -> httpx.AsyncBaseTransport:
    """Make the transport of a service over a ``Wire``.

    Args:
        settings: How the service is reached.

    Returns:
        A transport with its own pool of connections.
    """
    return WireTransport(settings)
