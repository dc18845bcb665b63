"""Inflating a compressed body of which nothing is trusted: no more comes out than may be."""

import zlib

from app.errors import MalformedError

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
