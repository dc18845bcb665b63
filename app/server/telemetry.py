"""What HTTP requests add to metrics and traces (semantic conventions of OpenTelemetry for HTTP).

Words of the client stay out: no address, no query, no path that is not one of the gateway's, no
``User-Agent``.
"""

from http import HTTPStatus

from msgspec import Struct
from starlette.types import Scope

from app.observability.telemetry import Telemetry
from app.observability.trace_context import TraceContext
from app.observability.tracing import Span, SpanKind
from app.server.responses import METHODS, Refusal

OTHER_METHOD = "_OTHER"
"""Stands for a method that is not one of HTTP's (semantic conventions)."""

DISCONNECTED = "disconnected"
"""The ``error.type`` of a request whose client has gone before its response."""

ROUTES = frozenset({"/", "/graphql", "/healthz", "/readyz"})
"""The paths that are shown as they are."""

PROBES = frozenset({"/healthz", "/readyz"})
"""The paths whose requests are no spans: they come every few seconds, and say nothing."""

ASSETS, ASSET_ROUTE = "/graphiql/assets/", "/graphiql/assets/{name}"


class ServedRequest(Struct, frozen=True):
    """An HTTP request that is over. The times are ``clock.monotonic()``.

    Attributes:
        scope: Its ASGI scope.
        status: Status of its response; ``None`` if the client has gone before.
        started: When it came.
        ended: When its response was sent.
        request_id: The request id, with which the log has its lines.
        span: Its span; without a tracer, the span of the client.
        caller: The span of the client; ``None`` if it sent none.
    """

    scope: Scope
    status: int | None
    started: float
    ended: float
    request_id: str
    span: TraceContext | None
    caller: TraceContext | None


class HttpTelemetry(Struct, frozen=True):
    """Records HTTP requests.

    Attributes:
        telemetry: Metrics and traces.
    """

    telemetry: Telemetry

    def begin(self, scope: Scope, caller: TraceContext | None) -> TraceContext | None:
        """Begin the span of a request.

        Args:
            scope: The ASGI scope of the request.
            caller: The span of the client; ``None`` if it sends none.

        Returns:
            The span of the request. Without a tracer, the span of the client.
        """
        tracer = self.telemetry.tracer
        if tracer is None or scope["path"] in PROBES:
            return caller
        method, route = _method_of(scope), route_of(scope["path"])
        # The attributes on which samplers may depend.
        attributes = {
            "http.request.method": method,
            "http.route": route,
            "url.scheme": scope.get("scheme", "http"),
        }
        return tracer.begin(caller, _name(method, route), attributes)

    def record(self, served: ServedRequest) -> None:
        """Count a request, and export its span.

        Args:
            served: The request.
        """
        scope, status, span = served.scope, served.status, served.span
        method, route = _method_of(scope), route_of(scope["path"])
        error = ""
        if status is None:
            error = DISCONNECTED
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            error = str(status)
        exported = span if span is not None and span.exported else None
        self.telemetry.metrics.http_server.record(
            served.ended - served.started,
            method,
            scope.get("scheme", "http"),
            route,
            "" if status is None else str(status),
            error,
            trace=exported,
        )
        if self.telemetry.tracer is not None and exported is not None:
            self.telemetry.tracer.export(_span(served, exported, method, route, error))

    def count_refusal(self, limit: str | None) -> None:
        """Count a request that a limit refused.

        Args:
            limit: The setting of the limit; ``None`` if no limit was the reason.
        """
        if limit is not None:
            self.telemetry.metrics.limit_refusals.add(1, limit)

    def count_connection_refusal(self, refusal: Refusal, scheme: str, *, is_seen: bool) -> None:
        """Count a refusal that the connection has written itself.

        Args:
            refusal: The refusal.
            scheme: ``http`` or ``https``.
            is_seen: Whether the application has the request, and so counts it, as one whose client
                has gone. What is not seen has no method, route and duration that are known.
        """
        self.count_refusal(refusal.limit)
        if not is_seen:
            status = str(refusal.status)
            error = status if refusal.is_severe else ""
            self.telemetry.metrics.http_server.record(0.0, OTHER_METHOD, scheme, "", status, error)


def _span(served: ServedRequest, span: TraceContext, method: str, route: str, error: str) -> Span:
    """Make the span of a request."""
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "url.scheme": str(served.scope.get("scheme", "http")),
        "network.protocol.version": str(served.scope.get("http_version", "1.1")),
        "gateway.request_id": served.request_id,
    }
    if route:
        attributes["http.route"] = attributes["url.path"] = route
    if served.status is not None:
        attributes["http.response.status_code"] = served.status
    return Span(
        _name(method, route),
        SpanKind.SERVER,
        span,
        served.caller,
        served.started,
        served.ended,
        attributes,
        error=error or None,
    )


def route_of(path: str) -> str:
    """Return the route of a path.

    Args:
        path: The path of a request.

    Returns:
        The route; an empty text if there is none, because a path may have any text.
    """
    if path in ROUTES:
        return path
    return ASSET_ROUTE if path.startswith(ASSETS) else ""


def _method_of(scope: Scope) -> str:
    """Return the method of a request, if it is one of HTTP's."""
    method: str = scope["method"]
    return method if method in METHODS else OTHER_METHOD


def _name(method: str, route: str) -> str:
    """Return the name of a span."""
    shown = "HTTP" if method == OTHER_METHOD else method
    return f"{shown} {route}" if route else shown
