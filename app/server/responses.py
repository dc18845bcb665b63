"""Responses: their bodies, media types and security headers. Pure.

The security headers stop a browser from treating a response as something else. No library adds
them, because they are the same bytes in every response. ``secure`` 2.0 is pure ASGI and well
maintained, but its middleware removes headers by indexes that it has shifted, so headers of the
response get lost, and it replaces GraphiQL's stricter policy by its own.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus

import msgspec
from graphql import GraphQLFormattedError
from msgspec import Struct
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.errors import Code, quote
from app.execution.grouped_errors import grouped
from app.execution.repeated_errors import RepeatedErrors
from app.execution.request import GraphQLResponse

Header = tuple[bytes, bytes]

SECURITY_HEADERS: tuple[Header, ...] = (
    # Browsers never run JSON as a script or show it as a page, whatever it contains.
    (b"x-content-type-options", b"nosniff"),
    # No page may put a response into a frame (GraphiQL's own policy says so, too) ...
    (b"x-frame-options", b"DENY"),
    # ... or load it as an image or a script; what CORS allows is not affected.
    (b"cross-origin-resource-policy", b"same-origin"),
    # The URL may contain a query, so it is not sent to other sites.
    (b"referrer-policy", b"no-referrer"),
)
"""The headers of every response, as ASGI has them."""


def security_headers(hsts: int) -> tuple[Header, ...]:
    """Return the headers of every response of a gateway.

    Args:
        hsts: Seconds for which browsers shall use https only (RFC 6797); 0 for no such header. It
            applies to the whole host, so behind a proxy the proxy should send it.

    Returns:
        The headers, as ASGI has them.
    """
    if not hsts:
        return SECURITY_HEADERS
    return (*SECURITY_HEADERS, (b"strict-transport-security", b"max-age=%d" % hsts))


JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"

OK = 200
PARTIAL = 294
"""Partial Success ("GraphQL over HTTP", section 6.1). The status is not registered yet."""
BAD_REQUEST = 400

RETRY_AFTER = "Retry-After"

PRIVATE = (b"cache-control", b"no-store")
"""No cache may store a response: it is for one caller, and for now."""

BY_ACCEPT = (b"vary", b"Accept")
"""The media type, and the status of some responses, depend on ``Accept``."""


class EncodedResponse(Response):
    """A response whose headers are already encoded. Starlette adds no headers to it.

    Args:
        body: The body.
        status: The HTTP status.
        headers: All headers of the response, as ASGI has them.
    """

    def __init__(self, body: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.body = body
        self.status_code = status
        self.raw_headers = headers
        self.background = None


class Refusal(Struct, frozen=True):
    """Why a request was refused before it became a GraphQL request.

    Attributes:
        status: The HTTP status.
        code: The public code.
        message: What is wrong, and what was expected. It may quote the request.
        limit: The setting of the limit that refused it; ``None`` if no limit did.
        caller: Kind of caller for which that limit counts; ``None`` if it counts for none.
    """

    status: int
    code: Code
    message: str
    limit: str | None = None
    caller: str | None = None

    @property
    def is_severe(self) -> bool:
        """Whether the gateway is the reason, rather than the request."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR


_REFUSAL_KEY = "refusal"


