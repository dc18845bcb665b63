"""A request as it came in: its head, read once, and its body, read within bounds.

A request as it came in, its head read once.

Reading the body of a request: only JSON, and no further than it may be long.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from app.errors import Code, RequestError, quote
from app.readonly import readonly

When = Literal["never", "asked", "always"]
"""When something is told beside an answer."""


@readonly(frozen=True, slots=True)
class IncomingRequest:
    """A request.

    Attributes:
        scope: All of its head, as ASGI has it.
        receive: Where its body comes from, and word of its client's going away.
        method: Its method.
        headers: Its headers by their names, in lower case, as ``by_name`` has them.
    """

    scope: Scope
    receive: Receive
    method: str
    headers: Mapping[bytes, bytes]

    @classmethod
    def of(cls, scope: Scope, receive: Receive) -> "IncomingRequest":
        """Read the head of a request.

        Args:
            scope: The head.
            receive: The request's ASGI channel.

        Returns:
            The request.
        """
        return cls(scope, receive, scope["method"], by_name(scope["headers"]))

    def text(self, name: bytes) -> str | None:
        """Find a header.

        Args:
            name: Its name, in lower case.

        Returns:
            Its value, or ``None`` where there is none.
        """
        return text_of(self.headers, name)

    def wants(self, header: bytes) -> bool:
        """Tell whether it asks for something by a header.

        Args:
            header: The header's name, in lower case.
        """
        return self.headers.get(header) == b"1"

    def is_told(self, when: When, header: bytes) -> bool:
        """Tell whether its client is told something.

        Args:
            when: Always, never, or where a header asks for it.
            header: The header's name, in lower case.
        """
        return when == "always" or (when == "asked" and self.wants(header))


def by_name(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Find headers by their names.

    A header may come in several lines: they are one list (RFC 9110, section 5.3). So a header that
    is not a list, such as ``traceparent``, is invalid when it comes twice with different values;
    no line of it is preferred, since what stands in front of the gateway may prefer another.

    Args:
        headers: The headers of a request, as ASGI has them.

    Returns:
        The value of each; of several lines with one name all that differ, with commas between them.
    """
    found = dict(reversed(headers))
    if len(found) != len(headers):
        return _joined(headers)
    return found


def _joined(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Join the lines of each header."""
    lines: dict[bytes, dict[bytes, None]] = {}
    for name, value in headers:
        lines.setdefault(name, {})[value.strip()] = None
    return {name: b", ".join(values) for name, values in lines.items()}


def text_of(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    """Find the value of a header as text.

    Args:
        headers: The headers by their names.
        name: Its name.

    Returns:
        The value, or ``None`` where there is none.
    """
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


JSON_TYPE = b"application/json"
UTF_8 = frozenset({"utf-8", "utf8"})


async def read_body(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    """Read the body of a request.

    What is no JSON is refused before anything of it is read: forms, multipart and plain text are
    what a page of another site can send without asking first (CSRF).

    Args:
        scope: The request.
        receive: Where its body comes from.
        limit: The most bytes of it.

    Returns:
        The body. What comes behind the limit is left unread.

    Raises:
        RequestError: It is of another type or charset, compressed, or too long.
        ClientDisconnect: The client went away.
    """
    _check_head(scope, limit)
    message = await receive()
    parts: bytearray | None = None
    while message["type"] == "http.request":
        body: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        if parts is None and not more and len(body) <= limit:
            return body  # the everyday case: nothing is copied
        parts = bytearray() if parts is None else parts
        parts += body
        if len(parts) > limit:
            raise _too_long(limit)
        if not more:
            return bytes(parts)
        message = await receive()
    raise ClientDisconnect


def _check_head(scope: Scope, limit: int) -> None:
    """Refuse a body by what its head says of it."""
    content_type: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"content-type":
            if content_type is not None and content_type != value:
                # What stands in front may have gone by the other one (RFC 9110, section 8.3).
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
    """Let only JSON in UTF-8 through.

    Args:
        content_type: The ``Content-Type`` header, if there is one.

    Raises:
        RequestError: It says something else.
    """
    media_type, *parameters = (content_type or b"").decode("latin-1").lower().split(";")
    if media_type.strip() != JSON_TYPE.decode():
        was = quote(media_type.strip()) if media_type.strip() else "of no type"
        raise _unsupported(f"the body is {was}: expected Content-Type: application/json")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"')
        if name.strip() == "charset" and charset not in UTF_8:
            raise _unsupported(
                f"the body is in {quote(charset)}: expected UTF-8,"
                " with Content-Type: application/json; charset=utf-8"
            )


def _check_coding(content_encoding: bytes) -> None:
    """Let only plain bodies through: a small compressed one can be a huge one."""
    if content_encoding.strip().lower() not in {b"", b"identity"}:
        raise _unsupported(
            f"the body is compressed ({quote(content_encoding.decode('latin-1'))}):"
            " expected it as it is, without Content-Encoding",
            {"Accept-Encoding": "identity"},  # RFC 9110, section 15.5.16
        )


def _unsupported(message: str, headers: dict[str, str] | None = None) -> RequestError:
    return RequestError(Code.BAD_REQUEST, message, status=415, headers=headers)


def _too_long(limit: int) -> RequestError:
    return RequestError(
        Code.BAD_REQUEST,
        f"the body is longer than {limit} bytes, which is the most that is read:"
        " expected a shorter one, or several requests",
        status=413,
    )
