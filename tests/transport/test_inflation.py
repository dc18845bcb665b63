"""Compressed bodies are inflated in each valid form, up to a limit."""

import gzip
import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import MalformedError
from app.transport.body import Inflation

LIMIT = 100_000
BODY = b'[{"id": "a"}]'


def raw(data: bytes) -> bytes:
    """Compress without a header."""
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


def inflated(*pieces: bytes, limit: int = LIMIT, may_be_raw: bool = True) -> bytes:
    """Inflate a body that comes in pieces."""
    inflation = Inflation(limit, may_be_raw=may_be_raw)
    for piece in pieces:
        inflation.add(piece)
    return inflation.whole()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut data at some places."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


PLACES = st.lists(st.integers(0, 10_000), max_size=6)


@example(parts=[b"[", b"", b"1]"], zeros=7, places=[1, 19, 20, 21])
@example(parts=[b"x" * 9_000, b"y" * 9_000], zeros=0, places=[])
@given(
    parts=st.lists(st.binary(max_size=200), min_size=1, max_size=5),
    zeros=st.integers(0, 20),
    places=PLACES,
)
def test_several_gzip_members_are_one_body_however_they_are_cut(
    parts: list[bytes], zeros: int, places: list[int]
) -> None:
    data = b"".join(map(gzip.compress, parts)) + bytes(zeros)

    assert inflated(*cut(data, places)) == b"".join(parts) == gzip.decompress(data)


@example(body=b"", level=0, places=[1])
@example(body=b"x" * 70_000, level=0, places=[1])
@given(body=st.binary(max_size=300), level=st.integers(0, 9), places=PLACES)
def test_deflate_is_read_with_and_without_a_zlib_header(
    body: bytes, level: int, places: list[int]
) -> None:
    made = zlib.compressobj(level, wbits=-15)

    assert inflated(*cut(zlib.compress(body, level), places)) == body
    assert inflated(*cut(made.compress(body) + made.flush(), places)) == body


def test_raw_data_is_malformed_unless_the_encoding_is_deflate() -> None:
    with pytest.raises(MalformedError, match="not compressed as its headers say"):
        inflated(raw(BODY), may_be_raw=False)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\x1f", gzip.compress(BODY)[:-1], zlib.compress(BODY)[:-1], raw(BODY)[:-1]),
        gzip.compress(BODY) + gzip.compress(BODY)[:9],
        gzip.compress(BODY) + b"\x1f",
    ],
)
def test_a_truncated_body_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError, match="ends too early"):
        inflated(data)


@pytest.mark.parametrize("first", [gzip.compress(BODY), zlib.compress(BODY), raw(BODY)])
@pytest.mark.parametrize("then", [b"[]", zlib.compress(BODY), BODY])
def test_other_bytes_behind_a_compressed_body_are_malformed(first: bytes, then: bytes) -> None:
    with pytest.raises(MalformedError, match="bytes follow the end"):
        inflated(first + then)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, raw])
def test_a_body_longer_than_the_limit_is_malformed(compress: Callable[[bytes], bytes]) -> None:
    assert inflated(compress(b"x" * 1_000), limit=1_000) == b"x" * 1_000
    with pytest.raises(MalformedError, match="longer than 1000 bytes"):
        inflated(compress(b"x" * 1_001), limit=1_000)
    with pytest.raises(MalformedError, match="longer than 1000 bytes"):
        inflated(compress(b"x" * 50_000_000), limit=1_000)


def test_the_limit_counts_all_members_together() -> None:
    with pytest.raises(MalformedError, match="longer than 1000 bytes"):
        inflated(gzip.compress(b"x" * 600) + gzip.compress(b"y" * 600), limit=1_000)


def test_the_limit_also_counts_the_compressed_bytes() -> None:
    empty = b"\x00\x00\x00\xff\xff"  # an empty stored block
    assert inflated(b"\x78\x01", empty * 100, zlib.compress(b"")[2:], limit=1_000) == b""
    with pytest.raises(MalformedError, match="longer than 1000 bytes"):
        inflated(b"\x78\x01", empty * 10_000, limit=1_000)


def test_a_body_has_a_bounded_number_of_members() -> None:
    assert inflated(gzip.compress(b"") * 10_000, limit=1_000_000) == b""
    with pytest.raises(MalformedError, match="more than 10,000 members"):
        inflated(gzip.compress(b"") * 10_001, limit=1_000_000)


def test_the_beginning_of_a_body_over_the_limit_is_kept() -> None:
    inflation = Inflation(5, may_be_raw=False)
    with pytest.raises(MalformedError):
        inflation.add(gzip.compress(BODY))

    assert inflation.beginning == BODY[:5]
