"""What transports have in common: requests ready to be sent, and answers as they arrived.

Requests go out as they were written. Parsing the ``httpx.URL`` of a hundred ids takes a quarter of
a millisecond, more than the rest of the call.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import httpx

from app.settings.source import SourceSettings

TransportFactory = Callable[[SourceSettings], httpx.AsyncBaseTransport]
"""Creates the transport of a service. Tests replace it by their fakes."""


class ReadyRequest(httpx.Request):
    """A request that is ready to be sent; its parts are parsed only when somebody reads them.

    Attributes:
        base: The address of the service.
        target: Path and query below it, percent-encoded.
        body: The body; empty when there is none.
        repeatable: Whether the request may be sent twice.
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
        """Create it.

        Args:
            method: The HTTP method.
            base: The address of the service.
            target: Path and query below it, percent-encoded.
            headers: The headers, ``Host`` among them.
            body: The body; empty for none.
            repeatable: Whether the request may be sent twice; ``GET`` and ``HEAD`` always may.
        """
        # Sets what httpx's constructor would set. That one parses it all, which takes longer than
        # the rest of the call.
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
        """The whole address, percent-encoded."""
        return self.base + self.target

    @property
    def url(self) -> httpx.URL:
        """The whole address, parsed at each call."""
        return httpx.URL(self.address)

    @url.setter
    def url(self, _: httpx.URL) -> None:
        """Ignore the address that httpx sets: it stays as it was written."""

    @property
    def headers(self) -> httpx.Headers:
        """The headers, parsed; changes to them are sent."""
        if self._parsed is None:
            self._parsed = httpx.Headers(self._written)
        return self._parsed

    @headers.setter
    def headers(self, headers: httpx.Headers) -> None:
        """Replace the headers."""
        self._parsed = headers

    @property
    def content(self) -> bytes:
        """The body."""
        return self.body

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """The headers as they are sent."""
        return self._written if self._parsed is None else self._parsed.multi_items()


BODILESS = frozenset({"GET", "HEAD"})
"""Methods without a body, which need no ``Content-Length`` (RFC 9110, section 8.6).

Both are idempotent, so a request with one of them may be sent twice (section 9.2.2).
"""


REPEATED = "repeated"
"""The extension of a response whose request was sent twice: ``True``."""

UNSOLICITED = "unsolicited"
"""The extension of a response with the number of connections that were closed since the last one
because of bytes that answered no request."""


class UpstreamBody(httpx.AsyncByteStream):
    """The body of an answer, in pieces."""

    def arrived(self) -> bytes | None:
        """Take the whole body, if all of it has arrived before anybody has read of it.

        Most answers are so short that they arrive in one piece with their headers.

        Returns:
            The body; ``None`` if it has to be read in pieces.
        """
        return None


class RawResponse(httpx.Response):
    """An answer as it arrived; its headers are parsed only when somebody reads them."""

    def __init__(
        self,
        status: int,
        pairs: Sequence[tuple[bytes, bytes]],
        stream: httpx.AsyncByteStream,
        extensions: dict[str, Any] | None = None,
    ) -> None:
        """Create it.

        Args:
            status: The HTTP status.
            pairs: The headers.
            stream: The body.
            extensions: Notes on how the answer arrived, such as ``REPEATED`` and ``UNSOLICITED``.
        """
        super().__init__(status, stream=stream, extensions=extensions)
        self._pairs = pairs
        self._parsed: httpx.Headers | None = None
        self._fields: Mapping[str, str] | None = None

    @property
    def headers(self) -> httpx.Headers:
        """The headers, parsed; they may be changed."""
        if self._parsed is None:
            self._parsed = httpx.Headers(self._pairs)
        return self._parsed

    @headers.setter
    def headers(self, headers: httpx.Headers) -> None:
        """Replace the headers."""
        self._parsed = headers

    @property
    def fields(self) -> Mapping[str, str]:
        """The headers by lower-case names; values of one name are joined, with commas between."""
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
        """Close the body, whether it was read or not."""
        if not self.is_closed:
            self.is_closed = True
            await cast("httpx.AsyncByteStream", self.stream).aclose()  # httpx may have wrapped it


def fields_of(response: httpx.Response) -> Mapping[str, str]:
    """Return the headers of an answer.

    Args:
        response: The answer, of any transport.

    Returns:
        The headers by lower-case names. Several values of one name are joined, with commas between
        (RFC 9110, section 5.3). Equal values count once: some servers, and proxies before them,
        both write a ``Content-Type`` or a ``Retry-After``.
    """
    return response.fields if isinstance(response, RawResponse) else _fields_of(response.headers)


def _fields_of(headers: httpx.Headers) -> Mapping[str, str]:
    """Join the values of each name, equal values once."""
    if len(headers.keys()) == len(headers):
        return headers
    values: dict[str, list[str]] = {}
    for name, value in headers.multi_items():
        values_of_name = values.setdefault(name.lower(), [])
        if value not in values_of_name:
            values_of_name.append(value)
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
