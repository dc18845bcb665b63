"""Responses: their bytes, their media types and their security headers.

Headers that keep an answer from being taken for something else by a browser.

Our own, since they are the same bytes for every answer. Of the libraries, ``secure`` 2.0 is the one
that is well kept and pure ASGI; but its middleware removes headers by indexes that it has shifted,
so that some of the answer's own are lost, and it puts its policies in place of GraphiQL's stricter
one.

Answers as bytes.

Which media type a client wants. Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import msgspec
from graphql import GraphQLFormattedError
from starlette.responses import Response

from app.errors import Code
from app.execution.request import GraphQLResponse

Header = tuple[bytes, bytes]

SECURITY_HEADERS: tuple[Header, ...] = (
    # JSON is never run as a script or shown as a page, whatever is in it.
    (b"x-content-type-options", b"nosniff"),
    # No page may put an answer into a frame (GraphiQL's own policy says so, too) ...
    (b"x-frame-options", b"DENY"),
    # ... or load it as an image or a script; what CORS allows is not affected.
    (b"cross-origin-resource-policy", b"same-origin"),
    # An address may have a query in it: no other site is told of it.
    (b"referrer-policy", b"no-referrer"),
)
"""The headers of every answer, as ASGI has them."""


def security_headers(hsts: int) -> tuple[Header, ...]:
    """List the headers of every answer of a gateway.

    Args:
        hsts: Seconds for which browsers shall come by https alone (RFC 6797); 0 for not saying so.
            It holds for the whole host, so a gateway behind a proxy leaves it to that.

    Returns:
        The headers.
    """
    if not hsts:
        return SECURITY_HEADERS
    return (*SECURITY_HEADERS, (b"strict-transport-security", b"max-age=%d" % hsts))


JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"

OK = 200
PARTIAL = 294
"""Partial Success ("GraphQL over HTTP", section 6.1): not registered, to be wished for."""
BAD_REQUEST = 400

RETRY_AFTER = "Retry-After"

PRIVATE = (b"cache-control", b"no-store")
"""An answer is for who asked, and for now."""

BY_ACCEPT = (b"vary", b"Accept")
"""Its media type, and for some answers the status, are as the client wants it."""


class EncodedResponse(Response):
    """A response whose headers are bytes already; Starlette would look for what they lack.

    Args:
        body: The body.
        status: HTTP status.
        headers: All of its headers, as ASGI has them.
    """

    def __init__(self, body: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.body = body
        self.status_code = status
        self.raw_headers = headers
        self.background = None


def answer_response(answer: GraphQLResponse, media_type: str, *, partial: int = OK) -> Response:
    """Write the answer to a request.

    By "GraphQL over HTTP" (September 2026), section 5.4, as its audit suite reads it: a client that
    understands GraphQL's own media type learns from the status whether its request was executed;
    one that asked for plain JSON gets 200 for whatever is a GraphQL answer, unless HTTP itself
    says otherwise.

    Args:
        answer: The answer.
        media_type: The type that the client wants.
        partial: The status of data with errors, for clients that understand GraphQL's own type.

    Returns:
        The response.
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
    return _json(_body(answer), status, media_type, headers)


def batch_response(
    answers: Sequence[GraphQLResponse],
    media_type: str,
    failed: Callable[[Exception], GraphQLResponse],
) -> Response:
    """Write the answers to a batch, which have one status between them, and one set of headers.

    Args:
        answers: The answers, in the order of the operations.
        media_type: The type that the client wants.
        failed: Gives what is answered in place of an answer that cannot be written: a bug of ours,
            which concerns no other operation.

    Returns:
        The response.
    """
    bodies: list[bytes] = []
    headers: dict[str, str] = {}
    waits: list[int] = []
    for answer in answers:
        told = dict(answer.headers or {})
        waits += [int(told.pop(RETRY_AFTER))] if RETRY_AFTER in told else []
        headers |= told
        try:
            bodies.append(msgspec.json.encode(_body(answer)))
        except Exception as error:  # noqa: BLE001 # whatever it is, it is logged by `failed`
            bodies.append(msgspec.json.encode(_body(failed(error))))
    if waits:
        headers[RETRY_AFTER] = str(max(waits))
    return _written(b"[" + b",".join(bodies) + b"]", OK, media_type, headers)


