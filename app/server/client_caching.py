"""Responses that caches of clients, and between them and the gateway, may store (RFC 9111). Pure.

Only answers to a GET that names its document get here, and only those that ``freshness.py`` allows.
All other responses keep ``no-store``.
"""

import hashlib

from starlette.responses import Response

from app.execution.request import AnswerFreshness, GraphQLResponse
from app.server.responses import EncodedResponse, Header

NOT_MODIFIED = 304
HASH_CHARACTERS = 32
"""How many hexadecimal characters of a SHA-256 an entity tag has."""

_REPLACED = frozenset({b"cache-control", b"vary"})
_OF_BODY = frozenset({b"content-type", b"content-length"})


def storable(response: Response, answer: GraphQLResponse, if_none_match: str | None) -> Response:
    """Let caches store a response, and answer 304 if the client has it already.

    Args:
        response: The response.
        answer: The answer that it has.
        if_none_match: The header ``If-None-Match`` of the request.

    Returns:
        The response with ``Cache-Control`` and ``ETag``, or without a body; the response as it is
        if it may not be stored. An answer with extensions or headers of its own is about this
        request alone.
    """
    freshness = answer.freshness
    if freshness is None or answer.extensions is not None or answer.headers:
        return response
    body = bytes(response.body)
    tag = f'"{hashlib.sha256(body).hexdigest()[:HASH_CHARACTERS]}"'
    own: list[Header] = [
        (b"cache-control", _cache_control(freshness)),
        # Two people may use one browser.
        (b"vary", b"Accept" if freshness.public else b"Accept, Authorization"),
        (b"etag", tag.encode()),
    ]
    kept = [one for one in response.raw_headers if one[0] not in _REPLACED]
    if if_none_match is not None and matches(if_none_match, tag):
        kept = [one for one in kept if one[0] not in _OF_BODY]
        return EncodedResponse(b"", NOT_MODIFIED, [*own, *kept])
    return EncodedResponse(body, response.status_code, [*own, *kept])


def matches(if_none_match: str, tag: str) -> bool:
    """Compare entity tags weakly (RFC 9110, sections 8.8.3.2 and 13.1.2).

    Args:
        if_none_match: The header of the request.
        tag: The entity tag of the response.

    Returns:
        Whether the client has the response.
    """
    tags = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return "*" in tags or tag in tags


def _cache_control(freshness: AnswerFreshness) -> bytes:
    """Write ``Cache-Control``."""
    return b"%s, max-age=%d" % (b"public" if freshness.public else b"private", freshness.seconds)
