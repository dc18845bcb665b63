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
from contextvars import Context, copy_context
from types import TracebackType
from typing import Self

from joserfc.jwk import Key
from structlog.typing import FilteringBoundLogger

from app.errors import Code, RequestError, SourceError
from app.http.tokens.issuer import Issuer, connection_of
from app.http.tokens.keys import KeySet
from app.resilience.clock import Clock
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
        # The one who fetches does it for all: not with the context variables of a request.
        self._nobodys = Context()
        self._keys: KeySet | None = None
        self._fetched_at = -math.inf
        self._tried_at = -math.inf
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._nobodys = copy_context()
        self._tasks.begin(self._get_first(), "first keys")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._tasks.__aexit__(kind, error, traceback)

    def ready(self) -> bool:
        """Tell whether there have been keys."""
        return self._keys is not None

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
        now = self._clock.monotonic()
        if now >= self._fetched_at + self._settings.max_age:
            await self._renew()
            if self._clock.monotonic() >= self._fetched_at + self._settings.max_age:
                raise self._unavailable()
        elif now >= self._fetched_at + self._settings.refresh_interval and self._may_fetch():
            self._fetch()
        keys = self._keys
        if keys is None:
            raise self._unavailable()
        if name is not None and keys.names and name not in keys.names:
            await self._renew()
            keys = self._keys or keys
            if self._failed and name not in keys.names:
                raise self._unavailable()
        return keys.find(name, algorithm)

    async def _renew(self) -> None:
        """Wait for the fetch that is under way, or for a new one where enough time has gone by."""
        if not self._is_fetching() and not self._may_fetch():
            return
        await asyncio.wait([self._fetch()])  # which does not cancel it: others wait for it too

    def _may_fetch(self) -> bool:
        """Tell whether enough time has gone by since the last fetch."""
        return self._clock.monotonic() >= self._tried_at + self._settings.min_interval

    def _is_fetching(self) -> bool:
        """Tell whether a fetch is under way."""
        return self._fetching is not None and not self._fetching.done()

    def _fetch(self) -> asyncio.Task[None]:
        """Fetch the keys, unless that is being done."""
        if self._fetching is None or self._fetching.done():
            self._fetching = self._tasks.begin(self._get(), "keys", self._nobodys.copy())
        return self._fetching

    async def _get_first(self) -> None:
        """Fetch the keys until there are some: without them nobody gets in."""
        while True:
            await self._renew()
            if self._keys is not None:
                return
            await self._clock.sleep(self._settings.min_interval)

    async def _get(self) -> None:
        """Fetch the keys, keep them, and report what became of it."""
        started = self._tried_at = self._clock.monotonic()
        self._failed = True  # until there is an answer: a fetch that is cancelled has none
        said = await self._issuer.keys()
        self._tried_at = now = self._clock.monotonic()
        duration_ms = round((now - started) * 1000, 2)
        self._failed = isinstance(said, SourceError)
        if isinstance(said, SourceError):
            self._log.warning(
                "auth.keys", duration_ms=duration_ms, outcome=said.code.value, detail=said.detail
            )
            return
        self._keys, self._fetched_at = said, now
        self._log.info("auth.keys", duration_ms=duration_ms, outcome="ok", keys=len(said.by_use))

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
