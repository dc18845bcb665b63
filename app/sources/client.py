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

import math
import os
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Generic, TypeVar

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from pydantic import ValidationError
from structlog.typing import FilteringBoundLogger

from app import __version__
from app.errors import Code, MalformedError, SourceError, what_is_wrong
from app.resilience.breaker import Change, State
from app.resilience.clock import Clock
from app.resilience.deadline import Deadline, write_duration
from app.resilience.guard import Guard
from app.resilience.retry import Chance, read_retry_after
from app.settings import DeadlineSettings, SourceSettings
from app.sources.base import Call
from app.sources.body import ACCEPT_ENCODING, read_body

T = TypeVar("T")

FOREIGN = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError)
"""What an exchange may raise: httpx's errors, and what its transport lets through."""

BAD_ANSWERS = (
    httpx.DecodingError,
    httpx.RemoteProtocolError,
    aiohttp.ClientResponseError,
)
"""Those of them that say that there was an answer, and that it was none."""

RETRYABLE = frozenset({429, 502, 503, 504})
"""Statuses after which the same call may succeed soon: the service was not there, or busy."""

DIVISIBLE = frozenset({400, 404, 413, 414, 422, 500})
"""Statuses that one key of many may be to blame for."""

TransportFactory = Callable[[SourceSettings], httpx.AsyncBaseTransport]
"""Makes the transport under a service's client; the seam at which tests put their fakes."""


@dataclass(frozen=True, slots=True)
class Contact:
    """The last time that a service answered at all.

    Attributes:
        at: When its answer arrived.
        status: The HTTP status of it.
    """

    at: datetime
    status: int


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """What is asked of a service.

    Attributes:
        target: Path and query below the base URL.
        call: What of the incoming request matters to it.
        read: Makes a value of the body.
        keys: How many users are asked for.
        absent: Statuses that say "no such user".
    """

    target: str
    call: Call
    read: Callable[[bytes], T]
    keys: int
    absent: frozenset[int]


