"""The page of the HTTP interface: each response in it is one that the gateway has sent."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx
from pydantic import BaseModel, Field, SecretStr, ValidationError
from starlette.routing import Route

from app.observability.logs import make_log
from app.server.admin import PATHS as ADMIN_PATHS
from app.server.cross_site import EXPOSED_HEADERS, REQUEST_HEADERS
from app.server.head import head_too_long, too_many_headers, url_too_long
from app.server.refusals import (
    no_tunnel,
    not_http,
    too_late,
    too_many_connections,
    too_much_framing,
)
from app.settings.auth import JwtCallers
from app.settings.limits import LimitsSettings, RateSettings
from tests.apps import make_app
from tests.clock import ManualClock
from tests.docs.generated.markdown import code, page, table
from tests.fakes import FakeServices, failing, settings_for_fakes, user_id

NEW, OLD = "application/graphql-response+json", "application/json"
FOUND = f'{{ user(id: "{user_id(1)}") {{ displayName plan }} }}'

_HEAD = """\
The endpoint follows the specification "GraphQL over HTTP" (September 2026). `make reference` sends
each request of this page to a gateway, and writes down what it answers.
[Settings](settings.md) has the limits, [codes of errors](errors.md) the codes, and
[the guide for frontends](../guides/frontend.md) what each client has to set."""

_BODIES = """\
A request is JSON with the members below. A batch is an array of requests, if
`GATEWAY_BATCH__ENABLED` allows it. A response has `data`, `errors` and `extensions`. Several
payloads come as `multipart/mixed` or `text/event-stream`
([incremental delivery](../how-to/incremental-delivery.md))."""

_MEMBERS = (
    ("`query`", "The document."),
    ("`operationName`", "The operation to run, if the document has several."),
    ("`variables`", "Their values, as an object."),
    (
        "`onError`",
        (
            "What an error does: `NULL` leaves `null` at its path, `PROPAGATE` moves it up to the"
            " next nullable field, `HALT` ends the operation."
        ),
    ),
    (
        "`extensions`",
        (
            "`errors`: `grouped` for"
            " [one error for each source](../guides/frontend.md#one-error-for-each-source)."
            " `persistedQuery`: the hash of a document."
        ),
    ),
    (
        "`documentId`, `doc_id`",
        "The name of a [trusted document](../guides/frontend.md#trusted-documents).",
    ),
)

_ADMIN = """\
The admin port (`GATEWAY_ADMIN__PORT`) has `/metrics`, `/healthz` and `/readyz`. With a token
(`GATEWAY_ADMIN__TOKEN`), it also takes POST requests to `/reload`
([reload](../operations/reload.md)) and to `/cache/invalidate`
([caching](../operations/caching-and-store.md))."""

_PATHS = {
    "/graphql": "The endpoint, for POST and for GET.",
    "/healthz": "Whether the process runs.",
    "/readyz": "Whether it can serve requests. On the admin port, also the state of each source.",
    "/": "Leads a browser to GraphiQL, if that is on.",
    "/metrics": "The [metrics](../operations/metrics.md), for Prometheus.",
}

_REQUEST_HEADERS = {
    "Authorization": "`Bearer` and a token ([authentication](../how-to/authentication.md)).",
    "Content-Type": "`application/json`, in UTF-8.",
    "Apollo-Require-Preflight": "Any value. It causes a preflight: a GET needs one such header.",
    "X-Apollo-Operation-Name": "The same, as some clients send it.",
    "X-Requested-With": "The same, as some clients send it.",
    "GraphQL-Require-Preflight": "The same.",
    "Traceparent": "The trace that the client has begun (W3C Trace Context).",
    "X-Gateway-Cost": "`1`: the cost in `extensions.cost`, if `GATEWAY_LIMITS__REPORT` allows it.",
    "X-Gateway-Explain": "`1`: the calls that would be made, if `GATEWAY_EXPLAIN` allows it.",
    "X-Gateway-Trace": "`1`: [a report](../operations/request-report.md), if that is allowed.",
    "X-Request-ID": "The id of the request in logs; a new one when absent.",
    "X-Request-Timeout": "How long the client waits: `800ms`, `2s`. It may shorten the deadline.",
}

_RESPONSE_HEADERS = {
    "ETag": "Names the content of an answer that caches may store.",
    "RateLimit": "What is left of the caller's quota.",
    "RateLimit-Policy": "The quota.",
    "Retry-After": "Seconds after which a refused request may succeed.",
    "Server-Timing": "How long each source took, if `GATEWAY_TRACE` allows it.",
    "WWW-Authenticate": "Which token is expected, with status 401.",
    "X-Request-ID": "The id of the request in logs.",
}


class ErrorExtensions(BaseModel):
    """The extensions of an error."""

    code: str = Field(description="The code.")


class AnswerError(BaseModel):
    """An error of a response."""

    message: str = Field(description="What was wrong, and what would be right.")
    extensions: ErrorExtensions = Field(description="What it says to programs.")


class Answer(BaseModel):
    """The parts of a response that the page needs."""

    errors: Sequence[AnswerError] = Field(default=(), description="The errors.")


@dataclass(frozen=True, slots=True)
class HttpCase:
    """A request of the page.

    Attributes:
        name: Its name on the page.
        content: Its body.
        headers: Its headers, besides `Accept`.
        method: Its method.
        path: Its target.
        changes: Settings that differ from the defaults.
        failing: Whether billing fails.
        accept: The media type that it accepts; both when absent.
        times: The number of times that it is sent; the last response counts.
    """

    name: str
    content: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    method: str = "POST"
    path: str = "/graphql"
    changes: Mapping[str, object] = field(default_factory=dict[str, object])
    failing: bool = False
    accept: str = ""
    times: int = 1


def _query(document: str) -> str:
    """Write the body of a request."""
    escaped = document.replace('"', '\\"')
    return f'{{"query": "{escaped}"}}'


_TOKENS = JwtCallers(
    mode="jwt",
    issuer="dev",
    audience="user-gateway",
    secret=SecretStr("a secret of thirty-two letters !!"),
)
_QUOTA = LimitsSettings(rate=RateSettings(quota=2))

_CASES = (
    HttpCase("an operation", _query(FOUND)),
    HttpCase("an operation, and a source fails", _query(FOUND), failing=True),
    HttpCase(
        "the same with `GATEWAY_PARTIAL_STATUS=true`",
        _query(FOUND),
        failing=True,
        changes={"partial_status": True},
    ),
    HttpCase("a document that cannot be parsed", _query("{ user(")),
    HttpCase("a field that does not exist", _query("{ nothing }")),
    HttpCase("an id of another form", _query('{ user(id: "x") { id } }')),
    HttpCase(
        "an operation above a limit",
        _query(f"{{ {' '.join(f'a{one}: __typename' for one in range(31))} }}"),
        changes={"limits": LimitsSettings(aliases=30)},
    ),
    HttpCase("JSON without a `query`", '{"operationName": "Page"}'),
    HttpCase("a batch, without `GATEWAY_BATCH__ENABLED`", f"[{_query(FOUND)}]"),
    HttpCase("a body that is not JSON", "{"),
    HttpCase("an object with the same name twice", '{"query": "{ a }", "query": "{ b }"}'),
    HttpCase("another media type", "{ me { id } }", {"Content-Type": "text/plain"}),
    HttpCase("a compressed body", "", {"Content-Encoding": "gzip"}),
    HttpCase("a body that is too long", _query(FOUND), changes={"max_body_bytes": 50}),
    HttpCase("a GET that any page could send", method="GET", path="/graphql?query={me{id}}"),
    HttpCase("another method", method="PUT"),
    HttpCase("an `Accept` without JSON", _query(FOUND), accept="image/png"),
    HttpCase("a name that is not in `GATEWAY_HOSTS`", _query(FOUND), {"Host": "other.example.com"}),
    HttpCase("no token, with `GATEWAY_AUTH__MODE=jwt`", _query(FOUND), changes={"auth": _TOKENS}),
    HttpCase("above the caller's quota", _query(FOUND), changes={"limits": _QUOTA}, times=4),
    HttpCase("another path", path="/other", method="GET"),
)


async def http_page() -> str:
    """Write the page.

    Returns:
        Its text, in Markdown.

    Raises:
        LookupError: A path or a header of the code is not described here, or the reverse.
    """
    paths = [*_public_paths(), *ADMIN_PATHS]
    _same(paths, _PATHS)
    _same(REQUEST_HEADERS, _REQUEST_HEADERS)
    _same(EXPOSED_HEADERS, _RESPONSE_HEADERS)
    rows = [await _row(case) for case in _CASES]
    return page(
        "# HTTP",
        _HEAD,
        "## Paths",
        table(("Path", "Meaning"), [(code(one), _PATHS[one]) for one in dict.fromkeys(paths)]),
        _ADMIN,
        "## Requests and responses",
        _BODIES,
        table(("Member", "Meaning"), _MEMBERS),
        "## Status codes",
        f"The status is for clients that accept `{NEW}`, the old one for `{OLD}` alone.",
        table(("Request", "Status", "Old status", "Code", "Message"), rows),
        "## Refused by the connection",
        "These requests do not get as far as GraphQL. The values in messages are the defaults.",
        table(("Status", "Message"), _refusals()),
        "## Headers of requests",
        table(
            ("Header", "Meaning"), [(code(one), _REQUEST_HEADERS[one]) for one in REQUEST_HEADERS]
        ),
        "## Headers of responses",
        table(
            ("Header", "Meaning"), [(code(one), _RESPONSE_HEADERS[one]) for one in EXPOSED_HEADERS]
        ),
    )


def _same(there: Sequence[str], described: Mapping[str, str]) -> None:
    """Check that the descriptions match the paths and headers of the code."""
    if odd := {*there} ^ {*described}:
        raise LookupError(f"tests/docs/generated/http.py: described, or there, but not both: {odd}")


def _public_paths() -> Sequence[str]:
    """List the paths of the application."""
    settings = settings_for_fakes()
    app = make_app(settings, make_log(settings.log, stream=io.StringIO()))
    return [route.path for route in app.routes if isinstance(route, Route)]


async def _row(case: HttpCase) -> Sequence[str]:
    """Send a request with both media types, and write the responses."""
    new = await _answer(case, case.accept or NEW)
    old = await _answer(case, case.accept or OLD)
    error = _first_error(new.content)
    code_of, message = (error.extensions.code, error.message) if error else ("", "")
    return (case.name, str(new.status_code), str(old.status_code), code(code_of), message)


def _first_error(content: bytes) -> AnswerError | None:
    """Read the first error of a response; ``None`` if there is none."""
    try:
        errors = Answer.model_validate_json(content).errors
    except ValidationError:
        return None
    return errors[0] if errors else None


async def _answer(case: HttpCase, accept: str) -> httpx.Response:
    """Send a request to a new gateway."""
    services = FakeServices()
    services.know(1)
    if case.failing:
        services.billing.behaviour = failing(503)
    settings = settings_for_fakes(**case.changes)
    app = make_app(
        settings,
        make_log(settings.log, stream=io.StringIO()),
        clock=ManualClock(),
        transports=services.transport,
    )
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client,
    ):
        body = {"Content-Type": OLD} if case.method == "POST" else {}
        headers = {**body, "Accept": accept, **case.headers}
        answers = [
            await client.request(case.method, case.path, content=case.content, headers=headers)
            for _ in range(case.times)
        ]
    return answers[-1]


def _refusals() -> Sequence[Sequence[str]]:
    """Write the responses that the connection itself sends."""
    connections = settings_for_fakes().connections
    refusals = (
        not_http(),
        no_tunnel(),
        too_late("head", connections.head_timeout),
        too_late("body", connections.body_timeout),
        too_much_framing(),
        url_too_long(connections.max_url_bytes),
        too_many_headers(connections.max_headers),
        head_too_long(connections.max_head_bytes),
        too_many_connections(connections.max_connections),
    )
    rows = [(one.status_code, _first_error(bytes(one.body))) for one in refusals]
    return sorted((str(status), error.message if error else "") for status, error in rows)
