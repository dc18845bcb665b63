"""The reference transport: ``httpx.AsyncClient`` over aiohttp's connections, one for each service.

It uses public parts of both libraries, and the connector of ``connections.py`` below them, so that
no answer is taken that nobody asked for. ``fastpath/wire.py`` replaces it.

aiohttp repeats a request by itself once where its connection was lost, if its method only reads.
Requests with another method are not repeated here; they are left to the retries.
"""

from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from app.settings.source import SourceSettings
from app.settings.transport import TlsSettings
from app.transport.connections import UpstreamConnector
from app.transport.transport import STRAYS, ReadyRequest, basic


class ClientTransport(httpx.AsyncBaseTransport):
    """Sends requests to one service by a client of its own, opened with its context."""

    def __init__(self, settings: SourceSettings) -> None:
        """Make it; nothing is opened before its context is entered.

        Args:
            settings: How the service is reached.
        """
        self._settings = settings
        self._client: httpx.AsyncClient | None = None
        self._connector: UpstreamConnector | None = None
        self._strays = 0

    async def __aenter__(self) -> Self:
        settings = self._settings
        self._connector = UpstreamConnector(
            limit=settings.max_connections,
            keepalive_timeout=settings.keepalive,
            head_limit=settings.max_head_bytes,
            ssl=(settings.tls or TlsSettings()).context(),
        )
        proxy: httpx.Proxy | None = None
        if settings.proxy is not None:
            proxy = httpx.Proxy(settings.proxy.url, headers=_proxy_headers(settings))
        session = aiohttp.ClientSession(
            connector=self._connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )
        self._client = httpx.AsyncClient(
            transport=AiohttpTransport(client=session, proxy=proxy),
            # The time of a whole exchange is bounded by the client of the source.
            timeout=httpx.Timeout(None, connect=settings.connect_timeout),
            # A cookie set for one user would be sent with the calls of all others.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
        )
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        if self._client is not None:
            await self._client.__aexit__(exc_type, exc_value, traceback)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and receive an answer up to its headers.

        Args:
            request: The request.

        Returns:
            The answer; its body is still to be read.

        Raises:
            httpx.HTTPError: There was none.
        """
        if self._client is None or self._connector is None:
            raise RuntimeError("the transport is not open: its context has to be entered first")
        plain = httpx.Request(
            request.method, request.url, headers=request.headers, content=request.content
        )
        if not isinstance(request, ReadyRequest):
            plain.extensions = request.extensions
        if plain.url.scheme == "http":  # without a tunnel, the proxy reads the request itself
            plain.headers.update(_proxy_headers(self._settings))
        response = await self._client.send(plain, stream=True)
        strays, self._strays = self._connector.strays - self._strays, self._connector.strays
        if strays:
            response.extensions[STRAYS] = strays
        return response


def client_transport(settings: SourceSettings) -> httpx.AsyncBaseTransport:
    """Make the reference transport of a service.

    Args:
        settings: How the service is reached.

    Returns:
        A transport with a client and connections of its own.
    """
    return ClientTransport(settings)


def _proxy_headers(settings: SourceSettings) -> Mapping[str, str]:
    """Write what a proxy is told, where it asks for a password."""
    proxy = settings.proxy
    if proxy is None or proxy.username is None or proxy.password is None:
        return {}
    return {"Proxy-Authorization": basic(proxy.username, proxy.password.get_secret_value())}
