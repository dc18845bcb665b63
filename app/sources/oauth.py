"""OAuth 2.0 tokens that the gateway gets for itself: how they are requested, kept and renewed.

A token is requested by one exchange with the authorization server (RFC 6749, section 4.4). If that
fails, the result is a ``SourceFailure`` whose detail names the token endpoint, because no request
reached the source.

Shortly before a token expires, the next call starts its renewal in the background and uses the old
token. Calls wait only if there is no valid token. There is at most one token request at a time. If
the service refuses a token, the gateway gets a new one and repeats the exchange once, within the
same attempt: circuit breaker and retries see one attempt.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Annotated, Self, TypeVar
from urllib.parse import quote_plus, urlencode

import httpx
from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field, ValidationError
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
"""Maximum size in bytes of a token response."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A token from the authorization server.

    Attributes:
        token: The token.
        expires_in: Seconds that it is valid; ``None`` if not known.
    """

    token: str = field(repr=False)
    expires_in: float | None


class _TokenResponse(BaseModel):
    """The response of the authorization server (RFC 6749, section 5.1)."""

    model_config = ConfigDict(defer_build=True)

    access_token: str = Field(description="The token.")
    token_type: str = Field(description="How it is used.")
    expires_in: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Seconds that it is valid; not known when absent."
    )


class AuthorizationServer:
    """Requests tokens for one source from its authorization server."""

    def __init__(
        self,
        source: str,
        settings: ClientCredentialsAuth,
        transport: httpx.AsyncBaseTransport,
        clock: Clock,
    ) -> None:
        """Create it.

        Args:
            source: Name of the source.
            settings: URL of the token endpoint, and the client's credentials.
            transport: Sends the requests.
            clock: The clock.
        """
        self._source = source
        self._settings = settings
        self._transport = transport
        self._clock = clock
        self._headers, self._body = _token_request(settings)

    async def request_token(self) -> Grant | SourceFailure:
        """Request a token, within the setting ``token_timeout``.

        Returns:
            The token, or the failure.
        """
        request = ReadyRequest(
            "POST",
            self._settings.token_url,
            "",
            self._headers,
            self._body,
            repeatable=True,  # a repeated request only yields a second token
        )
        try:
            async with self._clock.timeout(self._settings.token_timeout):
                response = await self._transport.handle_async_request(request)
                try:
                    return await self._read(response)
                finally:
                    await response.aclose()
        except FOREIGN as error:
            return _at_token_endpoint(failure_of_exception(self._source, error))

    def failure(self, code: Code, detail: str) -> SourceFailure:
        """Return the failure for a missing token.

        Args:
            code: The error code for the source's fields.
            detail: The reason, for the log.

        Returns:
            The failure.
        """
        return _at_token_endpoint(SourceFailure(self._source, code, detail))

    async def _read(self, response: httpx.Response) -> Grant | SourceFailure:
        """Read the token from a response; return a failure if there is none."""
        if response.status_code != HTTPStatus.OK:
            retry_after = read_retry_after(fields_of(response).get("retry-after"), self._clock)
            failure = failure_of_status(self._source, response.status_code, retry_after)
            if failure is not None:
                return _at_token_endpoint(failure)
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


def _at_token_endpoint(failure: SourceFailure) -> SourceFailure:
    """Mark a failure as one of the token endpoint, which no key can have caused."""
    detail = f"token endpoint: {failure.detail}"
    return replace(failure, detail=detail, divisible=False, unauthorized=False)


def _token_request(settings: ClientCredentialsAuth) -> tuple[Headers, bytes]:
    """Return headers and body of the token request (RFC 6749, sections 2.3.1 and 4.4.2)."""
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

Exchange = Callable[[float, Headers], Awaitable[T | SourceFailure]]
"""Makes one exchange with the service, within so many seconds, with additional headers."""

MARGIN = 60.0
"""A token is renewed these seconds before it expires; later if it is valid for less than ten
minutes."""

MARGIN_SHARE = 0.1
"""The margin is at most this share of the time that a token is valid."""

PAUSE = 1.0
"""Seconds without a new token request after a permanent failure, or after a token that the service
refused."""


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
        """Create it. The first call requests the first token.

        Args:
            source: Name of the source.
            server: The authorization server.
            clock: The clock.
            log: Where token requests are logged.
        """
        self._source = source
        self._server = server
        self._clock = clock
        self._log = log
        self._token: RefreshingValue[Grant] = RefreshingValue(f"token {source}", self._fetch, clock)

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

    async def attempt(self, exchange: Exchange[T], seconds: float) -> T | SourceFailure:
        """Make an exchange with a token; repeat it once with a new token if that is refused.

        Args:
            exchange: Makes the exchange.
            seconds: Time for everything, including the token requests.

        Returns:
            The result of the last exchange, or the failure to get a token.
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
        """Return a valid token; if there is none, wait for a new one until ``end``."""
        now = self._clock.monotonic()
        token, failure = self._token.latest, self._token.failure
        paused = failure is not None and now < self._token.ended_at + PAUSE
        if token is not None and now < token.expires_at:
            if now >= token.refresh_at and not paused:
                self._token.refresh()
            return token
        if paused and failure is not None and not failure.retryable:
            return failure
        task = self._token.refresh()
        try:
            async with self._clock.timeout(end - now):
                await asyncio.wait([task])  # does not cancel the task: other calls wait for it, too
        except TimeoutError:
            detail = "no time was left to wait for a token"
            return self._server.failure(Code.SOURCE_TIMEOUT, detail)
        if task.cancelled():
            return self._server.failure(Code.SOURCE_UNAVAILABLE, "the gateway stops")
        task.result()  # raises a bug of ours
        # A token that has expired meanwhile is used, too, by the calls that waited for it.
        return self._token.failure or self._token.latest or await self._usable(end)

    async def _fetch(self) -> Fetched[Grant] | SourceFailure:
        """Request a token, and log the result."""
        started = self._clock.monotonic()
        result = await self._server.request_token()
        failed = result if isinstance(result, SourceFailure) else None
        (self._log.info if failed is None else self._log.warning)(
            "source.token",
            source=self._source,
            duration_ms=round((self._clock.monotonic() - started) * 1000, 2),
            outcome="ok" if failed is None else failed.code.value,
            **({} if failed is None else {"detail": failed.detail}),
        )
        return result if isinstance(result, SourceFailure) else _fetched(result, started)


def _fetched(grant: Grant, since: float) -> Fetched[Grant]:
    """Return a token with the times at which it is renewed and expires."""
    expires_in = math.inf if grant.expires_in is None else grant.expires_in
    end = since + expires_in
    return Fetched(grant, since, end - min(MARGIN, MARGIN_SHARE * expires_in), end)


def _headers(token: Fetched[Grant]) -> Headers:
    """Return the header with the token (RFC 6750, section 2.1)."""
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
        auth: The credentials for the service.
        transport: Sends the token requests.
        clock: The clock.
        log: Where token requests are logged.

    Yields:
        The tokens; ``None`` for a source that needs none.
    """
    if not isinstance(auth, ClientCredentialsAuth):
        yield None
        return
    server = AuthorizationServer(source, auth, transport, clock)
    async with Tokens(source, server, clock=clock, log=log) as tokens:
        yield tokens
