"""The GraphQL endpoint."""

from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.errors import Code, RequestError, shown
from app.graphql.engine import Engine
from app.graphql.explain import Explainer
from app.graphql.request import Answer, GraphQLRequest
from app.http.admission import Admission
from app.http.answers import GRAPHQL_JSON, JSON, answer_response, error_response
from app.http.budget import HEADER, read_deadline
from app.http.correlation import call_of
from app.http.disconnect import while_connected
from app.http.negotiation import negotiate, prefers_html
from app.http.parameters import from_body, from_query
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
        engine: Callable[[], Engine],
        page: Page | None,
        *,
        explainer: Explainer | None,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._page = page
        self._explainer = explainer
        self._settings = settings
        self._clock = clock
        self._admission = Admission(settings.max_operations)

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
        try:
            parameters = await self._parameters(request)
            with self._admission.admit():
                answer = await self._answer(request, parameters)
        except ClientDisconnect:
            return None
        except RequestError as error:
            return error_response(
                error.status, error.code, error.message, retry_after=error.retry_after
            )
        return None if answer is None else answer_response(answer, media_type)

    async def _answer(self, request: Request, parameters: GraphQLRequest) -> Answer | None:
        """Run the operation of a request, or explain it; ``None`` when its client went away."""
        if self._explainer is not None and request.headers.get("x-gateway-explain") == "1":
            request_id = call_of(request.scope).request_id
            return self._explainer.explain(parameters, request_id=request_id).answer()
        wish = request.headers.get(HEADER)
        deadline = read_deadline(wish, self._settings.deadline, self._clock)
        tell_all = self._settings.trace == "always" or (
            self._settings.trace == "asked" and request.headers.get("x-gateway-trace") == "1"
        )
        call = call_of(request.scope)
        call = Call(call.request_id, call.traceparent, deadline=deadline, forwarded=call.forwarded)
        work = self._engine().run(parameters, call, tell_all=tell_all)
        return await while_connected(request.receive, work)

    def _wants_page(self, request: Request, accept: str | None) -> bool:
        """Tell a person who opens the address from a client that sends a query."""
        return (
            request.method == "GET" and "query" not in request.query_params and prefers_html(accept)
        )

    async def _parameters(self, request: Request) -> GraphQLRequest:
        """Read the parameters of a request."""
        if request.method == "GET":
            return from_query(request.query_params)
        return from_body(request.headers.get("content-type"), await request.body())