class ServiceClient:
    """Asks one service. Safe to share: calls do not see each other.

    Attributes:
        name: The source that the service is.
        settings: How it is reached.
        guard: What every call goes through.
        contact: The last time that it answered.
    """

    def __init__(
        self,
        name: str,
        settings: SourceSettings,
        http: httpx.AsyncClient,
        *,
        deadlines: DeadlineSettings,
        guard: Guard,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self.name = name
        self.settings = settings
        self.guard = guard
        self.contact: Contact | None = None
        self._http = http
        self._deadlines = deadlines
        self._clock = clock
        self._log = log
        self._headers = [
            ("Accept", "application/json"),
            ("Accept-Encoding", ACCEPT_ENCODING),
            ("User-Agent", f"user-gateway/{__version__}"),
        ]
        if settings.bearer_token is not None:
            token = settings.bearer_token.get_secret_value()
            self._headers.append(("Authorization", f"Bearer {token}"))

    @property
    def circuit(self) -> State:
        """State of the circuit breaker."""
        return self.guard.state

    async def get(
        self,
        target: str,
        call: Call,
        read: Callable[[bytes], T],
        *,
        keys: int,
        limit: float | None = None,
        absent: frozenset[int] = frozenset(),
    ) -> T | SourceError | None:
        """Send a GET and read its answer; again, where that may help.

        Args:
            target: Path and query below the base URL, ready to be sent.
            call: What of the incoming request matters to it.
            read: Makes a value of the body; raises ``MalformedError`` or pydantic's
                ``ValidationError`` where it does not fit.
            keys: How many users are asked for; for the log.
            limit: Seconds that one attempt may take; the setting's by default.
            absent: Statuses that say "no such user" rather than a failure.

        Returns:
            What ``read`` made of it, ``None`` for an ``absent`` status, or the failure.
        """
        request = Request(target, call, read, keys, absent)

        async def attempt(seconds: float) -> T | SourceError | None:
            return await self._exchange(request, seconds)

        trace = call.trace.of(self.name)
        started = self._clock.monotonic()
        outcome = await self.guard.run(
            attempt,
            limit=self.settings.timeout if limit is None else limit,
            deadline=call.deadline or Deadline(math.inf, self._clock),
            reserve=self._deadlines.reserve,
        )
        trace.calls += 1
        trace.attempts += outcome.attempts
        trace.keys += keys
        trace.started = started if trace.started is None else min(trace.started, started)
        trace.ended = self._clock.monotonic()
        trace.circuit = self.circuit.value
        if isinstance(outcome.answer, SourceError):
            trace.code = outcome.answer.code
            if not outcome.attempts:  # those that were made have reported themselves
                self._log.debug(
                    "source.not_asked", source=self.name, outcome=outcome.answer.code.value
                )
        return outcome.answer

    async def _exchange(self, request: "Request[T]", seconds: float) -> T | SourceError | None:
        """Make one exchange within so many seconds, and report it."""
        started = self._clock.monotonic()
        status: int | None = None
        answer: T | SourceError | None
        try:
            # httpx's own timeouts are for each read; this one is for the whole.
            async with self._clock.timeout(seconds):
                response = await self._http.send(self._written(request, seconds), stream=True)
                try:
                    status = response.status_code
                    self.contact = Contact(self._clock.now(), status)
                    known = status not in request.absent
                    answer = await self._read(response, request.read) if known else None
                finally:
                    await response.aclose()
        except FOREIGN as error:
            answer = self._translated(error)
        took = self._clock.monotonic() - started
        self._report(request, answer, status=status, seconds=took)
        return answer

    def _written(self, request: "Request[T]", seconds: float) -> httpx.Request:
        """Write the request, without what httpx would add to it on each call."""
        call = request.call
        headers = [*self._headers, ("X-Request-ID", call.request_id)]
        if call.traceparent is not None:
            headers.append(("traceparent", call.traceparent))
        if call.deadline is not None:
            headers.append((self._deadlines.header, write_duration(seconds)))
        return httpx.Request(
            "GET",
            self.settings.base_url + request.target,
            headers=headers,
            extensions={"timeout": {"connect": self.settings.connect_timeout}},
        )

    async def _read(self, response: httpx.Response, read: Callable[[bytes], T]) -> T | SourceError:
        """Make a value of an answer, or a failure."""
        status = response.status_code
        if (code := code_of_status(status)) is not None:
            return SourceError(
                self.name,
                code,
                f"status {status}",
                retryable=status in RETRYABLE,
                retry_after=read_retry_after(response.headers.get("retry-after"), self._clock),
                divisible=status in DIVISIBLE,
            )
        try:
            return read(await read_body(response, self.settings.max_answer_bytes))
        except MalformedError as error:
            return self._malformed(str(error))
        except ValidationError as error:
            return self._malformed(what_is_wrong(error))

    def _malformed(self, detail: str) -> SourceError:
        """Say that an answer does not fit the contract."""
        return SourceError(self.name, Code.SOURCE_MALFORMED, detail, divisible=True)

    def _translated(self, error: Exception) -> SourceError:
        """Say what a foreign exception means. A connection that failed may succeed soon."""
        code, detail = translate(error)
        no_connection = isinstance(error.__cause__, aiohttp.ConnectionTimeoutError) or (
            isinstance(error, httpx.ConnectTimeout)
        )
        retryable = code is Code.SOURCE_UNAVAILABLE or no_connection
        return SourceError(self.name, code, detail, retryable=retryable)

    def _report(
        self, request: "Request[T]", answer: object, *, status: int | None, seconds: float
    ) -> None:
        """Log how the exchange went."""
        failed = answer if isinstance(answer, SourceError) else None
        (self._log.info if failed is None else self._log.warning)(
            "source.fetch",
            source=self.name,
            path=request.target.partition("?")[0],
            keys=request.keys,
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
    # Never its text: it may quote the answer, and the URL with the users in it.
    detail = type(cause).__name__
    if isinstance(cause, OSError) and cause.errno is not None:
        detail += f": {os.strerror(cause.errno)}"
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return Code.SOURCE_TIMEOUT, detail
    if isinstance(cause, BAD_ANSWERS):
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
            middlewares=(_once,),
        )

    # The session brings its own TLS, and the transport would load all certificates for nothing.
    trusting_nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return AiohttpTransport(client=session, verify=trusting_nobody)


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


async def _lead_nowhere(response: httpx.Response) -> None:
    """Forget where an answer redirects to: httpx reads the address even where it does not go."""
    response.headers.pop("location", None)


@asynccontextmanager
async def open_service(
    name: str,
    settings: SourceSettings,
    transports: TransportFactory,
    *,
    deadlines: DeadlineSettings,
    clock: Clock,
    chance: Chance,
    log: FilteringBoundLogger,
) -> AsyncGenerator[ServiceClient]:
    """Open the client of a service for the life of the process.

    Args:
        name: The source that the service is.
        settings: How it is reached.
        transports: Makes the transport.
        deadlines: How the time of a request is divided.
        clock: Tells the time.
        chance: Gives the jitter.
        log: Where exchanges are reported.

    Yields:
        The client; its connections are closed at the end.
    """

    def report(change: Change) -> None:
        log.warning(
            "source.circuit",
            source=name,
            before=change.before.value,
            state=change.after.value,
            open_for_s=None if change.open_for is None else round(change.open_for, 3),
        )

    guard = Guard(name, settings, clock=clock, chance=chance, on_change=report)
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    async with httpx.AsyncClient(
        transport=transports(settings),
        cookies=no_cookies,
        event_hooks={"response": [_lead_nowhere]},
        trust_env=False,
    ) as http:
        yield ServiceClient(
            name, settings, http, deadlines=deadlines, guard=guard, clock=clock, log=log
        )
