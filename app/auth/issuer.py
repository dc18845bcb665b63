"""The keys of an issuer: fetched, kept and refreshed.

``Issuer`` fetches the keys: first their URL, unless that is set, then the keys. A failure is a
``SourceFailure``, as with sources; here it only goes to the log.

``Keyring`` keeps the keys. It fetches them when the gateway starts, and again after an interval, in
the background, while the old keys are still used. A token that names an unknown key causes a fetch
at once, because an issuer may sign with new keys at any time. But any client can name any key, so
there is a minimum time between two fetches. Only one fetch runs at a time, however many requests
wait. While the issuer is unreachable, the old keys are used until their maximum age.
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
"""Most bytes of a response that are read."""


class _Discovery(BaseModel):
    """The metadata of an issuer (OpenID Connect Discovery 1.0, section 3)."""

    issuer: str = Field(description="The issuer's identifier.")
    jwks_uri: Address = Field(description="The URL of its keys.")


class Issuer:
    """Fetches the keys of an issuer."""

    def __init__(
        self, settings: JwtCallers, transport: httpx.AsyncBaseTransport, clock: Clock
    ) -> None:
        """Set up the fetching; nothing is fetched yet.

        Args:
            settings: The URLs of the issuer, the time limit and the allowed algorithms.
            transport: The transport to the issuer.
            clock: The clock.
        """
        self._settings = settings
        self._transport = transport
        self._clock = clock

    async def keys(self) -> KeySet | SourceFailure:
        """Fetch the keys.

        Returns:
            The keys, or the failure of the fetch.
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
        """Fetch the URL of the keys, by OpenID Connect Discovery."""
        body = await self._get(discovery_of(self._settings.issuer))
        try:
            metadata = _Discovery.model_validate(read_document(body))
        except ValidationError as error:
            raise MalformedError(f"discovery: {what_is_wrong(error)}") from error
        except MalformedError as error:
            raise MalformedError(f"discovery: {error}") from error
        if metadata.issuer != self._settings.issuer:  # section 4.3: must be equal
            raise MalformedError("discovery: its issuer is not the one of the settings")
        if _scheme(self._settings.issuer) == "https" and _scheme(metadata.jwks_uri) != "https":
            raise MalformedError("discovery: its jwks_uri is not https")
        return metadata.jwks_uri

    async def _get(self, address: str) -> bytes:
        """Fetch a JSON document, without following redirects."""
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
    """The response has a status of failure."""

    def __init__(self, failure: SourceFailure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


def connection_of(settings: JwtCallers) -> SourceSettings:
    """Return how an issuer is reached, as the settings of a source.

    Args:
        settings: The URLs, TLS, proxy and timeout of the issuer.

    Returns:
        The settings that its transport is made from.
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
    """Return the scheme of a URL, in lower case."""
    return urlsplit(address).scheme.lower()


class Keyring:
    """The current keys of one issuer. Shared by all requests."""

    def __init__(
        self, settings: JwtCallers, issuer: Issuer, *, clock: Clock, log: FilteringBoundLogger
    ) -> None:
        """Set up the keyring. Nothing is fetched before its context is entered.

        Args:
            settings: How long keys are used, and the time between two fetches.
            issuer: Fetches the keys.
            clock: The clock.
            log: The log of key fetches.
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
        """Return whether keys can be used.

        Returns:
            Whether a fetch has ever succeeded.
        """
        return self._keys.latest is not None

    async def find(self, name: str | None, algorithm: str) -> Key | None:
        """Return the key that a token is signed with. Fetches the keys if that is necessary.

        Args:
            name: The name of the key (``kid``), if the token has one.
            algorithm: The token's algorithm.

        Returns:
            The key; ``None`` if the issuer has no such key.

        Raises:
            RequestError: There are no keys, or the keyring cannot find out if there is a new key.
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
        """Return whether there are no keys, or only keys beyond their maximum age."""
        keys = self._keys.latest
        return keys is None or self._clock.monotonic() >= keys.expires_at

    async def _renew(self) -> None:
        """Wait for the running fetch, or for a new one if the time between fetches has passed."""
        if self._keys.is_fetching or self._may_fetch():
            await asyncio.wait([self._keys.refresh()])  # never cancels it: others wait, too

    def _may_fetch(self) -> bool:
        """Return whether the minimum time since the last fetch has passed."""
        return self._clock.monotonic() >= self._tried_at + self._settings.min_interval

    @property
    def _tried_at(self) -> float:
        """When the last fetch started or ended, successful or not, by the monotonic clock."""
        return max(self._keys.started_at, self._keys.ended_at)

    async def _get_first(self) -> None:
        """Fetch the keys until a fetch succeeds: without keys no caller can be authenticated."""
        while True:
            await self._renew()
            if self._keys.latest is not None:
                return
            await self._clock.sleep(self._settings.min_interval)

    async def _get(self) -> Fetched[KeySet] | SourceFailure:
        """Fetch the keys, and log the outcome."""
        started = self._clock.monotonic()
        keys = await self._issuer.keys()
        now = self._clock.monotonic()
        duration_ms = round((now - started) * 1000, 2)
        if isinstance(keys, SourceFailure):
            self._log.warning(
                "auth.keys", duration_ms=duration_ms, outcome=keys.code.value, detail=keys.detail
            )
            return keys
        self._log.info("auth.keys", duration_ms=duration_ms, outcome="ok", keys=len(keys.by_use))
        settings = self._settings
        return Fetched(keys, started, now + settings.refresh_interval, now + settings.max_age)

    def _unavailable(self) -> RequestError:
        """Make the error that the caller cannot be authenticated now."""
        wait = self._tried_at + self._settings.min_interval - self._clock.monotonic()
        seconds = max(1, math.ceil(wait)) if math.isfinite(wait) else 1
        return RequestError(
            Code.AUTHENTICATION_UNAVAILABLE,
            "the keys of the identity provider are not available, so tokens cannot be verified:"
            f" try again in {seconds} s",
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
        settings: The URLs of the issuer, and how long its keys are used.
        transports: Makes the transport to the issuer.
        clock: The clock.
        log: The log of key fetches.

    Yields:
        The keyring. Its connections are closed at the end.
    """
    async with transports(connection_of(settings)) as transport:
        issuer = Issuer(settings, transport, clock)
        async with Keyring(settings, issuer, clock=clock, log=log) as keyring:
            yield keyring
