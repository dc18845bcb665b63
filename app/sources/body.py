"""Reading the body of an answer that is not trusted: no longer than it may be, whatever it claims.

Decompression is done here rather than by httpx, which inflates a chunk whole: sixteen kilobytes
of a bomb are sixteen megabytes, and twice compressed sixteen gigabytes.
"""

from codecs import BOM_UTF8
from typing import cast

import httpx

from app.errors import MalformedError
from app.sources.inflation import Inflation, too_long
from app.sources.transport import fields_of

_PLAIN = frozenset({"", "identity"})
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})

ACCEPT_ENCODING = "gzip"
"""The encoding that services are asked for.

``deflate`` is understood, too, with the header of zlib and without. It is not asked for, since
services differ in which of them they mean (RFC 9110, section 8.4.1.2).
"""

JSON_TYPES = frozenset(
    {"", "application/json", "text/json", "text/plain", "application/octet-stream"}
)
"""Media types under which services send JSON, beside ``…+json``."""


async def read_body(response: httpx.Response, limit: int) -> bytes:
    """Read a body, decompressed.

    Args:
        response: The response, its body not read yet.
        limit: The most bytes that it may have, decompressed.

    Returns:
        The body.

    Raises:
        MalformedError: It is no JSON by its type, too long, or not what its encoding says.
        httpx.HTTPError: It did not arrive.
    """
    headers = fields_of(response)
    if not is_json(headers.get("content-type", "")):
        raise MalformedError("the body is of a type that is not JSON")
    if response.is_stream_consumed:  # by a transport that hands over whole answers
        if len(response.content) > limit:
            raise too_long(limit)
        return response.content.removeprefix(BOM_UTF8)
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in _COMPRESSED:
        body = await _read_compressed(response, limit, may_be_raw=encoding == "deflate")
    elif encoding in _PLAIN:
        body = await _read_plain(response, limit)
    else:
        raise MalformedError(f"content encoding {encoding[:40]!r}: expected gzip, deflate or none")
    return body.removeprefix(BOM_UTF8)  # which JSON has not, but some write (RFC 8259, section 8.1)


async def _read_plain(response: httpx.Response, limit: int) -> bytes:
    """Read a body that is not compressed."""
    chunks: list[bytes] = []
    length = 0
    # `aiter_raw` would cut the chunks anew.
    async for chunk in cast("httpx.AsyncByteStream", response.stream):
        length += len(chunk)
        if length > limit:
            raise too_long(limit)
        chunks.append(chunk)
    return b"".join(chunks)


async def _read_compressed(response: httpx.Response, limit: int, *, may_be_raw: bool) -> bytes:
    """Read a body that is compressed, inflating no more of it than may be."""
    inflation = Inflation(limit, may_be_raw=may_be_raw)
    async for chunk in response.aiter_raw():
        inflation.add(chunk)
    return inflation.whole()


def is_json(content_type: str) -> bool:
    """Tell leniently whether a body may be JSON by its type.

    Args:
        content_type: The ``Content-Type`` header; empty when there is none.

    Returns:
        Whether it is JSON, some ``+json`` (RFC 6839, section 3.1), or a type that says nothing.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    return (
        media_type in JSON_TYPES
        or media_type.endswith("+json")
        # Twice the same, with other parameters.
        or ("," in media_type and all(map(is_json, content_type.split(","))))
    )
