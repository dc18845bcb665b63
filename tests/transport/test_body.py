"""Reading the bodies of answers as services write them."""

import gzip
import zlib

import pytest

from app.errors import Code, SourceFailure
from tests.fakes.http_server import saying, serving, writing
from tests.sources.test_client import asking, exchange

BODY = b'["\xc3\xbc"]'
MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY[:3]) + gzip.compress(BODY[3:])),
        ("x-gzip", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY)[2:-4]),
        ("identity", BODY),
        ("GZIP", gzip.compress(MARK + BODY)),
        ("deflate", zlib.compress(MARK + BODY)),
        ("identity", MARK + BODY),
    ],
)
async def test_a_body_is_understood_in_every_encoding_that_services_use(
    encoding: str, body: bytes
) -> None:
    async with exchange(saying(body, headers={"Content-Encoding": encoding})) as (asked, server):
        assert await asked.get() == BODY.decode()

    assert server.requests[0].header("accept-encoding") == ["gzip"]


async def test_a_mark_is_left_out_at_the_beginning_alone() -> None:
    async with exchange(saying(MARK + BODY + MARK)) as (asked, _):
        assert await asked.get() == (BODY + MARK).decode()


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
async def test_a_type_may_be_said_twice(types: list[str]) -> None:
    assert await said(*(f"Content-Type: {one}" for one in types)) == "[]"


@pytest.mark.parametrize(
    "types",
    [["application/json", "text/html"], ["text/html", "text/html"], ["text/html,application/json"]],
)
async def test_a_type_that_is_not_json_is_not_even_when_it_is_said_twice(types: list[str]) -> None:
    told = await said(*(f"Content-Type: {one}" for one in types))

    assert isinstance(told, SourceFailure)
    assert told.code is Code.SOURCE_MALFORMED


async def test_other_headers_may_be_there_twice_alike() -> None:
    told = await said("Retry-After: 7", "retry-after: 7", status="503 Down")
    assert isinstance(told, SourceFailure)
    assert told.retry_after == 7

    body = gzip.compress(b"[1]")
    twice = ["Content-Encoding: gzip", "Content-Encoding: gzip"]
    assert await said(*twice, body=body) == "[1]"


async def said(
    *lines: str, status: str = "200 OK", body: bytes = b"[]"
) -> str | SourceFailure | None:
    """Have an answer read that has some lines in its head."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""])
    async with serving(writing(head.encode() + body)) as server, asking(server.base_url) as asked:
        return await asked.get()
