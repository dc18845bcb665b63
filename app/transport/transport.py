"""What transports to services have in common: requests that are ready, and answers as they came.

What is sent goes out as it was written: to parse the ``httpx.URL`` of a hundred ids takes a quarter
of a millisecond, more than all the rest of the call.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import httpx

from app.settings.source import SourceSettings

TransportFactory = Callable[[SourceSettings], httpx.AsyncBaseTransport]
"""Makes the transport under a service's client; the seam at which tests put their fakes."""


class ReadyRequest(httpx.Request):
    """A request that is ready to be sent, and parsed only for those who look at it.

    Attributes:
        base: The address of the service.
        target: Path and query below it, percent-encoded.
        url: Where it goes, parsed.
        body: Its body; empty where it has none.
        repeatable: Whether the service may receive it twice.
    """

    def __init__(
        self,
        method: str,
        base: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes = b"",
        *,
        repeatable: bool = False,
    ) -> None:
        """Write it.

        Args:
            method: The HTTP method.
            base: The address of the service.
            target: Path and query below it, percent-encoded.
            headers: The headers, ``Host`` among them.
            body: The body, if it has one.
            repeatable: Whether the service may receive it twice; ``GET`` may always be repeated.
        """
        # All that httpx would set, and would parse before: that took longer than all the rest.
        self.method = method
        self.extensions = {}
        self.stream = httpx.ByteStream(body)
        self.base = base
        self.target = target
        self.body = body
        self.repeatable = repeatable or method in BODILESS
        sized = body or method not in BODILESS
        self._written = [*headers, ("Content-Length", str(len(body)))] if sized else headers
        self._parsed: httpx.Headers | None = None

    @property
    def address(self) -> str:
        """Where it goes, percent-encoded."""
        return self.base + self.target

    @property
    def url(self) -> httpx.URL:
        """Where it goes."""
        return httpx.URL(self.address)

    @url.setter
    def url(self, _: httpx.URL) -> None:
        """Pass over what httpx makes of the address that it is given."""

    @property
    def headers(self) -> httpx.Headers:
        """Its headers, which whoever passes it on may change."""
        if self._parsed is None:
            self._parsed = httpx.Headers(self._written)
        return self._parsed

    @headers.setter
    def headers(self, headers: httpx.Headers) -> None:
        """Take others."""
        self._parsed = headers

    @property
    def content(self) -> bytes:
        """Its body."""
        return self.body

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """Its headers as they are sent."""
        return self._written if self._parsed is None else self._parsed.multi_items()


BODILESS = frozenset({"GET", "HEAD"})
"""Methods without a body, of which nobody asks how long it is (RFC 9110, section 8.6).

Both only read, so a request with one of them may be sent twice (section 9.2.2).
"""


REPEATED = "repeated"
"""The extension of a response that says that its request was sent twice."""

STRAYS = "strays"
"""The extension of a response that says how many connections were closed lately because of
something that no request had asked for."""


class RawResponse(httpx.Response):
    """An answer as it came, whose headers are parsed only for those who look at them."""

    def __init__(
        self,
        status: int,
        pairs: Sequence[tuple[bytes, bytes]],
        stream: httpx.AsyncByteStream,
        extensions: dict[str, Any] | None = None,
    ) -> None:
        """Take it.

        Args:
            status: Its status.
            pairs: Its headers.
            stream: Its body.
            extensions: What is to be said of how it came, where there is something.
        """
        super().__init__(status, stream=stream, extensions=extensions)
        self._pairs = pairs
        self._parsed: httpx.Headers | None = None
        self._fields: Mapping[str, str] | None = None

    @property
    def headers(self) -> httpx.Headers:
        """Its headers, which whoever passes it on may change."""
        if self._parsed is None:
            self._parsed = httpx.Headers(self._pairs)
        return self._parsed

    @headers.setter
    def headers(self, headers: httpx.Headers) -> None:
        """Take others."""
        self._parsed = headers

    @property
    def fields(self) -> Mapping[str, str]:
        """Its headers by names in lower case; several of one name are one, with commas between."""
        if self._parsed is not None:
            return _fields_of(self._parsed)
        if self._fields is None:
            try:
                self._fields = {
                    name.decode("ascii").lower(): value.decode("ascii")
                    for name, value in self._pairs
                }
            except UnicodeDecodeError:
                return _fields_of(self.headers)
            if len(self._fields) < len(self._pairs):
                self._fields = _fields_of(self.headers)
        return self._fields

    async def aclose(self) -> None:
        """Have done with its body, read or not."""
        if not self.is_closed:
            self.is_closed = True
            await cast("httpx.AsyncByteStream", self.stream).aclose()  # of whoever passed it on


def fields_of(response: httpx.Response) -> Mapping[str, str]:
    """Read the headers of an answer.

    Args:
        response: The answer, of whichever transport.

    Returns:
        Its headers by names in lower case; several of one name are one value, with commas between
        (RFC 9110, section 5.3). What is there twice alike counts once: some servers, and proxies
        before them, both write a ``Content-Type`` or a ``Retry-After``.
    """
    return response.fields if isinstance(response, RawResponse) else _fields_of(response.headers)


def _fields_of(headers: httpx.Headers) -> Mapping[str, str]:
    """Join the values of one name, each once."""
    if len(headers.keys()) == len(headers):
        return headers
    values: dict[str, list[str]] = {}
    for name, value in headers.multi_items():
        found = values.setdefault(name.lower(), [])
        if value not in found:
            found.append(value)
    return {name: ", ".join(found) for name, found in values.items()}


def basic(username: str, password: str) -> str:
    """Write a user and a password for ``Authorization`` (RFC 7617), in UTF-8.

    Args:
        username: The user.
        password: The password.

    Returns:
        The header's value.
    """
    return f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"
