"""The GraphQL endpoint."""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.errors import Code, RequestError, shown
from app.graphql.caller import Caller
from app.graphql.engine import Engine
from app.graphql.explain import Explainer
from app.graphql.limits.allowance import Allowance
from app.graphql.request import Answer, GraphQLRequest
from app.http.admission import Admission
from app.http.answers import (
    GRAPHQL_JSON,
    JSON,
    OK,
    PARTIAL,
    answer_response,
    batch_response,
    error_response,
)
from app.http.authentication import Authenticate
from app.http.batching import Batch, read_batch, refused
from app.http.body import read_body
from app.http.budget import HEADER, read_deadline
from app.http.caller import Who
from app.http.correlation import correlation_of
from app.http.csrf import check_get
from app.http.disconnect import Watch
from app.http.incoming import Incoming
from app.http.negotiation import negotiate, prefers_html
from app.http.parameters import asks_something, from_json, from_query, parse_json
from app.http.rate import RateLimiter
from app.http.websockets import refuse_upgrade
from app.resilience.clock import Clock
from app.settings import Settings
from app.sources.base import Call

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
        self._watch = Watch()
        self._partial = PARTIAL if settings.partial_status else OK

    def close(self) -> None:
        """Let go of what outlives a request, at the end of the application."""
        self._watch.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; a client that is not there any more is sent nothing."""
        request = Incoming.of(scope, receive)
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

    async def _serve(self, request: Incoming, media_type: str) -> Response | None:
        """Answer in a media type that the client wants; ``None`` when nobody is there any more."""
        try:
            caller = await self._authenticate(request.scope)
            asked: GraphQLRequest | Batch
            if request.method == "GET":
                asked = self._asked_by_url(request.scope)
            else:
                limit = self._settings.max_body_bytes
                asked = self._asked_by(await read_body(request.scope, request.receive, limit=limit))
            if isinstance(asked, Batch):
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
        self, request: Incoming, batch: Batch, caller: Caller, media_type: str
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

    def _asked_by(self, body: bytes) -> GraphQLRequest | Batch:
        """Read what a request asks for."""
        value = parse_json(body)
        if isinstance(value, list):
            return read_batch(cast("list[object]", value), self._settings.batch)
        return from_json(value)

    def _answer(
        self, request: Incoming, asked: GraphQLRequest, caller: Caller
    ) -> Coroutine[None, None, Answer]:
        """Run the operation of a request, or explain it."""
        allowance = self._allowance(request, caller)
        if self._explainer is not None and request.wants(b"x-gateway-explain"):
            return self._explain(self._explainer, request, asked, caller, allowance)
        return self._engine(caller).run(
            asked,
            self._call(request),
            caller,
            allowance,
            tell_all=request.is_told(self._settings.trace, b"x-gateway-trace"),
            safe=request.method == "GET",
        )

    async def _answers(self, request: Incoming, batch: Batch, caller: Caller) -> Sequence[Answer]:
        """Run the operations of a batch that can be, or explain them."""
        allowance = self._allowance(request, caller)
        if self._explainer is not None and request.wants(b"x-gateway-explain"):
            return await self._explain_batch(self._explainer, request, batch, caller, allowance)
        return await self._engine(caller).run_batch(
            batch.requests,
            self._call(request),
            caller,
            allowance,
            tell_all=request.is_told(self._settings.trace, b"x-gateway-trace"),
        )

    async def _explain(
        self,
        explainer: Explainer,
        request: Incoming,
        asked: GraphQLRequest,
        caller: Caller,
        allowance: Allowance,
    ) -> Answer:
        """Explain an operation; that costs as much as its document does where it is new."""
        await allowance.spend_on_document(explainer.text(asked))
        return explainer.explain(asked, caller, request_id=_request_id(request)).answer()

    async def _explain_batch(
        self,
        explainer: Explainer,
        request: Incoming,
        batch: Batch,
        caller: Caller,
        allowance: Allowance,
    ) -> Sequence[Answer]:
        """Explain several operations; what is wrong with one does not concern the others."""
        answers: list[Answer] = []
        errors: list[RequestError] = []
        for one in batch.requests:
            try:
                answer = await self._explain(explainer, request, one, caller, allowance)
            except RequestError as error:
                errors.append(error)
                answer = refused(error)
            except Exception as error:  # noqa: BLE001 # it is logged, and the answer masked
                answer = self._engine(caller).failed(error, _request_id(request))
            answers.append(answer)
        if errors and len(errors) == len(answers):
            raise errors[0]  # nothing is explained, as the status says
        return answers

    def _call(self, request: Incoming) -> Call:
        """Say what of a request goes on to sources, and how long it may take."""
        wish = request.text(_TIMEOUT)
        known = correlation_of(request.scope)
        return Call(
            known.request_id,
            known.traceparent,
            deadline=read_deadline(wish, self._settings.deadline, self._clock),
            forwarded=known.forwarded,
        )

    def _allowance(self, request: Incoming, caller: Caller) -> Allowance:
        """Say what the operations of a request may cost."""
        limits = self._settings.limits
        purse = None
        if self._rate is not None:
            purse = self._rate.purse(self._who(request.scope, caller))
        tells = request.is_told(limits.report, b"x-gateway-cost")
        return Allowance(limits, purse=purse, tells=tells)


def _request_id(request: Incoming) -> str:
    """Find the id of a request."""
    return correlation_of(request.scope).request_id


def _wants_page(request: Incoming, accept: str | None) -> bool:
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
        f"no answer is {shown(accept or '')}: expected Accept: {GRAPHQL_JSON} or {JSON}",
    )