class RefusalResponse(EncodedResponse):
    """The response to a request that is refused. Sent, it leaves its refusal in the scope.

    Args:
        refusal: Why the request is refused.
        response: The response.

    Attributes:
        refusal: Why the request is refused.
    """

    def __init__(self, refusal: Refusal, response: EncodedResponse) -> None:
        super().__init__(bytes(response.body), response.status_code, response.raw_headers)
        self.refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response.

        Args:
            scope: The ASGI scope.
            receive: The ASGI channel of incoming messages.
            send: The ASGI channel of outgoing messages.
        """
        scope.setdefault("state", {})[_REFUSAL_KEY] = self.refusal
        await super().__call__(scope, receive, send)


def refusal_of(scope: Scope) -> Refusal | None:
    """Return why a request was refused.

    Args:
        scope: The request's scope, after its response was sent.

    Returns:
        The refusal; ``None`` if the request was not refused.
    """
    refusal: Refusal | None = scope["state"].get(_REFUSAL_KEY)
    return refusal


def answer_response(answer: GraphQLResponse, media_type: str, *, partial: int = OK) -> Response:
    """Make the HTTP response of a GraphQL response.

    The status follows "GraphQL over HTTP" (September 2026), section 5.4, as its audit suite reads
    it. With GraphQL's own media type the status says whether the request was executed. With plain
    JSON it is 200 for every GraphQL response, except where HTTP itself demands another one.

    Args:
        answer: The GraphQL response.
        media_type: The media type of the response.
        partial: The status of data with errors, with GraphQL's own media type.

    Returns:
        The HTTP response.
    """
    status = OK
    if not answer.executed:
        is_plain = media_type == JSON and answer.status == BAD_REQUEST
        status = OK if is_plain else answer.status
    elif answer.errors and media_type == GRAPHQL_JSON:
        status = partial
    headers = answer.headers or {}
    if answer.timings:
        headers = {"Server-Timing": _server_timing(answer.timings), **headers}
    return _json(answer_body(answer), status, media_type, headers)


def batch_response(
    answers: Sequence[GraphQLResponse],
    media_type: str,
    failed: Callable[[Exception], GraphQLResponse],
) -> Response:
    """Make the HTTP response of a batch: one status and one set of headers for all operations.

    Args:
        answers: The GraphQL responses, in the order of the operations.
        media_type: The media type of the response.
        failed: Returns the replacement for a GraphQL response that cannot be encoded. That is a bug
            of ours; it does not affect the other operations.

    Returns:
        The HTTP response, with the longest ``Retry-After`` of all operations.
    """
    bodies: list[bytes] = []
    headers: dict[str, str] = {}
    waits: list[int] = []
    for answer in answers:
        own = dict(answer.headers or {})
        waits += [int(own.pop(RETRY_AFTER))] if RETRY_AFTER in own else []
        headers |= own
        try:
            bodies.append(msgspec.json.encode(answer_body(answer)))
        except Exception as error:  # noqa: BLE001 # `failed` logs it
            bodies.append(msgspec.json.encode(answer_body(failed(error))))
    if waits:
        headers[RETRY_AFTER] = str(max(waits))
    return _json_response(b"[" + b",".join(bodies) + b"]", OK, media_type, headers)


def answer_body(answer: GraphQLResponse) -> Mapping[str, object]:
    """Return the body of a GraphQL response, as the specification defines it.

    Args:
        answer: The GraphQL response.

    Returns:
        The JSON values.
    """
    # Specification, section 7.1: errors come first, so that people notice them.
    body: dict[str, object] = {}
    if answer.errors:
        body["errors"] = (
            grouped(answer.errors)
            if answer.grouped and answer.executed
            else msgspec.Raw(answer.errors.json())
            if isinstance(answer.errors, RepeatedErrors)
            else answer.errors
        )
    if answer.executed:
        body["data"] = answer.data
    if answer.extensions is not None:
        body["extensions"] = answer.extensions
    return body


def _json(
    value: object, status: int, media_type: str, headers: Mapping[str, str]
) -> EncodedResponse:
    """Encode a value as JSON, and make the response."""
    return _json_response(msgspec.json.encode(value), status, media_type, headers)


def _json_response(
    body: bytes, status: int, media_type: str, headers: Mapping[str, str]
) -> EncodedResponse:
    """Make a response whose body is encoded JSON."""
    length = (b"content-length", b"%d" % len(body))
    kind = (b"content-type", f"{media_type}; charset=utf-8".encode())
    more = encoded_headers(headers)
    return EncodedResponse(body, status, [PRIVATE, BY_ACCEPT, *more, length, kind])


def encoded_headers(headers: Mapping[str, str]) -> list[Header]:
    """Encode headers as ASGI has them.

    Args:
        headers: The headers.

    Returns:
        The same, with their names in lower case.
    """
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
    ]


def _server_timing(timings: Mapping[str, float]) -> str:
    """Write durations as a ``Server-Timing`` header (W3C Server Timing), in milliseconds."""
    return ", ".join(f"{name};dur={seconds * 1000:.2f}" for name, seconds in timings.items())


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
"""The methods that messages and the log name as they are. A client may send any other word."""


def wrong_method(method: str, allowed: Sequence[str], expected: str) -> RefusalResponse:
    """Make the response to a method that is not served.

    Args:
        method: The method of the request.
        allowed: The methods that are served.
        expected: What to send instead.

    Returns:
        A response with status 405.
    """
    name = method if method in METHODS else quote(method)
    return error_response(
        405,
        Code.BAD_REQUEST,
        f"{name} is not served here: expected {expected}",
        headers={"Allow": ", ".join(allowed)},
    )


def error_response(
    status: int,
    code: Code,
    message: str,
    *,
    request_id: str | None = None,
    retry_after: int | None = None,
    headers: Mapping[str, str] | None = None,
    media_type: str = JSON,
    limit: str | None = None,
    caller: str | None = None,
) -> RefusalResponse:
    """Make the response to a request that is refused before it is a GraphQL request.

    Args:
        status: The HTTP status.
        code: The public code.
        message: What is wrong, and what was expected.
        request_id: The request id, which is shown with a masked error.
        retry_after: Seconds after which the client may try again.
        headers: Further headers that the status requires.
        media_type: The media type of the response.
        limit: The setting of the limit that refuses it; ``None`` if no limit does.
        caller: Kind of caller for which that limit counts; ``None`` if it counts for none.

    Returns:
        The response, whose body is a GraphQL response with one error.
    """
    extensions = {"code": code.value} | ({"requestId": request_id} if request_id else {})
    error: GraphQLFormattedError = {"message": message, "extensions": extensions}
    more = {RETRY_AFTER: str(retry_after)} if retry_after else {}
    response = _json({"errors": [error]}, status, media_type, {**(headers or {}), **more})
    return RefusalResponse(Refusal(status, code, message, limit, caller), response)


HTML = "text/html"

LONGEST = 512
"""Most characters of an ``Accept`` header that is cached. Those of browsers have about 150."""

_OFFERS = {
    JSON: (JSON, "application/*", "*/*"),
    GRAPHQL_JSON: (GRAPHQL_JSON, "application/*", "*/*"),
}


def negotiate(accept: str | None) -> str | None:
    """Choose the media type of a GraphQL response (RFC 9110, section 12.5.1).

    Args:
        accept: The ``Accept`` header, if there is one.

    Returns:
        The type with the highest quality. If both have the same, the one that is named exactly, or
        named first; else plain JSON. ``None`` if the client accepts neither.
    """
    # Longer values are not cached: clients must not decide the size of the cache.
    return _chosen(accept) if accept is None or len(accept) <= LONGEST else _choose(accept)


def _choose(accept: str | None) -> str | None:
    """Choose the media type of a GraphQL response, without the cache."""
    if not accept or not accept.strip():
        return JSON
    ranges = _ranges(accept)
    best: tuple[float, int] = (0.0, 0)
    chosen = None
    for offer, matches in _OFFERS.items():
        named = [match for match in matches if match in ranges]
        if not named:
            continue
        quality, place = ranges[named[0]]  # the most specific one counts
        exact = 1 if named[0] == offer else 0
        if quality > 0 and (quality, exact * 1000 - place) > best:
            best, chosen = (quality, exact * 1000 - place), offer
    return chosen


_chosen = lru_cache(maxsize=256)(_choose)
"""``_choose`` with a cache: clients send few different values, and one with every request."""


def json_quality(accept: str) -> float:
    """Return how much a client likes one whole answer.

    Args:
        accept: The ``Accept`` header.

    Returns:
        The highest quality of a media type of a GraphQL response, wildcards included; 0 if the
        client accepts none.
    """
    ranges = _ranges(accept)
    matching = (
        next((ranges[match][0] for match in matches if match in ranges), 0.0)
        for matches in _OFFERS.values()
    )
    return max(matching)


def prefers_html(accept: str | None) -> bool:
    """Return whether a client is a browser that wants a page.

    Args:
        accept: The ``Accept`` header, if there is one.

    Returns:
        Whether HTML has a higher quality than each type of a GraphQL response.
    """
    ranges = _ranges(accept or "")
    html, _ = ranges.get(HTML, (0.0, 0))
    return html > max(ranges.get(name, (0.0, 0))[0] for name in (JSON, GRAPHQL_JSON))


def _ranges(accept: str) -> dict[str, tuple[float, int]]:
    """Return quality and position of each media range in ``Accept``, by its lower-case name."""
    ranges: dict[str, tuple[float, int]] = {}
    for place, entry in enumerate(accept.split(",")):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        ranges.setdefault(name, (quality, place))
    return ranges
