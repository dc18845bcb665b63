"""WebSockets are not served: there are no subscriptions, and nothing else needs them."""

from collections.abc import Iterable

from app.errors import Code, RequestError


def refuse_upgrade(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a request that wants to become a WebSocket.

    Args:
        headers: Its headers, as ASGI has them.

    Raises:
        RequestError: It is one. What else a client would rather speak (HTTP/2) is passed over, as
            RFC 9110, section 7.8, allows.
    """
    for name, value in headers:
        if name == b"upgrade" and value.strip().lower() == b"websocket":
            raise RequestError(
                Code.BAD_REQUEST,
                "WebSockets are not served here, and there are no subscriptions:"
                " expected POST with a JSON body",
            )
