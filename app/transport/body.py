"""Reading the body of an untrusted answer: decompress it within a bound, and decode JSON documents.

The limit counts bytes after decompression, whatever the headers claim. Decompression is done here
rather than by httpx, which inflates a chunk whole: sixteen kilobytes of a bomb become sixteen
megabytes, and sixteen gigabytes if compressed twice.

``read_document`` reads JSON of which only a few members matter: keys, addresses, tokens. The
readers of rows reject a whole text with a lone surrogate, a number of thousands of digits, or a
byte that is not UTF-8. A document of an issuer is read leniently instead, so that such a value
affects only its own member. The models of these members reject it there.
"""

import json
import zlib
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import cast

import httpx

from app.errors import MalformedError
from app.transport.transport import UpstreamBody, fields_of

_GZIP, _ZLIB, _RAW = 31, 15, -15
"""``wbits`` of zlib: the largest window, and the expected header (zlib manual, inflateInit2)."""

_GZIP_MAGIC = b"\x1f\x8b"
"""The first bytes of a gzip member (RFC 1952, section 2.3.1)."""

_PIECE = 4_096
"""Bytes inflated at a time; few, because zlib copies all that follows the end of a member."""

_MAX_MEMBERS = 10_000
"""The most members of a body. Each costs a few microseconds, even where it is empty."""


class Inflation:
    """Decompresses a body: gzip members in sequence (RFC 1952, section 2.2), or deflate."""

    def __init__(self, limit: int, *, may_be_raw: bool) -> None:
        """Begin a body.

        Args:
            limit: The most bytes of the decompressed body.
            may_be_raw: Whether deflate may come without the zlib header.
        """
        self._limit = limit
        self._may_be_raw = may_be_raw
        self._received = 0
        self._length = 0
        self._chunks: list[bytes] = []
        self._members = 0
        self._member: zlib._Decompress | None = None  # pyright: ignore[reportPrivateUsage] # what typeshed calls it
        self._is_gzip = False
        self._pending = b""

    @property
    def beginning(self) -> bytes:
        """The bytes decompressed so far, cut to the limit."""
        return b"".join(self._chunks)[: self._limit]

    def add(self, data: bytes) -> None:
        """Decompress the next bytes.

        Args:
            data: The bytes.

        Raises:
            MalformedError: The body is too long, or is not validly compressed.
        """
        self._received += len(data)
        if self._received > self._limit + self._limit // 8 + _PIECE:
            raise too_long(
                self._limit
            )  # incompressible data grows when compressed, but only a little
        try:
            for start in range(0, len(data), _PIECE):
                self._inflate(data[start : start + _PIECE])
        except zlib.error as error:
            raise MalformedError("the body is not compressed as its headers say") from error

    def whole(self) -> bytes:
        """Return the decompressed body, after the last ``add``.

        Returns:
            The whole body.

        Raises:
            MalformedError: The body is incomplete.
        """
        if self._member is not None or self._pending or not self._members:
            raise MalformedError("the compressed body ends too early")
        return b"".join(self._chunks)

    def _inflate(self, piece: bytes) -> None:
        """Decompress a few bytes, of one member or several."""
        while piece:
            if self._member is None:
                piece = self._begin_member(self._pending + piece)
            if self._member is None:
                return
            # One byte beyond the limit is enough to detect a body that is too long.
            self._chunks.append(self._member.decompress(piece, self._limit - self._length + 1))
            self._length += len(self._chunks[-1])
            if self._length > self._limit:
                raise too_long(self._limit)
            if not self._member.eof:
                return
            piece, self._member = self._member.unused_data, None

    def _begin_member(self, piece: bytes) -> bytes:
        """Begin a member when enough of it has come; return the bytes to decompress."""
        if self._members:
            piece = piece.lstrip(b"\0")  # some programs pad the last block of a file with them
        if len(piece) < len(_GZIP_MAGIC):
            self._pending = piece
            return b""
        self._pending = b""
        is_gzip = piece.startswith(_GZIP_MAGIC)
        if self._members and not (self._is_gzip and is_gzip):
            raise MalformedError("bytes follow the end of the compressed body")
        if self._members == _MAX_MEMBERS:
            raise MalformedError(f"the compressed body has more than {_MAX_MEMBERS:,} members")
        self._members += 1
        self._is_gzip = is_gzip
        is_raw = self._may_be_raw and not _has_zlib_header(piece)
        self._member = zlib.decompressobj(_GZIP if is_gzip else _RAW if is_raw else _ZLIB)
        return piece


def too_long(limit: int) -> MalformedError:
    """Make the error for a body that is too long.

    Args:
        limit: The most bytes of the body.

    Returns:
        The error.
    """
    return MalformedError(f"the body is longer than {limit} bytes")


