"""One HTTP exchange with a service, and the one border where foreign exceptions end.

Async, since a call is all waiting: one process keeps hundreds of them in flight on one thread. The
client of a service lives as long as the process, so that its connections are reused.

Whatever goes wrong in an exchange comes back as a ``SourceError``:

    no answer in time                               SOURCE_TIMEOUT
    no connection, connection lost, 5xx             SOURCE_UNAVAILABLE
    429                                             SOURCE_OVERLOADED
    any other 4xx                                   SOURCE_REJECTED
    any other status, or a body that does not fit   SOURCE_MALFORMED
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from pydantic import ValidationError
from structlog.typing import FilteringBoundLogger

from app import __version__
from app.errors import Code, SourceError, what_is_wrong
from app.resilience.clock import Clock
from app.settings import SourceSettings
from app.sources.base import Call

T = TypeVar("T")

FOREIGN = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError)
"""What an exchange may raise: httpx's errors, and what its transport lets through."""

TransportFactory = Callable[[SourceSettings], httpx.AsyncBaseTransport]
"""Makes the transport under a service's client; the seam at which tests put their fakes."""


class MalformedError(ValueError):
    """A body that does not fit the contract; raised by the readers of bodies, ends here."""


@dataclass(frozen=True, slots=True)
class Contact:
    """The last time that a service answered at all.

    Attributes:
        at: When its answer arrived.
        status: The HTTP status of it.
    """

    at: datetime
    status: int


class ServiceClient:
    """Asks one service. Safe to share: calls do not see each other.

    Attributes:
        name: The source that the service is.
        settings: How it is reached.
        contact: The last time that it answered.
    """

    def __init__(
        self,
        name: str,
        settings: SourceSettings,
        http: httpx.AsyncClient,
        *,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self.name = name
        self.settings = settings
        self.contact: Contact | None = None
        self._http = http
        self._clock = clock
        self._log = log
        self._headers = [
            ("Accept", "application/json"),
            ("User-Agent", f"user-gateway/{__version__}"),
        ]
        if settings.bearer_token is not None:
            token = settings.bearer_token.get_secret_value()
            self._headers.append(("Authorization", f"Bearer {token}"))
        self._timeout = httpx.Timeout(settings.timeout, connect=settings.connect_timeout).as_dict()

    async def get(
        self,
        target: str,
        call: Call,
        read: Callable[[bytes], T],
        *,
        keys: int,
        absent: frozenset[int] = frozenset(),
    ) -> T | SourceError | None:
        """Send a GET and read its answer.

        Args:
            target: Path and query below the base URL, ready to be sent.
            call: What of the incoming request goes on.
            read: Makes a value of the body; raises ``MalformedError`` or pydantic's
                ``ValidationError`` where it does not fit.
            keys: How many users are asked for; for the log.
            absent: Statuses that say "no such user" rather than a failure.

        Returns:
            What ``read`` made of it, ``None`` for an ``absent`` status, or the failure.
        """
        started = self._clock.monotonic()
        status: int | None = None
        answer: T | SourceError | None
        try:
            # httpx's own timeouts are for each read; this one is for the whole.
            async with asyncio.timeout(self.settings.timeout):
                response = await self._http.send(self._request(target, call))
            status = response.status_code
            self.contact = Contact(self._clock.now(), status)
            answer = None if status in absent else self._read(response, read)
        except FOREIGN as error:
            answer = self._failure(*translate(error))
        self._report(
            answer,
            path=target.partition("?")[0],
            keys=keys,
            status=status,
            seconds=self._clock.monotonic() - started,
        )
        return answer

    def _request(self, target: str, call: Call) -> httpx.Request:
        """Build the request, without what httpx would add to it on each call."""
        headers = [*self._headers, ("X-Request-ID", call.request_id)]
        if call.traceparent is not None:
            headers.append(("traceparent", call.traceparent))
        return httpx.Request(
            "GET",
            self.settings.base_url + target,
            headers=headers,
            extensions={"timeout": self._timeout},
        )

    def _read(self, response: httpx.Response, read: Callable[[bytes], T]) -> T | SourceError:
        """Make a value of an answer, or a failure."""
        if (code := code_of_status(response.status_code)) is not None:
            return self._failure(code, f"status {response.status_code}")
        try:
            return read(response.content)
        except MalformedError as error:
            return self._failure(Code.SOURCE_MALFORMED, str(error))
        except ValidationError as error:
            return self._failure(Code.SOURCE_MALFORMED, what_is_wrong(error))

    def _failure(self, code: Code, detail: str) -> SourceError:
        """Name this source in a failure."""
        return SourceError(self.name, code, detail)

    def _report(
        self, answer: object, *, path: str, keys: int, status: int | None, seconds: float
    ) -> None:
        """Log how the exchange went."""
        failed = answer if isinstance(answer, SourceError) else None
        (self._log.info if failed is None else self._log.warning)(
            "source.fetch",
            source=self.name,
            path=path,
            keys=keys,
            status=status,
            duration_ms=round(seconds * 1000, 2),
            outcome="ok" if failed is None else failed.code.value,
            **({} if failed is None else {"detail": failed.detail}),
        )


def code_of_status(status: int) -> Code | None:
    """Tell what a status means.

    Args:
        status: An HTTP status.

    Returns:
        The code of the failure that it is, or ``None`` for 200, the one with an answer in it. A
        redirect is not followed: it could lead to a host that nobody has named.
    """
    if status == HTTPStatus.OK:
        return None
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Code.SOURCE_OVERLOADED
    if httpx.codes.is_client_error(status):
        return Code.SOURCE_REJECTED
    if httpx.codes.is_server_error(status):
        return Code.SOURCE_UNAVAILABLE
    return Code.SOURCE_MALFORMED


def translate(error: Exception) -> tuple[Code, str]:
    """Tell what a foreign exception means.

    The transport renames aiohttp's exceptions, and calls a lost or refused connection a connect
    timeout; so the exception that it renamed decides.

    Args:
        error: One of ``FOREIGN``.

    Returns:
        The code of the failure, and what happened, for the log.
    """
    cause = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
    detail = f"{type(cause).__name__}: {cause}".rstrip(": ")
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return Code.SOURCE_TIMEOUT, detail
    if isinstance(cause, httpx.DecodingError | httpx.RemoteProtocolError):
        return Code.SOURCE_MALFORMED, detail
    return Code.SOURCE_UNAVAILABLE, detail


def pooled_transport(settings: SourceSettings) -> httpx.AsyncBaseTransport:
    """Make the transport of a real service: aiohttp's connections under httpx's client.

    Args:
        settings: How the service is reached.

    Returns:
        A transport with a pool of its own. It keeps no cookies: a cookie set for one user would be
        sent with the calls of all others.
    """

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=settings.max_connections, keepalive_timeout=settings.keepalive
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    return AiohttpTransport(client=session)


@asynccontextmanager
async def open_service(
    name: str,
    settings: SourceSettings,
    transports: TransportFactory,
    *,
    clock: Clock,
    log: FilteringBoundLogger,
) -> AsyncGenerator[ServiceClient]:
    """Open the client of a service for the life of the process.

    Args:
        name: The source that the service is.
        settings: How it is reached.
        transports: Makes the transport.
        clock: Tells the time.
        log: Where exchanges are reported.

    Yields:
        The client; its connections are closed at the end.
    """
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    async with httpx.AsyncClient(
        transport=transports(settings), cookies=no_cookies, trust_env=False
    ) as http:
        yield ServiceClient(name, settings, http, clock=clock, log=log)
