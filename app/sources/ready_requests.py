"""The requests that a service is sent: what each call adds to the headers of the service. Pure."""

from collections.abc import Sequence

import httpx

from app import __version__
from app.observability.trace_context import TraceContext
from app.resilience.clock import write_duration
from app.settings.source import SourceSettings
from app.sources.base import Headers, RequestContext
from app.sources.credentials import headers_of, query_of, sent_of, with_query
from app.sources.mapping.requests import UpstreamRequest
from app.transport.body import ACCEPT_ENCODING
from app.transport.transport import ReadyRequest


class ReadyRequests:
    """Makes the requests of one service.

    Attributes:
        forwards: Names of the headers of callers that the service gets, in lower case.
    """

    def __init__(self, settings: SourceSettings, deadline_header: str) -> None:
        """Prepare what is the same in all requests.

        Args:
            settings: Settings of the source.
            deadline_header: Name of the header with the remaining time.
        """
        url = httpx.URL(settings.base_url)
        self.forwards = settings.auth.forwards - {deadline_header.lower()}
        self._base_url = settings.base_url
        self._deadline_header = deadline_header
        self._query = query_of(settings.auth)
        self._headers: Sequence[tuple[str, str]] = [
            ("Host", url.netloc.decode("ascii")),
            ("Accept", "application/json"),
            ("Accept-Encoding", ACCEPT_ENCODING),
            ("User-Agent", f"user-gateway/{__version__}"),
            *headers_of(settings.auth),
        ]

    def probe(self) -> ReadyRequest:
        """Make a request that only shows whether the service can be reached.

        Returns:
            The request.
        """
        return ReadyRequest("GET", self._base_url, "/", self._headers, b"")

    def of_call(
        self,
        request: UpstreamRequest,
        context: RequestContext,
        seconds: float,
        token_headers: Headers,
        span: TraceContext | None,
    ) -> ReadyRequest:
        """Make the request of an exchange.

        Args:
            request: What the source is asked.
            context: The context of the incoming request.
            seconds: How long the exchange may take.
            token_headers: The headers with a token that the gateway requested for itself.
            span: The span of the exchange; ``None`` if it belongs to no trace.

        Returns:
            The request. Its own headers replace others of the same name.
        """
        headers = [*self._headers, ("X-Request-ID", context.request_id), *token_headers]
        if span is not None:
            headers.append(("traceparent", span.traceparent))
            if span.tracestate is not None:
                headers.append(("tracestate", span.tracestate))
        if context.baggage is not None:
            headers.append(("baggage", context.baggage))
        if context.deadline is not None:
            headers.append((self._deadline_header, write_duration(seconds)))
        if self.forwards:
            headers += sent_of(context, self.forwards)
        if request.headers:
            own = {name.lower() for name, _ in request.headers}
            headers = [header for header in headers if header[0].lower() not in own]
            headers += request.headers
        target = with_query(request.target, self._query) if self._query else request.target
        return ReadyRequest(
            request.method,
            self._base_url,
            target,
            headers,
            request.body,
            repeatable=True,  # also a POST: the gateway only reads
        )
