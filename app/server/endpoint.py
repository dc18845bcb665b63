"""The GraphQL endpoint.

WebSockets are not served: there are no subscriptions, and nothing else needs them.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from msgspec import Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from app.auth.callers import Authenticate
from app.auth.policies import Caller
from app.errors import Code, RequestError, quote
from app.execution.engine import Engine
from app.execution.limits.budget import CostBudget
from app.execution.request import Delivery, GraphQLRequest, GraphQLResponse
from app.resilience.clock import Clock
from app.server.client_caching import storable
from app.server.correlation import HEADER, correlation_of, read_deadline
from app.server.cross_site import check_get
from app.server.disconnect import DisconnectWatch
from app.server.incremental import (
    IncrementalType,
    PayloadEncoder,
    accepted_type,
    whole_response,
)
from app.server.operation_log import log_operation
from app.server.parameters import (
    RequestBatch,
    error_answer,
    from_json,
    from_query,
    names_operation,
    parse_json,
    read_batch,
)
from app.server.payload_sender import PayloadSender
from app.server.rate_limit import Admission, CallerKey, RateLimiter
from app.server.request import IncomingRequest, read_body
from app.server.responses import (
    GRAPHQL_JSON,
    JSON,
    OK,
    PARTIAL,
    answer_response,
    batch_response,
    error_response,
    negotiate,
    prefers_html,
    wrong_method,
)
from app.settings.models import Settings
from app.sources.base import RequestContext

if TYPE_CHECKING:
    from app.execution.explain import Explainer


def refuse_upgrade(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a request whose only purpose is to open a WebSocket.

    Call it for requests without a query only. Offers of other protocols, such as HTTP/2, are
    ignored (RFC 9110, section 7.8).

    Args:
        headers: The request's headers, as ASGI has them.

    Raises:
        RequestError: The request offers to become a WebSocket.
    """
    for name, value in headers:
        if name == b"upgrade" and b"websocket" in _tokens(value):
            raise RequestError(
                Code.BAD_REQUEST,
                "WebSockets are not served here, and there are no subscriptions:"
                " expected POST with a JSON body",
            )


def _tokens(value: bytes) -> list[bytes]:
    """Read a comma-separated list of protocols."""
    return [token.strip().lower() for token in value.split(b",")]


class _Accepted(Struct, frozen=True):
    """The media types in which a client accepts an answer; at least one.

    Attributes:
        media_type: The type of one whole answer; ``None`` for none.
        parts: The type of several payloads; ``None`` for none.
    """

    media_type: str | None
    parts: IncrementalType | None

    def response(self, answer: GraphQLResponse, *, partial: int) -> Response:
        """Make the response of a whole answer; ``partial`` is the status of data with errors."""
        if self.media_type is None and self.parts is not None:
            return whole_response(answer, self.parts)
        return answer_response(answer, self.media_type or JSON, partial=partial)


ALLOWED = ("GET", "POST")

_TIMEOUT = HEADER.lower().encode()

MakePage = Callable[[Request], Response]
"""Makes the HTML page for browsers."""


