"""Answers as bytes."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from graphql import GraphQLFormattedError
from starlette.responses import Response

from app.errors import Code
from app.graphql.request import Answer

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


class Written(Response):
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


def answer_response(answer: Answer, media_type: str, *, partial: int = OK) -> Response:
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
    answers: Sequence[Answer], media_type: str, failed: Callable[[Exception], Answer]
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


def _body(answer: Answer) -> Mapping[str, object]:
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
    return Written(body, status, [PRIVATE, BY_ACCEPT, *more, length, kind])


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
