"""The transport under a service's client: aiohttp's connections, as httpx wants them.

Measured, aiohttp takes a third of the CPU of httpx's own transport. ``httpx-aiohttp`` brings the
two together; what is ours here is that an address goes out as it was written: to parse the
``httpx.URL`` of a hundred ids takes a quarter of a millisecond, more than all the rest of the call.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import aiohttp
import httpx
from httpx_aiohttp.transport import map_aiohttp_exceptions
from yarl import URL

from app.shapes.source import SourceSettings
from app.sources.auth import basic

TransportFactory = Callable[[SourceSettings], httpx.AsyncBaseTransport]
"""Makes the transport under a service's client; the seam at which tests put their fakes."""


class ReadyRequest(httpx.Request):
    """A request that is ready to be sent, and parsed only for those who look at it.

    Attributes:
        address: Where it goes, percent-encoded.
        url: The same, parsed.
        body: Its body; empty where it has none.
    """

    def __init__(
        self,
        method: str,
        base: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes = b"",
    ) -> None:
        """Write it.

        Args:
            method: The HTTP method.
            base: The address of the service.
            target: Path and query below it, percent-encoded.
            headers: The headers, ``Host`` among them.
            body: The body, if it has one.
        """
        super().__init__(method, NOWHERE, stream=httpx.ByteStream(body))
        self.address = base + target
        self.body = body
        self._written = [*headers, ("Content-Length", str(len(body)))] if body else headers
        self._parsed: httpx.Headers | None = None

    @property
    def url(self) -> httpx.URL:
        """Where it goes."""
        return httpx.URL(self.address)

    @url.setter
    def url(self, _: httpx.URL) -> None:
        """Pass over what httpx makes of the address that it is given."""

    @property
    def headers(self) -> httpx.Headers:
        """Its headers, which whoever passes it on may change."""
        if self._parsed is None:
            self._parsed = httpx.Headers(self._written)
        return self._parsed

    @headers.setter
    def headers(self, headers: httpx.Headers) -> None:
        """Take others."""
        self._parsed = headers

    @property
    def content(self) -> bytes:
        """Its body."""
        return self.body

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """Its headers as they are sent."""
        return self._written if self._parsed is None else self._parsed.multi_items()


NOWHERE = httpx.URL("")
"""An address that costs nothing to copy."""


class RawResponse(httpx.Response):
    """An answer as it came, whose headers are parsed only for those who look at them."""

    def __init__(
        self, status: int, pairs: Sequence[tuple[bytes, bytes]], stream: httpx.AsyncByteStream
    ) -> None:
        """Take it.

        Args:
            status: Its status.
            pairs: Its headers.
            stream: Its body.
        """
        super().__init__(status, stream=stream)
        self._pairs = pairs
        self._parsed: httpx.Headers | None = None

    @property
    def headers(self) -> httpx.Headers:
        """Its headers, which whoever passes it on may change."""
        if self._parsed is None:
            self._parsed = httpx.Headers(self._pairs)
        return self._parsed

    @headers.setter
    def headers(self, headers: httpx.Headers) -> None:
        """Take others."""
        self._parsed = headers

    @property
    def fields(self) -> Mapping[str, str]:
        """Its headers by names in lower case; several of one name are one, with commas between."""
        if self._parsed is not None:
            return self._parsed
        try:
            fields = {
                name.decode("ascii").lower(): value.decode("ascii") for name, value in self._pairs
            }
        except UnicodeDecodeError:
            return self.headers
        return fields if len(fields) == len(self._pairs) else self.headers


def fields_of(response: httpx.Response) -> Mapping[str, str]:
    """Read the headers of an answer.

    Args:
        response: The answer, of whichever transport.

    Returns:
        Its headers by names in lower case; several of one name are one value, with commas between
        (RFC 9110, section 5.3).
    """
    return response.fields if isinstance(response, RawResponse) else response.headers


class PooledTransport(httpx.AsyncBaseTransport):
    """Connections to one service, kept open between calls.

    It keeps no cookies: a cookie set for one user would be sent with the calls of all others.
    """

    def __init__(self, settings: SourceSettings) -> None:
        """Make it; nothing is opened before its context is entered.

        Args:
            settings: How the service is reached.
        """
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        proxy = settings.proxy
        self._proxy = None if proxy is None else proxy.url
        self._proxy_headers: Mapping[str, str] | None = None
        if proxy is not None and proxy.username is not None and proxy.password is not None:
            credentials = basic(proxy.username, proxy.password.get_secret_value())
            self._proxy_headers = {"Proxy-Authorization": credentials}

    async def __aenter__(self) -> Self:
        settings = self._settings
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=settings.max_connections,
                keepalive_timeout=settings.keepalive,
                ssl=True if settings.tls is None else settings.tls.context(),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._proxy,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout),
            auto_decompress=False,
            middlewares=(_once,),
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and receive an answer up to its headers.

        Args:
            request: The request.

        Returns:
            The answer; its body is still to be read.

        Raises:
            httpx.HTTPError: There was none.
        """
        if self._session is None:
            raise RuntimeError("the transport is not open: its context has to be entered first")
        if isinstance(request, ReadyRequest):
            url, headers = URL(request.address, encoded=True), request.pairs
        else:
            url, headers = URL(str(request.url)), request.headers.multi_items()
        if self._proxy_headers is not None and url.scheme == "http":
            headers = [*headers, *self._proxy_headers.items()]  # without a tunnel, it reads these
        try:
            response = await self._session.request(
                request.method,
                url,
                headers=headers,
                data=request.content or None,
                allow_redirects=False,
                proxy_headers=self._proxy_headers,
            )
        except aiohttp.ClientError:
            with map_aiohttp_exceptions():
                raise
        return RawResponse(response.status, response.raw_headers, _Body(response))


class _Body(httpx.AsyncByteStream):
    """The body of an answer, in the pieces in which it comes."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            while piece := await content.readany():
                yield piece
        except aiohttp.ClientError:
            with map_aiohttp_exceptions():
                raise

    async def aclose(self) -> None:
        """Give the connection back, or close it where the body was not read to its end."""
        self._response.release()
        try:
            await self._response.wait_for_close()
        except aiohttp.ClientError:
            with map_aiohttp_exceptions():
                raise


def pooled_transport(settings: SourceSettings) -> httpx.AsyncBaseTransport:
    """Make the transport of a real service.

    Args:
        settings: How the service is reached.

    Returns:
        A transport with a pool of its own.
    """
    return PooledTransport(settings)


async def _once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request once: aiohttp would repeat it by itself, behind the back of the guard."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(type(error).__name__) from error
