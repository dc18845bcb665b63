"""The ids and the deadline of a request.

The request id stands in every log line and in the response, and is sent to the sources. The
deadline is the client's, within the operator's limit.

The middleware is pure ASGI and the outermost one, so every unexpected exception reaches it. It logs
the exception with its traceback, and the client gets a masked error. For the same reason it adds
the security headers to every response.
"""

import re
from collections.abc import Awaitable, Mapping, Sequence
from contextvars import ContextVar, Token, copy_context

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars
from structlog.typing import FilteringBoundLogger

from app.errors import Code, RequestError, quote, without_quotes
from app.execution.response_errors import MASKED
from app.observability.bounds import printable
from app.observability.trace_context import VALID_BAGGAGE, TraceContext, read_trace_context
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
from app.server.telemetry import HttpTelemetry, ServedRequest
from app.settings.resilience import DeadlineSettings
from app.sources.base import Headers as SourceHeaders
from app.sources.base import new_request_id
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

MAX_CLIENT = 64
"""The most characters of a client's name and version in the log."""

_STATE_KEY = "correlation"


class Correlation(Struct):
    """The ids of a request, here and at the sources.

    Attributes:
        request_id: The request id.
        trace: The span of the request; ``None`` if it belongs to no trace.
        baggage: The ``baggage`` header, if it is valid.
        forwarded: The headers of the request that are sent on to a source.
        client: Name and version of the client program, for the log; ``None`` if it sends none.
    """

    request_id: str
    trace: TraceContext | None
    baggage: str | None
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
        telemetry: Where requests are counted, and their spans go.
        clock: Measures the duration of requests.
        forwards: Names of the request headers that are sent on to a source, in lower case.
        headers: Headers that are added to every response.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        log: FilteringBoundLogger,
        telemetry: HttpTelemetry,
        clock: Clock,
        forwards: frozenset[str] = frozenset(),
        headers: tuple[Header, ...] = SECURITY_HEADERS,
    ) -> None:
        self._app = app
        self._log = log
        self._telemetry = telemetry
        self._clock = clock
        self._forwards = forwards
        self._headers = headers
        self._logged_id = _logged("request_id")
        self._logged_trace = _logged("trace_id")
        self._logged_span = _logged("span_id")

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
        await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve an HTTP request."""
        started = self._clock.monotonic()
        correlation = read_correlation(scope, self._forwards)
        caller = correlation.trace
        correlation.trace = self._telemetry.begin(scope, caller)
        if not self._telemetry.telemetry.baggage:
            correlation.baggage = None
        request_id = correlation.request_id
        scope.setdefault("state", {})[_STATE_KEY] = correlation
        status: int | None = None

        def send_with_id(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                id_header = (b"x-request-id", request_id.encode())
                message["headers"] = [*message.get("headers", ()), id_header, *self._headers]
            return send(message)

        tokens = self._log_ids(correlation, caller)
        try:
            await self._app(scope, receive, send_with_id)
            if (refusal := refusal_of(scope)) is not None:
                self._log_refusal(scope, correlation, refusal)
        except Exception as error:  # noqa: BLE001 # nothing outside catches it, and it is logged
            self._log.error("http.bug", path=scope["path"], exc_info=error)
            if status is None:
                response = error_response(
                    500, Code.INTERNAL_SERVER_ERROR, MASKED, request_id=request_id
                )
                await response(scope, receive, send_with_id)
        finally:
            for variable, token in tokens:
                variable.reset(token)
            served = ServedRequest(
                scope,
                status,
                started,
                self._clock.monotonic(),
                request_id,
                correlation.trace,
                caller,
            )
            self._telemetry.record(served)

    def _log_ids(
        self, correlation: Correlation, caller: TraceContext | None
    ) -> Sequence[tuple[ContextVar[str], Token[str]]]:
        """Add the ids of a request to all lines of the log; return what removes them again."""
        tokens = [(self._logged_id, self._logged_id.set(correlation.request_id))]
        trace = correlation.trace
        if trace is not None:
            tokens.append((self._logged_trace, self._logged_trace.set(trace.trace_id)))
            if trace is not caller:  # the span is ours
                tokens.append((self._logged_span, self._logged_span.set(trace.span_id)))
        return tokens

    def _log_refusal(self, scope: Scope, correlation: Correlation, refusal: Refusal) -> None:
        """Log and count why a request was refused, without its own words."""
        self._telemetry.count_refusal(refusal.limit)
        (self._log.warning if refusal.is_severe else self._log.info)(
            "http.refused",
            status=refusal.status,
            code=refusal.code.value,
            reason=without_quotes(refusal.message),
            method=scope["method"] if scope["method"] in METHODS else "other",
            **({} if refusal.caller is None else {"caller": refusal.caller}),
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
        The request id (a new one if the client sends none or an invalid one), the span of the
        caller, the headers to send on, and the name of the client.
    """
    headers = by_name(scope["headers"])
    sent_id = (text_of(headers, b"x-request-id") or "").strip()
    traceparent = text_of(headers, b"traceparent")
    baggage = text_of(headers, b"baggage")
    return Correlation(
        sent_id if sent_id and VALID_REQUEST_ID.fullmatch(sent_id) else new_request_id(),
        (traceparent and read_trace_context(traceparent, text_of(headers, b"tracestate"))) or None,
        baggage if baggage and VALID_BAGGAGE.fullmatch(baggage) else None,
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
