"""The keys of an issuer, kept and renewed.

They are fetched when the gateway starts, and again when they are older than an interval: behind,
while the ones that there are go on serving. A token that names a key that is not known has them
fetched at once, since issuers sign with new keys whenever they like; but anybody can name any key,
so there is always some time between two fetches. However many wait, there is one fetch at a time.
While the issuer cannot be reached, the keys that there are serve for a day or so.
"""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from joserfc.jwk import Key
from structlog.typing import FilteringBoundLogger

from app.errors import Code, RequestError, SourceError
from app.http.tokens.issuer import Issuer, connection_of
from app.http.tokens.keys import KeySet
from app.resilience.clock import Clock
from app.resilience.refreshing import Fetched, RefreshingValue
from app.resilience.tasks import Tasks
from app.shapes.callers import JwtCallers
from app.sources.transport import TransportFactory


class Keyring:
    """The keys of one issuer. Safe to share: all requests use the same keys."""

    def __init__(
        self, settings: JwtCallers, issuer: Issuer, *, clock: Clock, log: FilteringBoundLogger
    ) -> None:
        """Make it; nothing is fetched before its context is entered.

        Args:
            settings: How long keys serve.
            issuer: Gives them out.
            clock: Tells the time.
            log: Where it is reported what became of fetching them.
        """
        self._settings = settings
        self._issuer = issuer
        self._clock = clock
        self._log = log
        self._tasks = Tasks()
        self._keys: RefreshingValue[KeySet] = RefreshingValue("keys", self._get, clock)

    async def __aenter__(self) -> Self:
        await self._keys.__aenter__()
        self._tasks.begin(self._get_first(), "first keys")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._tasks.__aexit__(kind, error, traceback)
        await self._keys.__aexit__(kind, error, traceback)

    def ready(self) -> bool:
        """Tell whether there have been keys."""
        return self._keys.latest is not None

    async def find(self, name: str | None, algorithm: str) -> Key | None:
        """Find the key that a token is signed with.

        Args:
            name: Its name, if the token has one.
            algorithm: What the token is signed with.

        Returns:
            The key; ``None`` where the issuer has none such.

        Raises:
            RequestError: There are no keys, or it cannot be found out whether there is a new one.
        """
        if self._must_wait():
            await self._renew()
            if self._must_wait():
                raise self._unavailable()
        keys = self._keys.latest
        if keys is None:
            raise self._unavailable()
        if self._clock.monotonic() >= keys.refresh_at and self._may_fetch():
            self._keys.refresh()
        if name is not None and keys.value.names and name not in keys.value.names:
            await self._renew()
            keys = self._keys.latest or keys
            if self._keys.is_uncertain and name not in keys.value.names:
                raise self._unavailable()
        return keys.value.find(name, algorithm)

    def _must_wait(self) -> bool:
        """Tell whether there are no keys that serve."""
        keys = self._keys.latest
        return keys is None or self._clock.monotonic() >= keys.expires_at

    async def _renew(self) -> None:
        """Wait for the fetch that is under way, or for a new one where enough time has gone by."""
        if self._keys.is_fetching or self._may_fetch():
            await asyncio.wait([self._keys.refresh()])  # does not cancel it: others wait, too

    def _may_fetch(self) -> bool:
        """Tell whether enough time has gone by since the last fetch."""
        return self._clock.monotonic() >= self._tried_at + self._settings.min_interval

    @property
    def _tried_at(self) -> float:
        """When keys were last fetched, or that was last tried."""
        return max(self._keys.started_at, self._keys.ended_at)

    async def _get_first(self) -> None:
        """Fetch the keys until there are some: without them nobody gets in."""
        while True:
            await self._renew()
            if self._keys.latest is not None:
                return
            await self._clock.sleep(self._settings.min_interval)

    async def _get(self) -> Fetched[KeySet] | SourceError:
        """Fetch the keys, and report what became of it."""
        started = self._clock.monotonic()
        said = await self._issuer.keys()
        now = self._clock.monotonic()
        duration_ms = round((now - started) * 1000, 2)
        if isinstance(said, SourceError):
            self._log.warning(
                "auth.keys", duration_ms=duration_ms, outcome=said.code.value, detail=said.detail
            )
            return said
        self._log.info("auth.keys", duration_ms=duration_ms, outcome="ok", keys=len(said.by_use))
        settings = self._settings
        return Fetched(said, started, now + settings.refresh_interval, now + settings.max_age)

    def _unavailable(self) -> RequestError:
        """Say that it cannot be found out who asks."""
        wait = self._tried_at + self._settings.min_interval - self._clock.monotonic()
        seconds = max(1, math.ceil(wait)) if math.isfinite(wait) else 1
        return RequestError(
            Code.AUTHENTICATION_UNAVAILABLE,
            "the keys of the identity provider cannot be had, so that nobody can be told by their"
            f" token: try again in {seconds} s",
            status=503,
            retry_after=seconds,
        )


@asynccontextmanager
async def open_keyring(
    settings: JwtCallers,
    transports: TransportFactory,
    *,
    clock: Clock,
    log: FilteringBoundLogger,
) -> AsyncGenerator[Keyring]:
    """Open the keyring of an issuer for the life of the process.

    Args:
        settings: Where the issuer is, and how long its keys serve.
        transports: Makes the transport to it.
        clock: Tells the time.
        log: Where it is reported what became of fetching them.

    Yields:
        The keyring; its connections are closed at the end.
    """
    async with transports(connection_of(settings)) as transport:
        issuer = Issuer(settings, transport, clock)
        async with Keyring(settings, issuer, clock=clock, log=log) as keyring:
            yield keyring
