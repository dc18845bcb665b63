"""The keys of an issuer: asked for, kept and renewed.

Asking an issuer for its keys: where they are, unless that is set, and what they are.

What goes wrong is a ``SourceFailure``, as with sources; here it is for the log alone.

The keys of an issuer, kept and renewed.

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
from urllib.parse import urlsplit

import httpx
from joserfc.jwk import Key
from pydantic import BaseModel, Field, ValidationError
from structlog.typing import FilteringBoundLogger

from app import __version__
from app.auth.keys import KeySet, read_keys
from app.errors import Code, MalformedError, RequestError, SourceFailure, what_is_wrong
from app.resilience.clock import Clock
from app.resilience.refreshing import Fetched, RefreshingValue
from app.resilience.tasks import Tasks
from app.settings.auth import JwtCallers, discovery_of
from app.settings.base import Address, check_address
from app.settings.source import SourceSettings
from app.sources.failures import FOREIGN, failure_of_exception, failure_of_status
from app.transport.body import ACCEPT_ENCODING, read_body, read_document
from app.transport.transport import ReadyRequest, TransportFactory

NAME = "issuer"

MAX_BYTES = 262_144
"""Longest answer that is read."""


class _Discovery(BaseModel):
    """What an issuer says of itself (OpenID Connect Discovery 1.0, section 3)."""

    issuer: str = Field(description="Who it is.")
    jwks_uri: Address = Field(description="Where its keys are.")


class Issuer:
    """Gives out the keys that tokens are signed with."""

    def __init__(
        self, settings: JwtCallers, transport: httpx.AsyncBaseTransport, clock: Clock
    ) -> None:
        """Make it.

        Args:
            settings: Where it is.
            transport: Sends requests.
            clock: Tells the time.
        """
        self._settings = settings
        self._transport = transport
        self._clock = clock

    async def keys(self) -> KeySet | SourceFailure:
        """Ask for its keys.

        Returns:
            The keys, or why there are none.
        """
        try:
            async with self._clock.timeout(self._settings.timeout):
                address = self._settings.jwks_url or await self._address()
                return read_keys(await self._get(address), self._settings.algorithms)
        except FOREIGN as error:
            return failure_of_exception(NAME, error)
        except _FailedError as error:
            return error.failure
        except MalformedError as error:
            return SourceFailure(NAME, Code.SOURCE_MALFORMED, str(error))

    async def _address(self) -> str:
        """Ask where its keys are."""
        body = await self._get(discovery_of(self._settings.issuer))
        try:
            said = _Discovery.model_validate(read_document(body))
        except ValidationError as error:
            raise MalformedError(f"discovery: {what_is_wrong(error)}") from error
        except MalformedError as error:
            raise MalformedError(f"discovery: {error}") from error
        if said.issuer != self._settings.issuer:  # section 4.3: exactly
            raise MalformedError("discovery: its issuer is not the one of the settings")
        if _scheme(self._settings.issuer) == "https" and _scheme(said.jwks_uri) != "https":
            raise MalformedError("discovery: its jwks_uri is not https")
        return said.jwks_uri

    async def _get(self, address: str) -> bytes:
        """Get a JSON document; redirects are not followed."""
        headers = (
            ("Host", httpx.URL(address).netloc.decode("ascii")),
            ("Accept", "application/json"),
            ("Accept-Encoding", ACCEPT_ENCODING),
            ("User-Agent", f"user-gateway/{__version__}"),
        )
        response = await self._transport.handle_async_request(
            ReadyRequest("GET", address, "", headers)
        )
        try:
            failure = failure_of_status(NAME, response.status_code, None)
            if failure is not None:
                raise _FailedError(failure)
            return await read_body(response, MAX_BYTES)
        finally:
            await response.aclose()


class _FailedError(Exception):
    """A status says that there is no document."""

    def __init__(self, failure: SourceFailure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


def connection_of(settings: JwtCallers) -> SourceSettings:
    """Say how an issuer is reached, in the words in which it is said of sources.

    Args:
        settings: Where it is.

    Returns:
        What its transport is made by.
    """
    parts = urlsplit(check_address(settings.keys_at or ""))
    return SourceSettings(
        base_url=f"{parts.scheme}://{parts.netloc}",
        tls=settings.tls,
        proxy=settings.proxy,
        connect_timeout=settings.timeout,
        max_connections=2,
    )


def _scheme(address: str) -> str:
    """Find the scheme of an address."""
    return urlsplit(address).scheme.lower()


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

    async def _get(self) -> Fetched[KeySet] | SourceFailure:
        """Fetch the keys, and report what became of it."""
        started = self._clock.monotonic()
        said = await self._issuer.keys()
        now = self._clock.monotonic()
        duration_ms = round((now - started) * 1000, 2)
        if isinstance(said, SourceFailure):
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
