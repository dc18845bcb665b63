"""Asking an authorization server for a token: one exchange (RFC 6749, section 4.4).

What goes wrong is a ``SourceError`` that says where: the source itself was not asked.
"""

from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote_plus, urlencode

import httpx
from pydantic import BaseModel, Field, ValidationError

from app import __version__
from app.errors import Code, MalformedError, SourceError, what_is_wrong
from app.resilience.clock import Clock
from app.resilience.signals import read_retry_after
from app.shapes.auth import ClientCredentialsAuth
from app.shapes.credentials import is_bearer_token
from app.sources.auth import basic
from app.sources.base import Headers
from app.sources.body import ACCEPT_ENCODING, read_body
from app.sources.failures import FOREIGN, failure_of_exception, failure_of_status
from app.sources.json_document import read_document
from app.sources.transport import ReadyRequest, fields_of

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


class _Answer(BaseModel):
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

    async def ask(self) -> Grant | SourceError:
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

    def failure(self, code: Code, detail: str) -> SourceError:
        """Say that there is no token.

        Args:
            code: What the source's fields fail with.
            detail: Why there is none, for the log.

        Returns:
            The failure.
        """
        return _of_the_server(SourceError(self._source, code, detail))

    async def _read(self, response: httpx.Response) -> Grant | SourceError:
        """Make a token of an answer, or a failure."""
        if response.status_code != HTTPStatus.OK:
            retry_after = read_retry_after(fields_of(response).get("retry-after"), self._clock)
            failure = failure_of_status(self._source, response.status_code, retry_after)
            if failure is not None:
                return _of_the_server(failure)
        try:
            answer = _Answer.model_validate(read_document(await read_body(response, MAX_BYTES)))
        except MalformedError as error:
            return self.failure(Code.SOURCE_MALFORMED, str(error))
        except ValidationError as error:
            return self.failure(Code.SOURCE_MALFORMED, what_is_wrong(error))
        if answer.token_type.lower() != "bearer" or not is_bearer_token(answer.access_token):
            return self.failure(Code.SOURCE_MALFORMED, "expected a bearer token (RFC 6750)")
        return Grant(answer.access_token, answer.expires_in)


def _of_the_server(failure: SourceError) -> SourceError:
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
