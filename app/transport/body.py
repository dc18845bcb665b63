"""Reading the body of an answer that is not trusted: inflated, bounded, decoded.

Inflating a compressed body of which nothing is trusted: no more comes out than may be.

Reading the body of an answer that is not trusted: no longer than it may be, whatever it claims.

Decompression is done here rather than by httpx, which inflates a chunk whole: sixteen kilobytes
of a bomb are sixteen megabytes, and twice compressed sixteen gigabytes.

Reading a JSON document of which only a few members matter: keys, addresses, tokens.

The readers of rows refuse a text as a whole that has half of a surrogate pair, a number of
thousands of digits or a byte that is not UTF-8 in it. A document of an issuer is read leniently
instead, so that such a value spoils nothing but the member in which it stands. The models that look
at the members refuse it there.
"""

import json
import zlib
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import cast

import httpx

from app.errors import MalformedError
from app.transport.transport import fields_of

_GZIP, _ZLIB, _RAW = 31, 15, -15
"""For zlib: the largest window, and which header is expected (zlib manual, inflateInit2)."""

_GZIP_MAGIC = b"\x1f\x8b"
"""What a member begins with (RFC 1952, section 2.3.1)."""

_PIECE = 4_096
"""How many bytes are inflated at a time, since zlib copies what follows the end of a member."""

_MAX_MEMBERS = 10_000
"""The most members of a body. Each costs a few microseconds, even where it is empty."""


class Inflation:
    """Inflates a body: members of gzip one after the other (RFC 1952, section 2.2), or deflate."""

    def __init__(self, limit: int, *, may_be_raw: bool) -> None:
        """Begin.

        Args:
            limit: The most bytes that may come out.
            may_be_raw: Whether deflate may come without the header of zlib.
        """
        self._limit = limit
        self._may_be_raw = may_be_raw
        self._taken = 0
        self._length = 0
        self._chunks: list[bytes] = []
        self._members = 0
        self._member: zlib._Decompress | None = None  # pyright: ignore[reportPrivateUsage] # what typeshed calls it
        self._is_gzip = False
        self._held = b""

    @property
    def beginning(self) -> bytes:
        """What came out so far, cut off at the limit."""
        return b"".join(self._chunks)[: self._limit]

    def add(self, data: bytes) -> None:
        """Inflate the next bytes.

        Args:
            data: The bytes.

        Raises:
            MalformedError: The body is too long, or not compressed.
        """
        self._taken += len(data)
        if self._taken > self._limit + self._limit // 8 + _PIECE:
            raise too_long(self._limit)  # what cannot be compressed grows, but only a little
        try:
            for start in range(0, len(data), _PIECE):
                self._inflate(data[start : start + _PIECE])
        except zlib.error as error:
            raise MalformedError("the body is not compressed as it says") from error

    def whole(self) -> bytes:
        """Give what came out.

        Returns:
            The whole body.

        Raises:
            MalformedError: It is not all there.
        """
        if self._member is not None or self._held or not self._members:
            raise MalformedError("the compressed body ends too early")
        return b"".join(self._chunks)

    def _inflate(self, piece: bytes) -> None:
        """Inflate a few bytes, of one member or several."""
        while piece:
            if self._member is None:
                piece = self._begin(self._held + piece)
            if self._member is None:
                return
            # One more byte than may be tells whether there is more.
            self._chunks.append(self._member.decompress(piece, self._limit - self._length + 1))
            self._length += len(self._chunks[-1])
            if self._length > self._limit:
                raise too_long(self._limit)
            if not self._member.eof:
                return
            piece, self._member = self._member.unused_data, None

    def _begin(self, piece: bytes) -> bytes:
        """Begin a member, where enough of it has come; gives what is to be inflated."""
        if self._members:
            piece = piece.lstrip(b"\0")  # some fill the last block of a file with them
        if len(piece) < len(_GZIP_MAGIC):
            self._held = piece
            return b""
        self._held = b""
        is_gzip = piece.startswith(_GZIP_MAGIC)
        if self._members and not (self._is_gzip and is_gzip):
            raise MalformedError("something follows the end of the compressed body")
        if self._members == _MAX_MEMBERS:
            raise MalformedError(f"the compressed body has more than {_MAX_MEMBERS:,} members")
        self._members += 1
        self._is_gzip = is_gzip
        is_raw = self._may_be_raw and not _has_zlib_header(piece)
        self._member = zlib.decompressobj(_GZIP if is_gzip else _RAW if is_raw else _ZLIB)
        return piece


def too_long(limit: int) -> MalformedError:
    """Say that a body is too long.

    Args:
        limit: How many bytes it may have.

    Returns:
        The error.
    """
    return MalformedError(f"the body is longer than {limit} bytes")


def _has_zlib_header(piece: bytes) -> bool:
    """Tell whether bytes begin with the header of zlib (RFC 1950, section 2.2).

    Deflate without a header never does: it would begin with a block that is stored as it is, whose
    unused bits are not zero.
    """
    return piece[0] & 15 == zlib.DEFLATED and int.from_bytes(piece[:2]) % 31 == 0


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


def read_document(body: bytes) -> Mapping[str, object]:
    """Read a JSON object that somebody else wrote.

    Args:
        body: The document.

    Returns:
        Its members. Numbers are floats, and a number that is too large for one is infinite; of two
        members with one name the last one counts. A byte that is not UTF-8 becomes a lone
        surrogate, which no model takes for text.

    Raises:
        MalformedError: It is no JSON, no object, or nested too deeply.
    """
    try:
        # Whole numbers too: Python refuses to make an `int` of more than 4,300 digits.
        document: object = json.loads(body.decode("utf-8-sig", "surrogateescape"), parse_int=float)
    except (ValueError, RecursionError) as error:
        raise MalformedError("Invalid JSON") from error
    if not isinstance(document, dict):
        raise MalformedError("all of it: Input should be an object")
    return cast("dict[str, object]", document)  # names are texts in JSON
