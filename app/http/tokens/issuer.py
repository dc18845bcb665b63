"""Asking an issuer for its keys: where they are, unless that is set, and what they are.

What goes wrong is a ``SourceError``, as with sources; here it is for the log alone.
"""

from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, Field, ValidationError

from app import __version__
from app.errors import Code, MalformedError, SourceError, what_is_wrong
from app.http.tokens.keys import KeySet, read_keys
from app.resilience.clock import Clock
from app.shapes.address import Address, check_address
from app.shapes.callers import JwtCallers, discovery_of
from app.shapes.source import SourceSettings
from app.sources.body import ACCEPT_ENCODING, read_body
from app.sources.failures import FOREIGN, failure_of_exception, failure_of_status
from app.sources.json_document import read_document
from app.sources.transport import ReadyRequest

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

    async def keys(self) -> KeySet | SourceError:
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
            return SourceError(NAME, Code.SOURCE_MALFORMED, str(error))

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

    def __init__(self, failure: SourceError) -> None:
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
