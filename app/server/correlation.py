"""The ids and the deadline of a request.

The request id stands in every log line and in the response, and is sent to the sources. The
deadline is the client's, within the operator's limit.

The middleware is pure ASGI and the outermost one, so every unexpected exception reaches it. It logs
the exception with its traceback, and the client gets a masked error. For the same reason it adds
the security headers to every response.
"""

import re
from collections.abc import Awaitable, Mapping
from contextvars import ContextVar, copy_context
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars
from structlog.typing import FilteringBoundLogger

from app.errors import Code, RequestError, quote, without_quotes
from app.execution.response_errors import MASKED
from app.observability.bounds import printable
from app.resilience.clock import Clock, Deadline, read_duration
from app.server.lifespan import run_lifespan
from app.server.request import by_name, text_of
from app.server.responses import (
    METHODS,
    SECURITY_HEADERS,
    Header,
    Refusal,
    error_response,
    refusal_of,
)
from app.settings.resilience import DeadlineSettings
from app.sources.base import Headers as SourceHeaders
from app.sources.base import new_request_id, trace_id_of
from app.sources.credentials import read_forwarded

HEADER = "X-Request-Timeout"


def read_deadline(timeout: str | None, settings: DeadlineSettings, clock: Clock) -> Deadline:
    """Return the deadline of a request that has just arrived.

    Args:
        timeout: The ``X-Request-Timeout`` header, if the request has one.
        settings: The longest time that a request may take.
        clock: The clock.

    Returns:
        The deadline that the client asks for, but never later than the operator's limit.

    Raises:
        RequestError: The header is not a duration.
    """
    seconds = settings.budget
    if timeout is not None:
        requested = read_duration(timeout)
        if requested is None:
            raise RequestError(
                Code.BAD_REQUEST,
                f"{HEADER} is {quote(timeout)}: expected a duration such as 800ms or 1.5s",
            )
        seconds = min(seconds, requested)
    return Deadline(clock.monotonic() + seconds, clock)


VALID_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")
"""1 to 128 characters of printable ASCII, which cannot end a header or a log line."""

VALID_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x20-\x7e]{0,128})?"
)
"""W3C Trace Context, section 3.2: later versions may have more after the flags."""

MAX_CLIENT = 64
"""The most characters of a client's name and version in the log."""

_STATE_KEY = "correlation"


@dataclass(slots=True)
class Correlation:
    """The ids of a request, here and at the sources.

    Attributes:
        request_id: The request id.
        traceparent: The ``traceparent`` header, if it is valid.
        forwarded: The headers of the request that are sent on to a source.
        client: Name and version of the client program, for the log; ``None`` if it sends none.
    """

    request_id: str
    traceparent: str | None
    forwarded: SourceHeaders
    client: str | None


def correlation_of(scope: Scope) -> Correlation:
    """Return the ids of a request.

    Args:
        scope: The request's scope, after it has passed the middleware.

    Returns:
        The ids that the middleware has read.
    """
    correlation: Correlation = scope["state"][_STATE_KEY]
    return correlation


class CorrelationMiddleware:
    """Gives every request an id, and catches unexpected exceptions.

    Args:
        app: The application.
        log: The log for bugs.
        forwards: Names of the request headers that are sent on to a source, in lower case.
        headers: Headers that are added to every response.
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
        self._logged_id = _logged("request_id")
        self._logged_trace = _logged("trace_id")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Args:
            scope: The ASGI scope.
            receive: The ASGI channel of incoming messages.
            send: The ASGI channel of outgoing messages.
        """
        if scope["type"] == "lifespan":
            await run_lifespan(self._app, scope, receive, send, self._log)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        correlation = read_correlation(scope, self._forwards)
        request_id = correlation.request_id
        scope.setdefault("state", {})[_STATE_KEY] = correlation
        started = False

        def send_with_id(message: Message) -> Awaitable[None]:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                id_header = (b"x-request-id", request_id.encode())
                message["headers"] = [*message.get("headers", ()), id_header, *self._headers]
            return send(message)

        token = self._logged_id.set(request_id)
        traceparent = correlation.traceparent
        trace_token = None
        if traceparent is not None:
            trace_token = self._logged_trace.set(trace_id_of(traceparent))
        try:
            await self._app(scope, receive, send_with_id)
            if (refusal := refusal_of(scope)) is not None:
                self._log_refusal(scope, correlation, refusal)
        except Exception as error:  # noqa: BLE001 # nothing outside catches it, and it is logged
            self._log.error("http.bug", path=scope["path"], exc_info=error)
            if not started:
                response = error_response(
                    500, Code.INTERNAL_SERVER_ERROR, MASKED, request_id=request_id
                )
                await response(scope, receive, send_with_id)
        finally:
            self._logged_id.reset(token)
            if trace_token is not None:
                self._logged_trace.reset(trace_token)

    def _log_refusal(self, scope: Scope, correlation: Correlation, refusal: Refusal) -> None:
        """Log why a request was refused, without its own words."""
        (self._log.warning if refusal.is_severe else self._log.info)(
            "http.refused",
            status=refusal.status,
            code=refusal.code.value,
            reason=without_quotes(refusal.message),
            method=scope["method"] if scope["method"] in METHODS else "other",
            **({} if correlation.client is None else {"client": correlation.client}),
        )


def _logged(name: str) -> ContextVar[str]:
    """Return the context variable of structlog that holds a value for the log lines.

    ``bound_contextvars`` searches all variables of the context twice for each request. Setting and
    resetting only this variable does the same in a thirteenth of the time.
    """
    tokens = copy_context().run(bind_contextvars, **{name: ""})
    return tokens[name].var


def read_correlation(scope: Scope, forwards: frozenset[str]) -> Correlation:
    """Read the ids of a request from its headers.

    Args:
        scope: The request's ASGI scope.
        forwards: Names of the request headers that are sent on to a source, in lower case.

    Returns:
        The request id (a new one if the client sends none or an invalid one), the ``traceparent``
        if it is valid, the headers to send on, and the name of the client.
    """
    headers = by_name(scope["headers"])
    sent_id = (text_of(headers, b"x-request-id") or "").strip()
    traceparent = text_of(headers, b"traceparent") or ""
    return Correlation(
        sent_id if sent_id and VALID_REQUEST_ID.fullmatch(sent_id) else new_request_id(),
        traceparent if traceparent and VALID_TRACEPARENT.fullmatch(traceparent) else None,
        read_forwarded(Headers(scope=scope).items(), forwards) if forwards else (),
        _client_of(headers),
    )


def _client_of(headers: Mapping[bytes, bytes]) -> str | None:
    """Return name and version of the client, as Apollo's clients send them, at most 64 characters.

    Apollo's other tools read the same headers ("Client awareness").
    """
    name = headers.get(b"apollographql-client-name")
    if name is None:
        return None
    version = headers.get(b"apollographql-client-version", b"")
    text = b" ".join((name, version)).decode("ascii", "replace").strip()[:MAX_CLIENT]
    return printable(text) or None