def _has_zlib_header(piece: bytes) -> bool:
    """Return whether bytes begin with the zlib header (RFC 1950, section 2.2).

    Raw deflate never does: it would begin with a stored block whose unused bits are not zero.
    """
    return piece[0] & 15 == zlib.DEFLATED and int.from_bytes(piece[:2]) % 31 == 0


_UNCOMPRESSED = frozenset({"", "identity"})
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})

ACCEPT_ENCODING = "gzip"
"""The encoding that requests ask for.

``deflate`` is accepted too, with the zlib header and without. Requests do not ask for it, because
services disagree on which of the two it means (RFC 9110, section 8.4.1.2).
"""

JSON_TYPES = frozenset(
    {"", "application/json", "text/json", "text/plain", "application/octet-stream"}
)
"""Media types under which services send JSON, besides ``…+json``; empty without a header."""


async def read_body(
    response: httpx.Response, limit: int, headers: Mapping[str, str] | None = None
) -> bytes:
    """Read the body of a response, decompressed and without a byte order mark.

    Args:
        response: The response, its body not read yet.
        limit: The most bytes of the decompressed body.
        headers: What ``fields_of`` returns for the response, if that is known already.

    Returns:
        The body.

    Raises:
        MalformedError: Its type is not JSON, it is too long, or its encoding is unknown or wrong.
        httpx.HTTPError: It did not arrive.
    """
    if headers is None:
        headers = fields_of(response)
    if not is_json(headers.get("content-type", "")):
        raise MalformedError("the body is of a type that is not JSON")
    if response.is_stream_consumed:  # by a transport that reads the body itself
        if len(response.content) > limit:
            raise too_long(limit)
        return response.content.removeprefix(BOM_UTF8)
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in _UNCOMPRESSED and (arrived := _arrived(response)) is not None:
        if len(arrived) > limit:
            raise too_long(limit)
        body = arrived
    elif encoding in _COMPRESSED:
        body = await _read_compressed(response, limit, may_be_raw=encoding == "deflate")
    elif encoding in _UNCOMPRESSED:
        body = await _read_uncompressed(response, limit)
    else:
        raise MalformedError(f"content encoding {encoding[:40]!r}: expected gzip, deflate or none")
    return body.removeprefix(BOM_UTF8)  # some write it, against RFC 8259, section 8.1


def _arrived(response: httpx.Response) -> bytes | None:
    """Return the whole body if it has arrived, and nobody has read of it."""
    stream = response.stream
    return stream.arrived() if isinstance(stream, UpstreamBody) else None


async def _read_uncompressed(response: httpx.Response, limit: int) -> bytes:
    """Read a body that is not compressed, up to the limit."""
    chunks: list[bytes] = []
    length = 0
    # Not `aiter_raw`, which would split the chunks again.
    async for chunk in cast("httpx.AsyncByteStream", response.stream):
        length += len(chunk)
        if length > limit:
            raise too_long(limit)
        chunks.append(chunk)
    return b"".join(chunks)


async def _read_compressed(response: httpx.Response, limit: int, *, may_be_raw: bool) -> bytes:
    """Read a compressed body; decompress no more than the limit."""
    inflation = Inflation(limit, may_be_raw=may_be_raw)
    async for chunk in response.aiter_raw():
        inflation.add(chunk)
    return inflation.whole()


def is_json(content_type: str) -> bool:
    """Return leniently whether a body may be JSON, by its media type.

    Args:
        content_type: The ``Content-Type`` header; empty when there is none.

    Returns:
        Whether it is JSON, a type with ``+json`` (RFC 6839, section 3.1), or a type that says
        nothing about the content.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    return (
        media_type in JSON_TYPES
        or media_type.endswith("+json")
        # The header came twice, with different parameters.
        or ("," in media_type and all(map(is_json, content_type.split(","))))
    )


def read_document(body: bytes) -> Mapping[str, object]:
    """Read a JSON object that a foreign server wrote.

    Args:
        body: The document.

    Returns:
        Its members. Numbers are floats; a number too large for a float is infinite. Of two members
        with one name, the last one counts. A byte that is not UTF-8 becomes a lone surrogate, which
        no model accepts as text.

    Raises:
        MalformedError: It is not JSON, not an object, or nested too deeply.
    """
    try:
        # `parse_int=float`, because Python refuses to make an `int` of more than 4,300 digits.
        document: object = json.loads(body.decode("utf-8-sig", "surrogateescape"), parse_int=float)
    except (ValueError, RecursionError) as error:
        raise MalformedError("Invalid JSON") from error
    if not isinstance(document, dict):
        raise MalformedError("all of it: Input should be an object")
    return cast("dict[str, object]", document)  # JSON has no other names than strings
