"""Tokens that the gateway gets for itself, kept and renewed.

A token is kept until shortly before it expires. Then the next call has it renewed behind, and goes
on with the one that there is. Calls wait only where there is none that is good. However many want a
token, it is asked for once at a time. Where the service does not take it, a new one is got and the
exchange is made again, once, within the same attempt: to breaker and retries it is one.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar

import httpx
from structlog.typing import FilteringBoundLogger

from app.errors import Code, SourceError
from app.resilience.clock import Clock
from app.resilience.refreshing import Fetched, RefreshingValue
from app.shapes.auth import AuthSettings, ClientCredentialsAuth
from app.sources.auth_server import AuthorizationServer, Grant
from app.sources.base import Headers

T = TypeVar("T")

Exchange = Callable[[float, Headers], Awaitable[T | SourceError | None]]
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
        answer = await exchange(end - self._clock.monotonic(), _headers(token))
        if not isinstance(answer, SourceError) or not answer.unauthorized:
            return answer
        if self._token.latest is token:
            if self._clock.monotonic() < token.since + PAUSE:
                return answer
            self._token.drop()
        token = await self._usable(end)
        if isinstance(token, SourceError):
            return token
        return await exchange(end - self._clock.monotonic(), _headers(token))

    async def _usable(self, end: float) -> Fetched[Grant] | SourceError:
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

    async def _ask(self) -> Fetched[Grant] | SourceError:
        """Ask for a token, and report what became of it."""
        started = self._clock.monotonic()
        said = await self._server.ask()
        failed = said if isinstance(said, SourceError) else None
        (self._log.info if failed is None else self._log.warning)(
            "source.token",
            source=self._source,
            duration_ms=round((self._clock.monotonic() - started) * 1000, 2),
            outcome="ok" if failed is None else failed.code.value,
            **({} if failed is None else {"detail": failed.detail}),
        )
        return said if isinstance(said, SourceError) else _kept(said, started)


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
