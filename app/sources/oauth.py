"""Tokens that the gateway gets for itself (OAuth 2.0): asked for, kept and renewed.

Asking an authorization server for a token: one exchange (RFC 6749, section 4.4).

What goes wrong is a ``SourceFailure`` that says where: the source itself was not asked.

Tokens that the gateway gets for itself, kept and renewed.

A token is kept until shortly before it expires. Then the next call has it renewed behind, and goes
on with the one that there is. Calls wait only where there is none that is good. However many want a
token, it is asked for once at a time. Where the service does not take it, a new one is got and the
exchange is made again, once, within the same attempt: to breaker and retries it is one.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from types import TracebackType
from typing import Annotated, Self, TypeVar
from urllib.parse import quote_plus, urlencode

import httpx
from pydantic import BaseModel, Field, ValidationError
from structlog.typing import FilteringBoundLogger

from app import __version__
from app.errors import Code, MalformedError, SourceFailure, what_is_wrong
from app.resilience.clock import Clock
from app.resilience.pace import read_retry_after
from app.resilience.refreshing import Fetched, RefreshingValue
from app.settings.credentials import AuthSettings, ClientCredentialsAuth, is_bearer_token
from app.sources.base import Headers
from app.sources.failures import FOREIGN, failure_of_exception, failure_of_status
from app.transport.body import ACCEPT_ENCODING, read_body, read_document
from app.transport.transport import ReadyRequest, basic, fields_of

MAX_BYTES = 65_536
"""Longest answer that is read."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A token that was given out.

    Attributes:
        token: The token.
        good_for: Seconds that it is good for; ``None`` where that is not said.
    """

    token: str = field(repr=False)
    good_for: float | None


class _TokenResponse(BaseModel):
    """What the server answers (RFC 6749, section 5.1)."""

    access_token: str = Field(description="The token.")
    token_type: str = Field(description="How it is used.")
    expires_in: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Seconds that it is good for; not known when absent."
    )


class AuthorizationServer:
    """Gives out tokens for one source."""

    def __init__(
        self,
        source: str,
        settings: ClientCredentialsAuth,
        transport: httpx.AsyncBaseTransport,
        clock: Clock,
    ) -> None:
        """Make it.

        Args:
            source: Name of the source.
            settings: Where the server is, and what it wants to know.
            transport: Sends requests.
            clock: Tells the time.
        """
        self._source = source
        self._settings = settings
        self._transport = transport
        self._clock = clock
        self._headers, self._body = _written(settings)

    async def ask(self) -> Grant | SourceFailure:
        """Ask for a token.

        Returns:
            The token, or why there is none.
        """
        request = ReadyRequest(
            "POST",
            self._settings.token_url,
            "",
            self._headers,
            self._body,
            repeatable=True,  # it would give out two tokens, of which one is never used
        )
        try:
            async with self._clock.timeout(self._settings.token_timeout):
                response = await self._transport.handle_async_request(request)
                try:
                    return await self._read(response)
                finally:
                    await response.aclose()
        except FOREIGN as error:
            return _of_the_server(failure_of_exception(self._source, error))

    def failure(self, code: Code, detail: str) -> SourceFailure:
        """Say that there is no token.

        Args:
            code: What the source's fields fail with.
            detail: Why there is none, for the log.

        Returns:
            The failure.
        """
        return _of_the_server(SourceFailure(self._source, code, detail))

    async def _read(self, response: httpx.Response) -> Grant | SourceFailure:
        """Make a token of an answer, or a failure."""
        if response.status_code != HTTPStatus.OK:
            retry_after = read_retry_after(fields_of(response).get("retry-after"), self._clock)
            failure = failure_of_status(self._source, response.status_code, retry_after)
            if failure is not None:
                return _of_the_server(failure)
        try:
            answer = _TokenResponse.model_validate(
                read_document(await read_body(response, MAX_BYTES))
            )
        except MalformedError as error:
            return self.failure(Code.SOURCE_MALFORMED, str(error))
        except ValidationError as error:
            return self.failure(Code.SOURCE_MALFORMED, what_is_wrong(error))
        if answer.token_type.lower() != "bearer" or not is_bearer_token(answer.access_token):
            return self.failure(Code.SOURCE_MALFORMED, "expected a bearer token (RFC 6750)")
        return Grant(answer.access_token, answer.expires_in)


def _of_the_server(failure: SourceFailure) -> SourceFailure:
    """Say of a failure that it is the server's, which knows of no users."""
    detail = f"token endpoint: {failure.detail}"
    return replace(failure, detail=detail, divisible=False, unauthorized=False)


