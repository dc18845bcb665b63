"""The caller's request id, given back."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADER = b"x-request-id"


class EchoRequestId:
    """Gives a request's `X-Request-ID` back in its response, so that both logs can be joined.

    Args:
        app: The application to wrap.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan, which has no headers."""
        found = [value for name, value in scope.get("headers", ()) if name == _HEADER]
        if not found:
            await self._app(scope, receive, send)
            return

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (_HEADER, found[0])]
            await send(message)

        await self._app(scope, receive, send_with_id)
