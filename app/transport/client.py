"""The reference transport: ``httpx.AsyncClient`` over aiohttp's connections, one for each service.

It uses public APIs of both libraries, and below them the connector of ``connections.py``, which
rejects answers to no request. ``fastpath/wire.py`` replaces it.

aiohttp itself repeats a request once after a lost connection, if it knows that its method is
idempotent. POST, QUERY and SEARCH are not repeated here; the retries of the pipeline do that.
"""

from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from types import TracebackType
from typing import Self

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from app.settings.source import SourceSettings
from app.settings.transport import TlsSettings
from app.transport.connections import UpstreamConnector
from app.transport.transport import UNSOLICITED, ReadyRequest, basic


class ClientTransport(httpx.AsyncBaseTransport):
    """Sends requests to one service by its own HTTP client, which is open within the context."""

    def __init__(self, settings: SourceSettings) -> None:
        """Create it; nothing is opened before its context is entered.

        Args:
            settings: How to reach the service.
        """
        self._settings = settings
        self._client: httpx.AsyncClient | None = None
        self._connector: UpstreamConnector | None = None
        self._noted = 0  # unsolicited data, in the extensions of responses so far

    async def __aenter__(self) -> Self:
        settings = self._settings
        # Reading the certificates that the system trusts takes 35 ms. Without https nobody needs
        # them; `True` is aiohttp's own context, which verifies certificates as well.
        tls = (settings.tls or TlsSettings()).context() if settings.uses_tls else True
        self._connector = UpstreamConnector(
            limit=settings.max_connections,
            keepalive_timeout=settings.keepalive,
            head_limit=settings.max_head_bytes,
            ssl=tls,
        )
        proxy: httpx.Proxy | None = None
        if settings.proxy is not None:
            proxy = httpx.Proxy(settings.proxy.url, headers=_proxy_headers(settings))
        session = aiohttp.ClientSession(
            connector=self._connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )
        self._client = httpx.AsyncClient(
            # `verify` is only read for a session that the transport makes itself. Without it, the
            # transport would read all certificates once more.
            transport=AiohttpTransport(
                client=session, proxy=proxy, verify=SSLContext(PROTOCOL_TLS_CLIENT)
            ),
            # `ServiceClient` bounds the time of a whole exchange.
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
        """Send a request, and receive the answer up to the end of its headers.

        Args:
            request: The request.

        Returns:
            The answer; its body is not read yet.

        Raises:
            httpx.HTTPError: No answer came.
            RuntimeError: The context was not entered.
        """
        if self._client is None or self._connector is None:
            raise RuntimeError("the transport is not open: its context has to be entered first")
        copy = httpx.Request(
            request.method, request.url, headers=request.headers, content=request.content
        )
        if not isinstance(request, ReadyRequest):
            copy.extensions = request.extensions
        if copy.url.scheme == "http":  # there is no tunnel, so the proxy reads these headers
            copy.headers.update(_proxy_headers(self._settings))
        response = await self._client.send(copy, stream=True)
        before, self._noted = self._noted, self._connector.unsolicited
        unsolicited = self._noted - before
        if unsolicited:
            response.extensions[UNSOLICITED] = unsolicited
        return response


def client_transport(settings: SourceSettings) -> httpx.AsyncBaseTransport:
    """Create the reference transport of a service.

    Args:
        settings: How to reach the service.

    Returns:
        A transport with its own client and connections.
    """
    return ClientTransport(settings)


def _proxy_headers(settings: SourceSettings) -> Mapping[str, str]:
    """Return the credentials for the proxy as headers; empty when it needs none."""
    proxy = settings.proxy
    if proxy is None or proxy.username is None or proxy.password is None:
        return {}
    return {"Proxy-Authorization": basic(proxy.username, proxy.password.get_secret_value())}