class GraphQLEndpoint:
    """Answers GraphQL requests, and serves a page to browsers. An ASGI application.

    Args:
        engine: Returns the engine that executes a caller's operations.
        page: Makes the page for browsers; ``None`` for no page.
        explainer: Explains operations; ``None`` if clients may not ask for that.
        authenticate: Returns the caller of a request.
        rate: Limits the cost per caller; ``None`` for no limit.
        admission: Limits the operations that run at the same time.
        caller_key: Returns the name under which the rate limiter counts a request.
        settings: All settings.
        clock: The clock.
        log: Where operations are logged.
    """

    def __init__(
        self,
        engine: Callable[[Caller], Engine],
        page: MakePage | None,
        *,
        explainer: "Explainer | None",
        authenticate: Authenticate,
        rate: RateLimiter | None,
        admission: Admission,
        caller_key: CallerKey,
        settings: Settings,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._log = log
        self._engine = engine
        self._page = page
        self._explainer = explainer
        self._authenticate = authenticate
        self._rate = rate
        self._caller_key = caller_key
        self._settings = settings
        self._clock = clock
        self._admission = admission
        self._watch = DisconnectWatch()
        self._partial = PARTIAL if settings.partial_status else OK

    def close(self) -> None:
        """Stop watching for disconnects, at the end of the application."""
        self._watch.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request. A client that has disconnected is sent nothing.

        Args:
            scope: The ASGI scope.
            receive: The ASGI channel of incoming messages.
            send: The ASGI channel of outgoing messages.
        """
        request = IncomingRequest.of(scope, receive)
        accept = request.text(b"accept")
        media_type = negotiate(accept)
        parts = accepted_type(accept)
        response: Response | None
        if request.method not in ALLOWED:
            response = wrong_method(request.method, ALLOWED, "POST with a JSON body, or GET")
        elif _wants_page(request, accept):
            response = _no_page() if self._page is None else self._page(Request(scope))
        elif media_type is None and parts is None:
            response = _not_acceptable(accept)
        else:
            response = await self._serve(request, _Accepted(media_type, parts), send)
        if response is not None:
            await response(scope, receive, send)

    async def _serve(
        self, request: IncomingRequest, accepted: _Accepted, send: Send
    ) -> Response | None:
        """Return the response; ``None`` if it is sent, or if the client has disconnected."""
        try:
            caller = await self._authenticate(request.scope)
            parsed: GraphQLRequest | RequestBatch
            if request.method == "GET":
                parsed = self._read_url(request.scope)
            else:
                limit = self._settings.max_body_bytes
                body = await read_body(request.scope, request.receive, limit=limit)
                parsed = self._read_json(body)
            if isinstance(parsed, RequestBatch):
                return await self._serve_batch(request, parsed, caller, accepted)
            if accepted.parts is not None and self._sends_parts(request, accepted.parts):
                return await self._serve_in_parts(request, parsed, caller, accepted, send)
            self._admission.begin()
            try:
                work = self._answer(request, parsed, caller)
                answer = await self._watch.while_connected(request.receive, work)
            finally:
                self._admission.end()
            if answer is not None:
                return self._whole_response(request, parsed, answer, accepted)
        except ClientDisconnect:
            pass  # it is logged below, like a client that goes during the operation
        except RequestError as error:
            return error_response(
                error.status,
                error.code,
                error.message,
                retry_after=error.retry_after,
                headers=error.headers,
                media_type=accepted.media_type or JSON,
                limit=error.limit,
                caller=error.caller,
            )
        self._log_disconnect(request)
        return None

    def _whole_response(
        self,
        request: IncomingRequest,
        parsed: GraphQLRequest,
        answer: GraphQLResponse,
        accepted: _Accepted,
    ) -> Response:
        """Make the response of a whole answer, and log the operation."""
        answer.grouped = self._groups(parsed)
        response = accepted.response(answer, partial=self._partial)
        if answer.freshness is not None and accepted.media_type is not None:
            response = storable(response, answer, request.text(b"if-none-match"))
        self._log_answers(request, [answer], response.status_code)
        return response

    def _sends_parts(self, request: IncomingRequest, parts: IncrementalType) -> bool:
        """Return whether the answer to a request may come in several payloads."""
        explains = self._explainer is not None and request.wants(b"x-gateway-explain")
        # HTTP/1.0 has no chunks, so the client could not tell the end of the response from a loss.
        return parts.preferred and request.scope["http_version"] != "1.0" and not explains

    async def _serve_in_parts(
        self,
        request: IncomingRequest,
        parsed: GraphQLRequest,
        caller: Caller,
        accepted: _Accepted,
        send: Send,
    ) -> Response | None:
        """Send payloads as they come; return the response if the answer is whole after all."""
        assert accepted.parts is not None  # noqa: S101 # for the type checkers
        async with PayloadSender(send, accepted.parts.content_type) as sender:
            self._admission.begin()
            try:
                work = self._deliver(request, parsed, caller, accepted.parts, sender)
                answer = await self._watch.while_connected(request.receive, work)
            finally:
                self._admission.end()
            if answer is None:
                sender.abandon()
                self._log_disconnect(request)
                return None
        if sender.started:
            self._log_answers(request, [answer], OK)
            return None
        return self._whole_response(request, parsed, answer, accepted)

    async def _deliver(
        self,
        request: IncomingRequest,
        parsed: GraphQLRequest,
        caller: Caller,
        parts: IncrementalType,
        sender: PayloadSender,
    ) -> GraphQLResponse:
        """Execute the operation of a request, and give all payloads to the sender."""
        running = self._engine(caller).run_in_parts(
            parsed,
            self._context(request),
            caller,
            self._budget(request, caller),
            report_sources=request.gets_report(self._settings.trace, b"x-gateway-trace"),
            safe=request.method == "GET",
        )
        async with running as answer:
            if answer.later is not None:
                encoder = PayloadEncoder(parts)
                sender.start(encoder.first(answer, answer.later.pending), answer.headers or {})
                async for payload in answer.later.payloads:
                    sender.add(encoder.later(payload))
            return answer

    def _groups(self, request: GraphQLRequest | RequestError) -> bool:
        """Return whether errors are grouped: as the client says, or else as the settings say."""
        wanted = request.errors if isinstance(request, GraphQLRequest) else None
        return (wanted or self._settings.errors) == "grouped"

    def _log_answers(
        self, request: IncomingRequest, answers: Sequence[GraphQLResponse], status: int
    ) -> None:
        """Log the operations of a request."""
        client = correlation_of(request.scope).client
        for answer in answers:
            log_operation(self._log, answer, status=status, client=client)

    def _log_disconnect(self, request: IncomingRequest) -> None:
        """Log that a client has disconnected before its response was ready."""
        client = correlation_of(request.scope).client
        self._log.info("http.disconnected", **({} if client is None else {"client": client}))

    async def _serve_batch(
        self,
        request: IncomingRequest,
        batch: RequestBatch,
        caller: Caller,
        accepted: _Accepted,
    ) -> Response | None:
        """Return the response to a batch; ``None`` if the client has disconnected."""
        count = len(batch.items)
        self._admission.begin(count)
        try:
            parts = accepted.parts
            delivery = Delivery.WHOLE
            if parts is not None and parts.preferred:
                delivery = Delivery.REFUSED
            work = self._answer_batch(request, batch, caller, delivery)
            executed = await self._watch.while_connected(request.receive, work)
        finally:
            self._admission.end(count)
        if executed is None:
            self._log_disconnect(request)
            return None
        failed = partial(self._engine(caller).failed, request_id=_request_id(request))
        answers = batch.answers(executed)
        for item, answer in zip(batch.items, answers, strict=True):
            answer.grouped = self._groups(item)
        response = batch_response(answers, accepted.media_type or JSON, failed)
        self._log_answers(request, answers, response.status_code)
        return response

    def _read_url(self, scope: Scope) -> GraphQLRequest:
        """Read the GraphQL request from the URL."""
        if not names_operation(scope["query_string"]):
            refuse_upgrade(scope["headers"])
        if self._settings.csrf_prevention:
            check_get(scope["headers"])
        return from_query(scope["query_string"])

    def _read_json(self, body: bytes) -> GraphQLRequest | RequestBatch:
        """Read the GraphQL request, or the batch of them, from a body."""
        value = parse_json(body)
        if isinstance(value, list):
            return read_batch(cast("list[object]", value), self._settings.batch)
        return from_json(value)

    def _answer(
        self, request: IncomingRequest, parsed: GraphQLRequest, caller: Caller
    ) -> Coroutine[None, None, GraphQLResponse]:
        """Execute or explain the operation of a request."""
        budget = self._budget(request, caller)
        if self._explainer is not None and request.wants(b"x-gateway-explain"):
            return self._explain(self._explainer, request, parsed, caller, budget)
        return self._engine(caller).run(
            parsed,
            self._context(request),
            caller,
            budget,
            report_sources=request.gets_report(self._settings.trace, b"x-gateway-trace"),
            safe=request.method == "GET",
        )

    async def _answer_batch(
        self, request: IncomingRequest, batch: RequestBatch, caller: Caller, delivery: Delivery
    ) -> Sequence[GraphQLResponse]:
        """Execute or explain the valid operations of a batch."""
        budget = self._budget(request, caller)
        if self._explainer is not None and request.wants(b"x-gateway-explain"):
            return await self._explain_batch(self._explainer, request, batch, caller, budget)
        return await self._engine(caller).run_batch(
            batch.requests,
            self._context(request),
            caller,
            budget,
            report_sources=request.gets_report(self._settings.trace, b"x-gateway-trace"),
            delivery=delivery,
        )

    async def _explain(
        self,
        explainer: "Explainer",
        request: IncomingRequest,
        parsed: GraphQLRequest,
        caller: Caller,
        budget: CostBudget,
    ) -> GraphQLResponse:
        """Explain an operation. It costs as much as parsing its document, if that is new."""
        await budget.charge_document(explainer.text(parsed))
        return explainer.explain(parsed, caller, request_id=_request_id(request)).answer()

    async def _explain_batch(
        self,
        explainer: "Explainer",
        request: IncomingRequest,
        batch: RequestBatch,
        caller: Caller,
        budget: CostBudget,
    ) -> Sequence[GraphQLResponse]:
        """Explain the operations of a batch. An error in one does not affect the others."""
        answers: list[GraphQLResponse] = []
        errors: list[RequestError] = []
        for parsed in batch.requests:
            try:
                answer = await self._explain(explainer, request, parsed, caller, budget)
            except RequestError as error:
                errors.append(error)
                answer = error_answer(error)
            except Exception as error:  # noqa: BLE001 # it is logged, and the answer masked
                answer = self._engine(caller).failed(error, _request_id(request))
            answers.append(answer)
        if errors and len(errors) == len(answers):
            raise errors[0]  # no operation is explained, so the status says so
        return answers

    def _context(self, request: IncomingRequest) -> RequestContext:
        """Make the request context: ids, deadline and the headers to send on."""
        timeout = request.text(_TIMEOUT)
        correlation = correlation_of(request.scope)
        return RequestContext(
            correlation.request_id,
            correlation.trace,
            deadline=read_deadline(timeout, self._settings.deadline, self._clock),
            forwarded=correlation.forwarded,
            baggage=correlation.baggage,
        )

    def _budget(self, request: IncomingRequest, caller: Caller) -> CostBudget:
        """Make the cost budget of a request."""
        limits = self._settings.limits
        bucket = None
        if self._rate is not None:
            bucket = self._rate.bucket(self._caller_key(request.scope, caller))
        reported = request.gets_report(limits.report, b"x-gateway-cost")
        return CostBudget(limits, bucket=bucket, reported=reported)


def _request_id(request: IncomingRequest) -> str:
    """Return the request id."""
    return correlation_of(request.scope).request_id


def _wants_page(request: IncomingRequest, accept: str | None) -> bool:
    """Return whether a browser opens the address, rather than a client that sends a query."""
    return (
        request.method == "GET"
        and not names_operation(request.scope["query_string"])
        and prefers_html(accept)
    )


def _no_page() -> Response:
    """Tell a browser why it sees no page."""
    return error_response(
        406,
        Code.BAD_REQUEST,
        "GraphQL is served here, and no page: GraphiQL is off. GATEWAY_GRAPHIQL=true and"
        " GATEWAY_INTROSPECTION=true turn it on",
    )


def _not_acceptable(accept: str | None) -> Response:
    """Refuse a client that accepts no media type of a GraphQL response."""
    return error_response(
        406,
        Code.BAD_REQUEST,
        f"no response has the type {quote(accept or '')}: expected Accept: {GRAPHQL_JSON} or"
        f" {JSON}",
    )
