"""Reading the body of an answer that is not trusted: no longer than it may be, whatever it claims.

Decompression is done here rather than by httpx, which inflates a chunk whole: sixteen kilobytes
of a bomb are sixteen megabytes, and twice compressed sixteen gigabytes.
"""

import zlib
from typing import cast

import httpx

from app.errors import MalformedError
from app.sources.transport import fields_of

GZIP_OR_ZLIB = 47
"""For zlib: the largest window, and either of the two headers (zlib manual, inflateInit2)."""

_PLAIN = frozenset({"", "identity"})
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})

ACCEPT_ENCODING = "gzip, deflate"
"""What ``read_body`` understands."""


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
            raise _too_long(limit)
        return response.content
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in _COMPRESSED:
        return await _read_compressed(response, limit)
    if encoding not in _PLAIN:
        raise MalformedError(f"content encoding {encoding[:40]!r}: expected gzip, deflate or none")
    chunks: list[bytes] = []
    length = 0
    # `aiter_raw` would cut the chunks anew.
    async for chunk in cast("httpx.AsyncByteStream", response.stream):
        length += len(chunk)
        if length > limit:
            raise _too_long(limit)
        chunks.append(chunk)
    return b"".join(chunks)


async def _read_compressed(response: httpx.Response, limit: int) -> bytes:
    """Read a body that is compressed, inflating no more of it than may be."""
    inflate = zlib.decompressobj(GZIP_OR_ZLIB)
    chunks: list[bytes] = []
    length = 0
    try:
        async for chunk in response.aiter_raw():
            # One more byte than may be tells whether there is more; what is left over stays put.
            chunks.append(inflate.decompress(chunk, limit - length + 1))
            length += len(chunks[-1])
            if length > limit or inflate.unused_data:
                raise _too_long(limit)
    except zlib.error as error:
        raise MalformedError("the body is not compressed as it says") from error
    if not inflate.eof:
        raise MalformedError("the compressed body ends too early")
    return b"".join(chunks)


def _too_long(limit: int) -> MalformedError:
    """Say that a body is too long."""
    return MalformedError(f"the body is longer than {limit} bytes")


def is_json(content_type: str) -> bool:
    """Tell leniently whether a body may be JSON by its type.

    Args:
        content_type: The ``Content-Type`` header; empty when there is none.

    Returns:
        Whether it is JSON, some ``+json`` (RFC 6839, section 3.1), or a type that says nothing.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type in JSON_TYPES or media_type.endswith("+json")
