"""Answers as bytes."""

from collections.abc import Mapping

import orjson
from graphql import GraphQLFormattedError
from starlette.responses import Response

from app.errors import Code
from app.graphql.request import Answer

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"


def answer_response(answer: Answer, media_type: str) -> Response:
    """Write the answer to a request.

    By "GraphQL over HTTP", section 6.4: a client that understands GraphQL's own media type learns
    from the status whether its request was executed; one that asked for plain JSON gets 200 for
    whatever is a GraphQL answer.

    Args:
        answer: The answer.
        media_type: The type that the client wants.

    Returns:
        The response.
    """
    # Specification, section 7.1: errors first makes them easier to see.
    body: dict[str, object] = {"errors": answer.errors} if answer.errors else {}
    if answer.executed:
        body["data"] = answer.data
    if answer.extensions is not None:
        body["extensions"] = answer.extensions
    status = 200 if answer.executed or media_type == JSON else answer.status
    headers = {"Server-Timing": _server_timing(answer.timings)} if answer.timings else None
    return Response(
        orjson.dumps(body, option=orjson.OPT_UTC_Z),
        status,
        headers=headers,
        media_type=f"{media_type}; charset=utf-8",
    )


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
) -> Response:
    """Answer a request that is not even a GraphQL request.

    Args:
        status: HTTP status.
        code: The public code.
        message: What is wrong and what would be right.
        request_id: Shown with what is masked.
        retry_after: Seconds after which the client may come back.
        headers: Further headers that the status calls for.

    Returns:
        The response, in the shape of a GraphQL answer.
    """
    extensions = {"code": code.value} | ({"requestId": request_id} if request_id else {})
    error: GraphQLFormattedError = {"message": message, "extensions": extensions}
    return Response(
        orjson.dumps({"errors": [error]}),
        status,
        headers={**(headers or {}), **({"Retry-After": str(retry_after)} if retry_after else {})},
        media_type=f"{JSON}; charset=utf-8",
    )
