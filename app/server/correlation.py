"""The ids and the deadline of a request.

How long a request may take, by the client's wish and the operator's bound.

Knowing a request again: its id, in every log line, in the answer, and at the sources.

Pure ASGI and outermost, so that it also sees what everything else lets through: an exception that
nobody expected is logged with its traceback, and the client gets a masked answer. For the same
reason this is where every answer gets its security headers.
"""

import re
from collections.abc import Awaitable
from contextvars import ContextVar, copy_context

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars
from structlog.typing import FilteringBoundLogger

from app.errors import Code, RequestError, quote
from app.execution.response_errors import MASKED
from app.readonly import readonly
from app.resilience.clock import Clock, Deadline, read_duration
from app.server.request import by_name, text_of
from app.server.responses import SECURITY_HEADERS, Header, error_response
from app.settings.resilience import DeadlineSettings
from app.sources.base import Headers as Sent
from app.sources.base import new_request_id
from app.sources.credentials import read_forwarded

HEADER = "X-Request-Timeout"


def read_deadline(wish: str | None, settings: DeadlineSettings, clock: Clock) -> Deadline:
    """Find the deadline of a request that has just come in.

    Args:
        wish: The ``X-Request-Timeout`` header, if there is one.
        settings: The bound.
        clock: Tells the time.

    Returns:
        The deadline: as the client wishes, but never later than the bound.

    Raises:
        RequestError: The wish is no duration.
    """
    seconds = settings.budget
    if wish is not None:
        wanted = read_duration(wish)
        if wanted is None:
            raise RequestError(
                Code.BAD_REQUEST,
                f"{HEADER} is {quote(wish)}: expected a duration such as 800ms or 1.5s",
            )
        seconds = min(seconds, wanted)
    return Deadline(clock.monotonic() + seconds, clock)


SANE_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")
"""Printable ASCII: nothing that could break out of a header or a log line."""

VALID_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x20-\x7e]{0,128})?"
)
"""W3C Trace Context, section 3.2: later versions may go on after the flags."""

_PLACE = "correlation"


@readonly(frozen=True, slots=True)
class Correlation:
    """What a request is known by, here and at the sources.

    Attributes:
        request_id: Its id.
        traceparent: Its trace, where that is valid.
        forwarded: Those of its headers that one source or another is sent.
    """

    request_id: str
    traceparent: str | None
    forwarded: Sent


def correlation_of(scope: Scope) -> Correlation:
    """Find what a request is known by.

    Args:
        scope: The request's scope, below the middleware.

    Returns:
        What the middleware found.
    """
    known: Correlation = scope["state"][_PLACE]
    return known


class CorrelationMiddleware:
    """Gives every request an id, and catches what nobody else did.

    Args:
        app: What serves the requests.
        log: Where bugs are reported.
        forwards: Headers of requests that one source or another is sent, in lower case.
        headers: What every answer has beside its own.
    """

    def __init__(
        self,
        app: ASGIApp,
        log: FilteringBoundLogger,
        forwards: frozenset[str] = frozenset(),
        headers: tuple[Header, ...] = SECURITY_HEADERS,
    ) -> None:
        self._app = app
        self._log = log
        self._forwards = forwards
        self._headers = headers
        self._logged_id = _logged_id()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        known = read_correlation(scope, self._forwards)
        scope.setdefault("state", {})[_PLACE] = known
        begun = False

        def send_with_id(message: Message) -> Awaitable[None]:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                named = (b"x-request-id", known.request_id.encode())
                message["headers"] = [*message.get("headers", ()), named, *self._headers]
            return send(message)

        bound = self._logged_id.set(known.request_id)
        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:  # noqa: BLE001 # the last one to see it, and it is logged
            self._log.error("http.bug", path=scope["path"], exc_info=error)
            if not begun:
                response = error_response(
                    500, Code.INTERNAL_SERVER_ERROR, MASKED, request_id=known.request_id
                )
                await response(scope, receive, send_with_id)
        finally:
            self._logged_id.reset(bound)


def _logged_id() -> ContextVar[str]:
    """Find the variable in which structlog keeps what it adds to lines as ``request_id``.

    ``bound_contextvars`` goes through all variables of the context, twice for each request, to find
    which of them are structlog's. To set and reset the one that is ours is the same and takes a
    thirteenth.
    """
    tokens = copy_context().run(bind_contextvars, request_id="")
    return tokens["request_id"].var


def read_correlation(scope: Scope, forwards: frozenset[str]) -> Correlation:
    """Read what a request is known by.

    Args:
        scope: The request's head.
        forwards: The headers that one source or another is sent, in lower case.

    Returns:
        Its id, a new one where it has none that is sane; its trace, where that is valid; those
        headers.
    """
    headers = by_name(scope["headers"])
    wanted = (text_of(headers, b"x-request-id") or "").strip()
    traceparent = text_of(headers, b"traceparent") or ""
    return Correlation(
        wanted if wanted and SANE_REQUEST_ID.fullmatch(wanted) else new_request_id(),
        traceparent if traceparent and VALID_TRACEPARENT.fullmatch(traceparent) else None,
        read_forwarded(Headers(scope=scope).items(), forwards) if forwards else (),
    )
