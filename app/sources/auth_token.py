"""Tokens that the gateway gets for itself: OAuth 2 client credentials (RFC 6749, section 4.4).

A token is kept until shortly before it expires. Then the next call has it renewed behind, and goes
on with the one that there is. Calls wait only where there is none that is good. However many want a
token, it is asked for once at a time. Where the service does not take it, a new one is got and the
exchange is made again, once, within the same attempt: to breaker and retries it is one.

What goes wrong at the token endpoint is a ``SourceError`` that says so.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from types import TracebackType
from typing import Annotated, Self, TypeVar
from urllib.parse import quote_plus, urlencode

import httpx
from pydantic import BaseModel, Field, ValidationError
from structlog.typing import FilteringBoundLogger

from app import __version__
from app.errors import Code, MalformedError, SourceError, what_is_wrong
from app.resilience.clock import Clock
from app.resilience.retry import read_retry_after
from app.resilience.tasks import Tasks
from app.shapes.auth import AuthSettings, ClientCredentialsAuth, is_bearer_token
from app.sources.auth import basic
from app.sources.base import Headers
from app.sources.body import ACCEPT_ENCODING, read_body
from app.sources.failures import FOREIGN, failure_of_exception, failure_of_status
from app.sources.transport import ReadyRequest

T = TypeVar("T")

Exchange = Callable[[float, Headers], Awaitable[T | SourceError | None]]
"""Makes one exchange with the service, within so many seconds, with further headers."""

MAX_BYTES = 65_536
"""Longest answer of a token endpoint that is read."""

MARGIN = 60.0
"""Seconds before its end from which on a token is renewed; less for one that is good for less than
ten minutes."""

MARGIN_SHARE = 0.1
"""The share of its time that this is at most."""

PAUSE = 1.0
"""Seconds for which nothing is asked that was just answered: after a failure that will not pass by
itself, and where a service does not take a token that is new."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and how long it is good for by the clock's ``monotonic``.

    Attributes:
        value: The token.
        since: When it was asked for.
        renew_at: From when on it is renewed.
        expires_at: When it ends.
    """

    value: str = field(repr=False)
    since: float
    renew_at: float
    expires_at: float

    @property
    def headers(self) -> Headers:
        """What a service is sent (RFC 6750, section 2.1)."""
        return (("Authorization", f"Bearer {self.value}"),)


class _TokenAnswer(BaseModel):
    """What a token endpoint answers (RFC 6749, section 5.1)."""

    access_token: str = Field(description="The token.")
    token_type: str = Field(description="How it is used.")
    expires_in: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Seconds that it is good for; not known when absent."
    )


class Tokens:
    """The tokens of one source. Safe to share: all calls to the source use the same token."""

    def __init__(
        self,
        source: str,
        settings: ClientCredentialsAuth,
        transport: httpx.AsyncBaseTransport,
        *,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        """Make it; nothing is asked for before a call needs a token.

        Args:
            source: Name of the source.
            settings: Where tokens are, and what for.
            transport: Sends requests.
            clock: Tells the time.
            log: Where it is reported what became of asking.
        """
        self._source = source
        self._settings = settings
        self._transport = transport
        self._clock = clock
        self._log = log
        self._tasks = Tasks()
        # The one who asks does it for all: not with the context variables of a request.
        self._nobodys = Context()
        self._token: Token | None = None
        self._asking: asyncio.Task[Token | SourceError] | None = None
        self._failed: SourceError | None = None
        self._failed_at = -math.inf
        self._headers, self._body = _written(settings)

    async def __aenter__(self) -> Self:
        self._nobodys = copy_context()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._tasks.__aexit__(kind, error, traceback)

    async def attempt(self, exchange: Exchange[T], seconds: float) -> T | SourceError | None:
        """Make an exchange with a token; once more with a new one where it is not taken.

        Args:
            exchange: Makes it.
            seconds: How long all of this may take.

        Returns:
            What came of the last exchange, or why there is no token.
        """
        end = self._clock.monotonic() + seconds
        token = await self._usable(end)
        if isinstance(token, SourceError):
            return token
        answer = await exchange(end - self._clock.monotonic(), token.headers)
        if not isinstance(answer, SourceError) or not answer.unauthorized:
            return answer
        if self._token is token:
            if self._clock.monotonic() < token.since + PAUSE:
                return answer
            self._token = None
        token = await self._usable(end)
        if isinstance(token, SourceError):
            return token
        return await exchange(end - self._clock.monotonic(), token.headers)

    async def _usable(self, end: float) -> Token | SourceError:
        """Find the token, or wait for one until some moment."""
        now = self._clock.monotonic()
        paused = now < self._failed_at + PAUSE
        token = self._token
        if token is not None and now < token.expires_at:
            if now >= token.renew_at and not paused:
                self._ask()
            return token
        if paused and self._failed is not None and not self._failed.retryable:
            return self._failed
        asking = self._ask()
        try:
            async with self._clock.timeout(end - now):
                await asyncio.wait([asking])  # which does not cancel it: others wait for it too
        except TimeoutError:
            return self._failure(Code.SOURCE_TIMEOUT, "no time was left to wait for a token")
        if asking.cancelled():
            return self._failure(Code.SOURCE_UNAVAILABLE, "the gateway stops")
        return asking.result()

    def _ask(self) -> "asyncio.Task[Token | SourceError]":
        """Ask for a token, unless that is being done."""
        if self._asking is None or self._asking.done():
            self._asking = self._tasks.begin(
                self._renew(), f"token {self._source}", self._nobodys.copy()
            )
        return self._asking

    async def _renew(self) -> Token | SourceError:
        """Ask for a token, keep it, and report what became of it."""
        started = self._clock.monotonic()
        try:
            async with self._clock.timeout(self._settings.token_timeout):
                response = await self._transport.handle_async_request(
                    ReadyRequest("POST", self._settings.token_url, "", self._headers, self._body)
                )
                try:
                    said = await self._read(response, started)
                finally:
                    await response.aclose()
        except FOREIGN as error:
            said = _told(failure_of_exception(self._source, error))
        now = self._clock.monotonic()
        if isinstance(said, SourceError):
            self._failed, self._failed_at = said, now
        else:
            self._token, self._failed_at = said, -math.inf
        self._report(said, now - started)
        return said

    async def _read(self, response: httpx.Response, started: float) -> Token | SourceError:
        """Make a token of an answer, or a failure."""
        if response.status_code != HTTPStatus.OK:
            retry_after = read_retry_after(response.headers.get("retry-after"), self._clock)
            failure = failure_of_status(self._source, response.status_code, retry_after)
            if failure is not None:
                return _told(failure)
        try:
            body = await read_body(response, MAX_BYTES)
            answer = _TokenAnswer.model_validate_json(body)
        except MalformedError as error:
            return self._failure(Code.SOURCE_MALFORMED, str(error))
        except ValidationError as error:
            return self._failure(Code.SOURCE_MALFORMED, what_is_wrong(error))
        if answer.token_type.lower() != "bearer" or not is_bearer_token(answer.access_token):
            return self._failure(Code.SOURCE_MALFORMED, "expected a bearer token (RFC 6750)")
        good_for = math.inf if answer.expires_in is None else answer.expires_in
        margin = min(MARGIN, MARGIN_SHARE * good_for)
        return Token(
            answer.access_token,
            since=started,
            renew_at=started + good_for - margin,
            expires_at=started + good_for,
        )

    def _failure(self, code: Code, detail: str) -> SourceError:
        """Say that there is no token."""
        return _told(SourceError(self._source, code, detail))

    def _report(self, said: Token | SourceError, seconds: float) -> None:
        """Log what became of asking."""
        failed = said if isinstance(said, SourceError) else None
        (self._log.info if failed is None else self._log.warning)(
            "source.token",
            source=self._source,
            duration_ms=round(seconds * 1000, 2),
            outcome="ok" if failed is None else failed.code.value,
            **({} if failed is None else {"detail": failed.detail}),
        )


@asynccontextmanager
async def open_tokens(
    source: str,
    auth: AuthSettings,
    transport: httpx.AsyncBaseTransport,
    *,
    clock: Clock,
    log: FilteringBoundLogger,
) -> AsyncGenerator[Tokens | None]:
    """Open the tokens of a source that needs them.

    Args:
        source: Name of the source.
        auth: How the service knows who asks.
        transport: Sends requests.
        clock: Tells the time.
        log: Where it is reported what became of asking.

    Yields:
        The tokens; ``None`` for a source that needs none.
    """
    if not isinstance(auth, ClientCredentialsAuth):
        yield None
        return
    async with Tokens(source, auth, transport, clock=clock, log=log) as tokens:
        yield tokens


def _told(failure: SourceError) -> SourceError:
    """Say of a failure that it is the token endpoint's, which knows of no users."""
    return replace(
        failure,
        detail=f"token endpoint: {failure.detail}",
        divisible=False,
        unauthorized=False,
    )


def _written(settings: ClientCredentialsAuth) -> tuple[Headers, bytes]:
    """Write the request for a token (RFC 6749, sections 2.3.1 and 4.4.2)."""
    secret = settings.client_secret.get_secret_value()
    headers = [
        ("Host", httpx.URL(settings.token_url).netloc.decode("ascii")),
        ("Accept", "application/json"),
        ("Accept-Encoding", ACCEPT_ENCODING),
        ("User-Agent", f"user-gateway/{__version__}"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ]
    form = {"grant_type": "client_credentials"}
    if settings.scope is not None:
        form["scope"] = settings.scope
    if settings.audience is not None:
        form["audience"] = settings.audience
    if settings.client_auth == "basic":
        headers.append(("Authorization", basic(quote_plus(settings.client_id), quote_plus(secret))))
    else:
        form |= {"client_id": settings.client_id, "client_secret": secret}
    return tuple(headers), urlencode(form).encode("ascii")
