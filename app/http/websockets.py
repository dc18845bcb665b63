"""WebSockets are not served: there are no subscriptions, and nothing else needs them."""

from collections.abc import Iterable

from app.errors import Code, RequestError


def refuse_upgrade(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a request that asks for nothing but to become a WebSocket.

    Args:
        headers: Its headers, as ASGI has them.

    Raises:
        RequestError: It is one. Other offers, such as HTTP/2, are passed over, and so is this one
            where it comes with a query (RFC 9110, section 7.8).
    """
    for name, value in headers:
        if name == b"upgrade" and b"websocket" in _tokens(value):
            raise RequestError(
                Code.BAD_REQUEST,
                "WebSockets are not served here, and there are no subscriptions:"
                " expected POST with a JSON body",
            )


def _tokens(value: bytes) -> list[bytes]:
    """Read a list of protocols."""
    return [token.strip().lower() for token in value.split(b",")]
