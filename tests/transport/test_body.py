"""Response bodies are read in the forms in which services send them."""

import gzip
import zlib

import pytest

from app.errors import Code, SourceFailure
from tests.fakes.http_server import saying, serving, writing
from tests.sources.test_client import asking, exchange

BODY = b'["\xc3\xbc"]'
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY[:3]) + gzip.compress(BODY[3:])),
        ("x-gzip", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY)[2:-4]),
        ("identity", BODY),
        ("GZIP", gzip.compress(BYTE_ORDER_MARK + BODY)),
        ("deflate", zlib.compress(BYTE_ORDER_MARK + BODY)),
        ("identity", BYTE_ORDER_MARK + BODY),
    ],
)
async def test_a_body_is_decoded_in_each_supported_encoding(encoding: str, body: bytes) -> None:
    async with exchange(saying(body, headers={"Content-Encoding": encoding})) as (client, server):
        assert await client.get() == BODY.decode()

    assert server.requests[0].header("accept-encoding") == ["gzip"]


async def test_a_byte_order_mark_is_removed_only_at_the_start() -> None:
    async with exchange(saying(BYTE_ORDER_MARK + BODY + BYTE_ORDER_MARK)) as (client, _):
        assert await client.get() == (BODY + BYTE_ORDER_MARK).decode()


@pytest.mark.parametrize(
    "types",
    [
        ["application/json", "application/json"],
        ["application/json; charset=utf-8", "application/json; charset=utf-8"],
        ["application/json", "application/json; charset=utf-8"],
        ["application/hal+json", "application/json"],
        ['application/json; profile="a,b"'],
    ],
)
async def test_several_json_content_types_are_accepted(types: list[str]) -> None:
    assert await read_with(*(f"Content-Type: {one}" for one in types)) == "[]"


@pytest.mark.parametrize(
    "types",
    [["application/json", "text/html"], ["text/html", "text/html"], ["text/html,application/json"]],
)
async def test_a_body_is_malformed_when_one_of_its_content_types_is_not_json(
    types: list[str],
) -> None:
    result = await read_with(*(f"Content-Type: {one}" for one in types))

    assert isinstance(result, SourceFailure)
    assert result.code is Code.SOURCE_MALFORMED


async def test_other_headers_may_be_repeated_with_equal_values() -> None:
    result = await read_with("Retry-After: 7", "retry-after: 7", status="503 Down")
    assert isinstance(result, SourceFailure)
    assert result.retry_after == 7

    body = gzip.compress(b"[1]")
    twice = ["Content-Encoding: gzip", "Content-Encoding: gzip"]
    assert await read_with(*twice, body=body) == "[1]"


async def read_with(
    *lines: str, status: str = "200 OK", body: bytes = b"[]"
) -> str | SourceFailure | None:
    """Read a response that has some lines in its head."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""])
    async with serving(writing(head.encode() + body)) as server, asking(server.base_url) as client:
        return await client.get()
