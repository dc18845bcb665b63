"""An incoming HTTP request: its head, and its body within a limit of length."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from app.errors import Code, RequestError, quote

When = Literal["never", "asked", "always"]
"""When a report, such as the cost, is added to a response."""


class IncomingRequest(Struct, frozen=True):
    """An HTTP request whose head has been read.

    Attributes:
        scope: The ASGI scope.
        receive: The ASGI channel of its body and of the client's disconnect.
        method: The HTTP method.
        headers: The headers by lower-case name, as ``by_name`` returns them.
    """

    scope: Scope
    receive: Receive
    method: str
    headers: Mapping[bytes, bytes]

    @classmethod
    def of(cls, scope: Scope, receive: Receive) -> "IncomingRequest":
        """Read the head of a request.

        Args:
            scope: The ASGI scope.
            receive: The ASGI channel of the body.

        Returns:
            The request, with its headers by name.
        """
        return cls(scope, receive, scope["method"], by_name(scope["headers"]))

    def text(self, name: bytes) -> str | None:
        """Return the value of a header.

        Args:
            name: The header's name, in lower case.

        Returns:
            The value; ``None`` if the request does not have the header.
        """
        return text_of(self.headers, name)

    def wants(self, header: bytes) -> bool:
        """Return whether a header switches something on.

        Args:
            header: The header's name, in lower case.

        Returns:
            Whether the value of the header is ``1``.
        """
        return self.headers.get(header) == b"1"

    def gets_report(self, when: When, header: bytes) -> bool:
        """Return whether a report is added to the response.

        Args:
            when: Always, never, or if the header asks for it.
            header: The header's name, in lower case.

        Returns:
            Whether the client gets the report.
        """
        return when == "always" or (when == "asked" and self.wants(header))


def by_name(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Return headers by their names.

    Several lines of one header are one list (RFC 9110, section 5.3). So a header that is no list,
    such as ``traceparent``, becomes invalid if it comes twice with different values. No line is
    preferred, because a proxy in front of the gateway may prefer another one.

    Args:
        headers: The headers of a request, as ASGI has them.

    Returns:
        The value of each header. If a header has several lines, the different values of them,
        joined by commas.
    """
    values = dict(reversed(headers))
    if len(values) != len(headers):
        return _joined(headers)
    return values


def _joined(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Join the lines of each header, without repeated values."""
    lines: dict[bytes, dict[bytes, None]] = {}
    for name, value in headers:
        lines.setdefault(name, {})[value.strip()] = None
    return {name: b", ".join(values) for name, values in lines.items()}


def text_of(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    """Return the value of a header as text.

    Args:
        headers: The headers by their names.
        name: The header's name.

    Returns:
        The value, decoded as Latin-1; ``None`` if there is no such header.
    """
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


JSON_TYPE = b"application/json"
UTF_8 = frozenset({"utf-8", "utf8"})


async def read_body(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    """Read the body of a request.

    Other types than JSON are refused before the body is read: a page of another site can send
    forms, multipart and plain text without a preflight (CSRF).

    Args:
        scope: The ASGI scope of the request.
        receive: The ASGI channel of its body.
        limit: The most bytes of the body.

    Returns:
        The body.

    Raises:
        RequestError: The body has another type or charset, is compressed, or is too long. A body
            that is too long is not read to its end.
        ClientDisconnect: The client has disconnected.
    """
    _check_head(scope, limit)
    message = await receive()
    parts: bytearray | None = None
    while message["type"] == "http.request":
        body: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        if parts is None and not more and len(body) <= limit:
            return body  # the common case: nothing is copied
        parts = bytearray() if parts is None else parts
        parts += body
        if len(parts) > limit:
            raise _too_long(limit)
        if not more:
            return bytes(parts)
        message = await receive()
    raise ClientDisconnect


def _check_head(scope: Scope, limit: int) -> None:
    """Refuse a body by the headers that describe it."""
    content_type: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"content-type":
            if content_type is not None and content_type != value:
                # A proxy in front may have used the other one (RFC 9110, section 8.3).
                raise _unsupported(
                    "the body has several types: expected one Content-Type: application/json"
                )
            content_type = value
        elif name == b"content-encoding":
            _check_coding(value)
        elif name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
            raise _too_long(limit)
    if content_type != JSON_TYPE:
        check_type(content_type)


def check_type(content_type: bytes | None) -> None:
    """Refuse every type but JSON in UTF-8.

    Args:
        content_type: The ``Content-Type`` header, if there is one.

    Raises:
        RequestError: The type is not JSON, or the charset is not UTF-8.
    """
    media_type, *parameters = (content_type or b"").decode("latin-1").lower().split(";")
    if media_type.strip() != JSON_TYPE.decode():
        actual = quote(media_type.strip()) if media_type.strip() else "without a type"
        raise _unsupported(f"the body is {actual}: expected Content-Type: application/json")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"')
        if name.strip() == "charset" and charset not in UTF_8:
            raise _unsupported(
                f"the body is in {quote(charset)}: expected UTF-8,"
                " with Content-Type: application/json; charset=utf-8"
            )


def _check_coding(content_encoding: bytes) -> None:
    """Refuse compressed bodies: a small one can be huge after decompression."""
    if content_encoding.strip().lower() not in {b"", b"identity"}:
        raise _unsupported(
            f"the body is compressed ({quote(content_encoding.decode('latin-1'))}):"
            " expected it uncompressed, without Content-Encoding",
            {"Accept-Encoding": "identity"},  # RFC 9110, section 15.5.16
        )


def _unsupported(message: str, headers: dict[str, str] | None = None) -> RequestError:
    """Make the error with status 415."""
    return RequestError(Code.BAD_REQUEST, message, status=415, headers=headers)


def _too_long(limit: int) -> RequestError:
    """Make the error with status 413."""
    return RequestError(
        Code.BAD_REQUEST,
        f"the body is longer than the limit of {limit} bytes:"
        " expected a shorter one, or several requests",
        status=413,
        limit="max_body_bytes",
    )