def _written(settings: ClientCredentialsAuth) -> tuple[Headers, bytes]:
    """Write the request (RFC 6749, sections 2.3.1 and 4.4.2)."""
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


T = TypeVar("T")

Exchange = Callable[[float, Headers], Awaitable[T | SourceFailure | None]]
"""Makes one exchange with the service, within so many seconds, with further headers."""

MARGIN = 60.0
"""Seconds before its end from which on a token is renewed; less for one that is good for less than
ten minutes."""

MARGIN_SHARE = 0.1
"""The share of its time that this is at most."""

PAUSE = 1.0
"""Seconds for which nothing is asked that was just answered: after a failure that will not pass by
itself, and where a service does not take a token that is new."""


class Tokens:
    """The tokens of one source. Safe to share: all calls to the source use the same token."""

    def __init__(
        self,
        source: str,
        server: AuthorizationServer,
        *,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        """Make it; nothing is asked for before a call needs a token.

        Args:
            source: Name of the source.
            server: Gives tokens out.
            clock: Tells the time.
            log: Where it is reported what became of asking.
        """
        self._source = source
        self._server = server
        self._clock = clock
        self._log = log
        self._token: RefreshingValue[Grant] = RefreshingValue(f"token {source}", self._ask, clock)

    async def __aenter__(self) -> Self:
        await self._token.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._token.__aexit__(kind, error, traceback)

    async def attempt(self, exchange: Exchange[T], seconds: float) -> T | SourceFailure | None:
        """Make an exchange with a token; once more with a new one where it is not taken.

        Args:
            exchange: Makes it.
            seconds: How long all of this may take.

        Returns:
            What came of the last exchange, or why there is no token.
        """
        end = self._clock.monotonic() + seconds
        token = await self._usable(end)
        if isinstance(token, SourceFailure):
            return token
        answer = await exchange(end - self._clock.monotonic(), _headers(token))
        if not isinstance(answer, SourceFailure) or not answer.unauthorized:
            return answer
        if self._token.latest is token:
            if self._clock.monotonic() < token.since + PAUSE:
                return answer
            self._token.drop()
        token = await self._usable(end)
        if isinstance(token, SourceFailure):
            return token
        return await exchange(end - self._clock.monotonic(), _headers(token))

    async def _usable(self, end: float) -> Fetched[Grant] | SourceFailure:
        """Find the token, or wait for one until some moment."""
        now = self._clock.monotonic()
        token, failure = self._token.latest, self._token.failure
        paused = failure is not None and now < self._token.ended_at + PAUSE
        if token is not None and now < token.expires_at:
            if now >= token.refresh_at and not paused:
                self._token.refresh()
            return token
        if paused and failure is not None and not failure.retryable:
            return failure
        asking = self._token.refresh()
        try:
            async with self._clock.timeout(end - now):
                await asyncio.wait([asking])  # which does not cancel it: others wait for it too
        except TimeoutError:
            detail = "no time was left to wait for a token"
            return self._server.failure(Code.SOURCE_TIMEOUT, detail)
        if asking.cancelled():
            return self._server.failure(Code.SOURCE_UNAVAILABLE, "the gateway stops")
        asking.result()  # raises a bug of ours
        # Also one that has ended meanwhile: whoever waited for it may use it.
        return self._token.failure or self._token.latest or await self._usable(end)

    async def _ask(self) -> Fetched[Grant] | SourceFailure:
        """Ask for a token, and report what became of it."""
        started = self._clock.monotonic()
        said = await self._server.ask()
        failed = said if isinstance(said, SourceFailure) else None
        (self._log.info if failed is None else self._log.warning)(
            "source.token",
            source=self._source,
            duration_ms=round((self._clock.monotonic() - started) * 1000, 2),
            outcome="ok" if failed is None else failed.code.value,
            **({} if failed is None else {"detail": failed.detail}),
        )
        return said if isinstance(said, SourceFailure) else _kept(said, started)


def _kept(grant: Grant, since: float) -> Fetched[Grant]:
    """Find out how long a token serves that was asked for at a moment."""
    good_for = math.inf if grant.good_for is None else grant.good_for
    end = since + good_for
    return Fetched(grant, since, end - min(MARGIN, MARGIN_SHARE * good_for), end)


def _headers(token: Fetched[Grant]) -> Headers:
    """Write what a service is sent (RFC 6750, section 2.1)."""
    return (("Authorization", f"Bearer {token.value.token}"),)


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
    server = AuthorizationServer(source, auth, transport, clock)
    async with Tokens(source, server, clock=clock, log=log) as tokens:
        yield tokens
