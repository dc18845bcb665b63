"""Says in one event of the log why the application could not start."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from app.errors import ConfigurationError
from app.server.unusable import UNUSABLE, log_unusable


async def run_lifespan(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, log: FilteringBoundLogger
) -> None:
    """Run the lifespan of an application. A server would log a traceback if it cannot start.

    Args:
        app: The application.
        scope: The ASGI scope of the lifespan.
        receive: The ASGI channel of incoming messages.
        send: The ASGI channel of outgoing messages.
        log: The log.
    """
    has_failed = False

    def send_without_traceback(message: Message) -> Awaitable[None]:
        nonlocal has_failed
        if message["type"] == "lifespan.startup.failed":
            has_failed = True
            message = {**message, "message": ""}
        return send(message)

    try:
        await app(scope, receive, send_without_traceback)
    except ConfigurationError as error:
        log_unusable(log, UNUSABLE, error.mistakes, cause=error.__cause__)
        raise
    except Exception as error:
        if has_failed:
            reason = "An exception at the start"
            log.error("gateway.unusable", reason=reason, exc_info=error)  # noqa: TRY400 # one form for all
        raise
