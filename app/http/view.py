"""The GraphQL endpoint."""

from collections.abc import Callable, Sequence
from typing import Literal, cast

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
from app.http.batching import Batch, read_batch
from app.http.body import read_body
from app.http.budget import HEADER, read_deadline
from app.http.caller import Who
from app.http.correlation import call_of
from app.http.csrf import check_get
from app.http.disconnect import while_connected
from app.http.negotiation import negotiate, prefers_html
from app.http.parameters import asks_something, from_json, from_query, parse_json
from app.http.rate import RateLimiter
from app.http.websockets import refuse_upgrade
from app.resilience.clock import Clock
from app.settings import Settings
from app.sources.base import Call

METHODS = ("GET", "POST")

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
        self._partial = PARTIAL if settings.partial_status else OK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        response = await self._respond(Request(scope, receive))
        if response is not None:
            await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response | None:
        """Find the response to a request; ``None`` when nobody is there to read it."""
        if request.method not in METHODS:
            return error_response(
                405,
                Code.BAD_REQUEST,
                f"{request.method} is not served here: expected POST with a JSON body, or GET",
                headers={"Allow": ", ".join(METHODS)},
            )
        accept = request.headers.get("accept")
        if self._wants_page(request, accept) and self._page is not None:
            return self._page(request)
        media_type = negotiate(accept)
        if media_type is None:
            return error_response(
                406,
                Code.BAD_REQUEST,
                f"no answer is {shown(accept or '')}: expected Accept: {GRAPHQL_JSON} or {JSON}",
            )
        return await self._serve(request, media_type)

    async def _serve(self, request: Request, media_type: str) -> Response | None:
        """Answer in a media type that the client wants; ``None`` when nobody is there any more."""
        try:
            caller = await self._authenticate(request.scope)
            asked = await self._asked(request)
            if isinstance(asked, Batch):
                with self._admission.admit(len(asked.items)):
                    answers = await self._answers(request, asked, caller)
                return None if answers is None else batch_response(answers, media_type)
            with self._admission.admit():
                answer = await self._answer(request, asked, caller)
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

    async def _asked(self, request: Request) -> GraphQLRequest | Batch:
        """Read what a request asks for."""
        scope = request.scope
        if request.method == "GET":
            refuse_upgrade(scope["headers"])
            if self._settings.csrf_prevention:
                check_get(scope["headers"])
            return from_query(scope["query_string"])
        limit = self._settings.max_body_bytes
        value = parse_json(await read_body(scope, request.receive, limit=limit))
        if isinstance(value, list):
            return read_batch(cast("list[object]", value), self._settings.batch)
        return from_json(value)

    async def _answer(
        self, request: Request, asked: GraphQLRequest, caller: Caller
    ) -> Answer | None:
        """Run the operation of a request, or explain it; ``None`` when its client went away."""
        if self._explainer is not None and _wants(request, "x-gateway-explain"):
            allowance = self._allowance(request, caller)
            return await self._explain(self._explainer, request, asked, caller, allowance)
        work = self._engine(caller).run(
            asked,
            self._call(request),
            caller,
            self._allowance(request, caller),
            tell_all=_tells(self._settings.trace, request, "x-gateway-trace"),
            safe=request.method == "GET",
        )
        return await while_connected(request.receive, work)

    async def _answers(
        self, request: Request, batch: Batch, caller: Caller
    ) -> Sequence[Answer] | None:
        """Run the operations of a batch, or explain them; ``None`` when the client went away."""
        if self._explainer is not None and _wants(request, "x-gateway-explain"):
            allowance = self._allowance(request, caller)
            told = [
                await self._explain(self._explainer, request, one, caller, allowance)
                for one in batch.requests
            ]
            return batch.answers(told)
        work = self._engine(caller).run_batch(
            batch.requests,
            self._call(request),
            caller,
            self._allowance(request, caller),
            tell_all=_tells(self._settings.trace, request, "x-gateway-trace"),
        )
        ran = await while_connected(request.receive, work)
        return None if ran is None else batch.answers(ran)

    async def _explain(
        self,
        explainer: Explainer,
        request: Request,
        asked: GraphQLRequest,
        caller: Caller,
        allowance: Allowance,
    ) -> Answer:
        """Explain an operation; that costs as much as its document does where it is new."""
        await allowance.spend_on_document(asked.query or "")
        request_id = call_of(request.scope).request_id
        return explainer.explain(asked, caller, request_id=request_id).answer()

    def _call(self, request: Request) -> Call:
        """Say what of a request goes on to sources, and how long it may take."""
        deadline = read_deadline(request.headers.get(HEADER), self._settings.deadline, self._clock)
        call = call_of(request.scope)
        return Call(call.request_id, call.traceparent, deadline=deadline, forwarded=call.forwarded)

    def _allowance(self, request: Request, caller: Caller) -> Allowance:
        """Say what the operations of a request may cost."""
        limits = self._settings.limits
        who = self._who(request.scope, caller)
        purse = self._rate.purse(who) if self._rate is not None else None
        tells = _tells(limits.report, request, "x-gateway-cost")
        return Allowance(limits, purse=purse, tells=tells)

    def _wants_page(self, request: Request, accept: str | None) -> bool:
        """Tell a person who opens the address from a client that sends a query."""
        return (
            request.method == "GET"
            and not asks_something(request.scope["query_string"])
            and prefers_html(accept)
        )


def _wants(request: Request, header: str) -> bool:
    """Tell whether a request asks for something by a header."""
    return request.headers.get(header) == "1"


def _tells(when: Literal["never", "asked", "always"], request: Request, header: str) -> bool:
    """Tell whether something is told: always, never, or where a header asks for it."""
    return when == "always" or (when == "asked" and _wants(request, header))
