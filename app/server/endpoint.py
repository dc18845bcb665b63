"""The GraphQL endpoint.

WebSockets are not served: there are no subscriptions, and nothing else needs them.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.auth.authentication import Authenticate
from app.auth.policies import Caller
from app.errors import Code, RequestError, quote
from app.execution.engine import Engine
from app.execution.explain import Explainer
from app.execution.limits.budget import CostBudget
from app.execution.request import GraphQLRequest, GraphQLResponse
from app.resilience.clock import Clock
from app.server.correlation import HEADER, correlation_of, read_deadline
from app.server.cross_site import check_get
from app.server.disconnect import DisconnectWatch
from app.server.parameters import (
    RequestBatch,
    asks_something,
    from_json,
    from_query,
    parse_json,
    read_batch,
    refused,
)
from app.server.rate_limit import Admission, RateLimiter, Who
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
)
from app.settings.models import Settings
from app.sources.base import RequestContext


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


METHODS = ("GET", "POST")

_TIMEOUT = HEADER.lower().encode()

Page = Callable[[Request], Response]
"""Makes the page that browsers get."""


class GraphQLEndpoint:
    """Answers GraphQL requests, and shows browsers a page. An ASGI application."""

    def __init__(
        self,
        engine: Callable[[Caller], Engine],
        page: Page | None,
        *,
        explainer: Explainer | None,
        authenticate: Authenticate,
        rate: RateLimiter | None,
        who: Who,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._page = page
        self._explainer = explainer
        self._authenticate = authenticate
        self._rate = rate
        self._who = who
        self._settings = settings
        self._clock = clock
        self._admission = Admission(settings.max_operations)
        self._watch = DisconnectWatch()
        self._partial = PARTIAL if settings.partial_status else OK

    def close(self) -> None:
        """Let go of what outlives a request, at the end of the application."""
        self._watch.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; a client that is not there any more is sent nothing."""
        request = IncomingRequest.of(scope, receive)
        accept = request.text(b"accept")
        media_type = negotiate(accept)
        response: Response | None
        if request.method not in METHODS:
            response = _wrong_method(request.method)
        elif self._page is not None and _wants_page(request, accept):
            response = self._page(Request(scope))
        elif media_type is None:
            response = _not_acceptable(accept)
        else:
            response = await self._serve(request, media_type)
        if response is not None:
            await response(scope, receive, send)

    async def _serve(self, request: IncomingRequest, media_type: str) -> Response | None:
        """Answer in a media type that the client wants; ``None`` when nobody is there any more."""
        try:
            caller = await self._authenticate(request.scope)
            asked: GraphQLRequest | RequestBatch
            if request.method == "GET":
                asked = self._asked_by_url(request.scope)
            else:
                limit = self._settings.max_body_bytes
                asked = self._asked_by(await read_body(request.scope, request.receive, limit=limit))
            if isinstance(asked, RequestBatch):
                return await self._serve_batch(request, asked, caller, media_type)
            self._admission.begin()
            try:
                work = self._answer(request, asked, caller)
                answer = await self._watch.while_connected(request.receive, work)
            finally:
                self._admission.end()
        except ClientDisconnect:
            return None
        except RequestError as error:
            return error_response(
                error.status,
                error.code,
                error.message,
                retry_after=error.retry_after,
                headers=error.headers,
                media_type=media_type,
            )
        return (
            None if answer is None else answer_response(answer, media_type, partial=self._partial)
        )

    async def _serve_batch(
        self, request: IncomingRequest, batch: RequestBatch, caller: Caller, media_type: str
    ) -> Response | None:
        """Answer several operations."""
        count = len(batch.items)
        self._admission.begin(count)
        try:
            work = self._answers(request, batch, caller)
            ran = await self._watch.while_connected(request.receive, work)
        finally:
            self._admission.end(count)
        if ran is None:
            return None
        failed = partial(self._engine(caller).failed, request_id=_request_id(request))
        return batch_response(batch.answers(ran), media_type, failed)

    def _asked_by_url(self, scope: Scope) -> GraphQLRequest:
        """Read what a request asks for that has no body."""
        if not asks_something(scope["query_string"]):
            refuse_upgrade(scope["headers"])
        if self._settings.csrf_prevention:
            check_get(scope["headers"])
        return from_query(scope["query_string"])

    def _asked_by(self, body: bytes) -> GraphQLRequest | RequestBatch:
        """Read what a request asks for."""
        value = parse_json(body)
        if isinstance(value, list):
            return read_batch(cast("list[object]", value), self._settings.batch)
        return from_json(value)

    def _answer(
        self, request: IncomingRequest, asked: GraphQLRequest, caller: Caller
    ) -> Coroutine[None, None, GraphQLResponse]:
        """Run the operation of a request, or explain it."""
        budget = self._budget(request, caller)
        if self._explainer is not None and request.wants(b"x-gateway-explain"):
            return self._explain(self._explainer, request, asked, caller, budget)
        return self._engine(caller).run(
            asked,
            self._call(request),
            caller,
            budget,
            report_sources=request.is_told(self._settings.trace, b"x-gateway-trace"),
            safe=request.method == "GET",
        )

    async def _answers(
        self, request: IncomingRequest, batch: RequestBatch, caller: Caller
    ) -> Sequence[GraphQLResponse]:
        """Run the operations of a batch that can be, or explain them."""
        budget = self._budget(request, caller)
        if self._explainer is not None and request.wants(b"x-gateway-explain"):
            return await self._explain_batch(self._explainer, request, batch, caller, budget)
        return await self._engine(caller).run_batch(
            batch.requests,
            self._call(request),
            caller,
            budget,
            report_sources=request.is_told(self._settings.trace, b"x-gateway-trace"),
        )

    async def _explain(
        self,
        explainer: Explainer,
        request: IncomingRequest,
        asked: GraphQLRequest,
        caller: Caller,
        budget: CostBudget,
    ) -> GraphQLResponse:
        """Explain an operation; that costs as much as its document does where it is new."""
        await budget.charge_document(explainer.text(asked))
        return explainer.explain(asked, caller, request_id=_request_id(request)).answer()

    async def _explain_batch(
        self,
        explainer: Explainer,
        request: IncomingRequest,
        batch: RequestBatch,
        caller: Caller,
        budget: CostBudget,
    ) -> Sequence[GraphQLResponse]:
        """Explain several operations; what is wrong with one does not concern the others."""
        answers: list[GraphQLResponse] = []
        errors: list[RequestError] = []
        for one in batch.requests:
            try:
                answer = await self._explain(explainer, request, one, caller, budget)
            except RequestError as error:
                errors.append(error)
                answer = refused(error)
            except Exception as error:  # noqa: BLE001 # it is logged, and the answer masked
                answer = self._engine(caller).failed(error, _request_id(request))
            answers.append(answer)
        if errors and len(errors) == len(answers):
            raise errors[0]  # nothing is explained, as the status says
        return answers

    def _call(self, request: IncomingRequest) -> RequestContext:
        """Say what of a request goes on to sources, and how long it may take."""
        wish = request.text(_TIMEOUT)
        known = correlation_of(request.scope)
        return RequestContext(
            known.request_id,
            known.traceparent,
            deadline=read_deadline(wish, self._settings.deadline, self._clock),
            forwarded=known.forwarded,
        )

    def _budget(self, request: IncomingRequest, caller: Caller) -> CostBudget:
        """Say what the operations of a request may cost."""
        limits = self._settings.limits
        bucket = None
        if self._rate is not None:
            bucket = self._rate.bucket(self._who(request.scope, caller))
        tells = request.is_told(limits.report, b"x-gateway-cost")
        return CostBudget(limits, bucket=bucket, reported=tells)


def _request_id(request: IncomingRequest) -> str:
    """Find the id of a request."""
    return correlation_of(request.scope).request_id


def _wants_page(request: IncomingRequest, accept: str | None) -> bool:
    """Tell a person who opens the address from a client that sends a query."""
    return (
        request.method == "GET"
        and not asks_something(request.scope["query_string"])
        and prefers_html(accept)
    )


def _wrong_method(method: str) -> Response:
    """Lead whoever uses the wrong method to the right one."""
    return error_response(
        405,
        Code.BAD_REQUEST,
        f"{method} is not served here: expected POST with a JSON body, or GET",
        headers={"Allow": ", ".join(METHODS)},
    )


def _not_acceptable(accept: str | None) -> Response:
    """Refuse who wants nothing that there is."""
    return error_response(
        406,
        Code.BAD_REQUEST,
        f"no answer is {quote(accept or '')}: expected Accept: {GRAPHQL_JSON} or {JSON}",
    )