def _body(answer: GraphQLResponse) -> Mapping[str, object]:
    """Put an answer into the shape of the specification."""
    # Specification, section 7.1: errors first makes them easier to see.
    body: dict[str, object] = {"errors": answer.errors} if answer.errors else {}
    if answer.executed:
        body["data"] = answer.data
    if answer.extensions is not None:
        body["extensions"] = answer.extensions
    return body


def _json(value: object, status: int, media_type: str, headers: Mapping[str, str]) -> Response:
    """Write JSON."""
    return _written(msgspec.json.encode(value), status, media_type, headers)


def _written(body: bytes, status: int, media_type: str, headers: Mapping[str, str]) -> Response:
    """Make a response of JSON that is written."""
    more = [
        (name.lower().encode("latin-1"), told.encode("latin-1")) for name, told in headers.items()
    ]
    length = (b"content-length", b"%d" % len(body))
    kind = (b"content-type", f"{media_type}; charset=utf-8".encode())
    return EncodedResponse(body, status, [PRIVATE, BY_ACCEPT, *more, length, kind])


def _server_timing(timings: Mapping[str, float]) -> str:
    """Write durations as a ``Server-Timing`` header (W3C Server Timing), in milliseconds."""
    return ", ".join(f"{name};dur={seconds * 1000:.2f}" for name, seconds in timings.items())


def error_response(
    status: int,
    code: Code,
    message: str,
    *,
    request_id: str | None = None,
    retry_after: int | None = None,
    headers: Mapping[str, str] | None = None,
    media_type: str = JSON,
) -> Response:
    """Answer a request that is not even a GraphQL request.

    Args:
        status: HTTP status.
        code: The public code.
        message: What is wrong and what would be right.
        request_id: Shown with what is masked.
        retry_after: Seconds after which the client may come back.
        headers: Further headers that the status calls for.
        media_type: The type that the client wants, where that is known.

    Returns:
        The response, in the shape of a GraphQL answer.
    """
    extensions = {"code": code.value} | ({"requestId": request_id} if request_id else {})
    error: GraphQLFormattedError = {"message": message, "extensions": extensions}
    more = {RETRY_AFTER: str(retry_after)} if retry_after else {}
    return _json({"errors": [error]}, status, media_type, {**(headers or {}), **more})


HTML = "text/html"

LONGEST = 512
"""How many characters a value has at most that is remembered; those of browsers have 150."""

_OFFERS = {
    JSON: (JSON, "application/*", "*/*"),
    GRAPHQL_JSON: (GRAPHQL_JSON, "application/*", "*/*"),
}


def negotiate(accept: str | None) -> str | None:
    """Choose between the media types of a GraphQL answer (RFC 9110, section 12.5.1).

    Args:
        accept: The ``Accept`` header, if there is one.

    Returns:
        The type that the client likes best; plain JSON where it likes both the same and names
        neither before the other; ``None`` when it wants neither.
    """
    # What is longer is not remembered: it would be for the client to say how much that is.
    return _chosen(accept) if accept is None or len(accept) <= LONGEST else _choose(accept)


def _choose(accept: str | None) -> str | None:
    """Choose between the media types of a GraphQL answer."""
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
"""The same, remembered: clients have few ways to say it, and say it with every request."""


def prefers_html(accept: str | None) -> bool:
    """Tell a browser that wants a page from a client that wants data.

    Args:
        accept: The ``Accept`` header, if there is one.

    Returns:
        Whether HTML is named, and no type of a GraphQL answer is liked as much.
    """
    ranges = _ranges(accept or "")
    html, _ = ranges.get(HTML, (0.0, 0))
    return html > max(ranges.get(one, (0.0, 0))[0] for one in (JSON, GRAPHQL_JSON))


def _ranges(accept: str) -> dict[str, tuple[float, int]]:
    """Read an ``Accept`` header.

    Args:
        accept: Its value.

    Returns:
        Quality and place of each media range, by its name in lower case.
    """
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
