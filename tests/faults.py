"""How a source can fail: what it does instead of answering by its contract.

Every body that a source should not have sent holds ``SECRET``, which clients must never see.
"""

import gzip
from collections.abc import Callable, Iterable
from datetime import timedelta
from email.utils import format_datetime
from functools import cache
from http import HTTPStatus

import orjson

from tests.fakes import Row, user_id
from tests.fakes.http_server import writing
from tests.fault_server import Fault, FaultExchange

SECRET = "secret detail 4711"

HTML = {"Content-Type": "text/html"}

BIG = 50_000_000
"""How long a body is that is too long, in bytes."""

CHUNK = b" " * 65_536

REASONS = {
    302: "Found",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

Change = Callable[[list[Row]], Iterable[object]]
"""Makes what is sent as rows of the right ones."""


# Slow, or silent.


def late(seconds: float) -> Fault:
    """Answer rightly, but later."""

    async def fault(exchange: FaultExchange) -> None:
        await exchange.wait(seconds)
        await exchange.answer()

    return fault


async def hanging_after_head(exchange: FaultExchange) -> None:
    """Begin an answer, and never send its body."""
    exchange.head(headers={"Content-Length": "1000"})
    await exchange.writer.drain()
    await exchange.wait()


async def dripping(exchange: FaultExchange) -> None:
    """Send the right answer a byte at a time: no single read is slow, but the whole takes long."""
    await exchange.drip(exchange.right, 0.1)


# Gone.


closing = writing(b"")
"""Close the connection without an answer."""


async def resetting(exchange: FaultExchange) -> None:
    """Tear the connection down without an answer."""
    exchange.reset()


async def resetting_mid_body(exchange: FaultExchange) -> None:
    """Tear the connection down in the middle of the right answer."""
    await _half(exchange)
    exchange.reset()


async def closing_mid_body(exchange: FaultExchange) -> None:
    """Close the connection in the middle of the right answer."""
    await _half(exchange)
    exchange.close()


async def closing_mid_chunk(exchange: FaultExchange) -> None:
    """Close the connection in the middle of a chunk of the right answer."""
    body = exchange.right
    exchange.head(headers={"Transfer-Encoding": "chunked"})
    await exchange.write(b"%x\r\n%s" % (len(body), body[: len(body) // 2]))
    exchange.close()


async def ending_with_the_connection(exchange: FaultExchange) -> None:
    """Answer rightly, and tell by closing that the answer ends there (RFC 9112, section 6.3)."""
    exchange.head(headers={"Connection": "close"})
    await exchange.write(exchange.right)
    exchange.close()


async def resetting_before_the_end(exchange: FaultExchange) -> None:
    """Begin to answer so, and tear the connection down in the middle of it."""
    body = exchange.right
    exchange.head(headers={"Connection": "close"})
    await exchange.write(b" " * 200_000 + body[: len(body) // 2])
    exchange.reset()


async def _half(exchange: FaultExchange) -> None:
    """Send half of the right answer."""
    body = exchange.right
    exchange.head(headers={"Content-Length": str(len(body))})
    await exchange.write(body[: len(body) // 2])


# Another status.


def status(code: int, retry_after: str | None = None) -> Fault:
    """Answer with a status, and perhaps with when to come back."""

    async def fault(exchange: FaultExchange) -> None:
        headers = {"Content-Type": "text/html"}
        if retry_after is not None:
            headers["Retry-After"] = retry_after
        body = f"<h1>{SECRET}</h1>".encode()
        await exchange.say(body, f"{code} {REASONS.get(code, 'Odd')}", headers)

    return fault


def telling(code: int = 200, **headers: str) -> Fault:
    """Answer with a status, rightly where it is 200, and some headers, with ``_`` for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def fault(exchange: FaultExchange) -> None:
        good = code == HTTPStatus.OK
        body = exchange.right if good else f"<h1>{SECRET}</h1>".encode()
        await exchange.say(body, f"{code} {REASONS.get(code, 'Odd')}", named)

    return fault


def busy_until(seconds: float) -> Fault:
    """Answer 503, and the date at which to come back."""

    async def fault(exchange: FaultExchange) -> None:
        date = exchange.server.clock.now() + timedelta(seconds=seconds)
        await status(503, format_datetime(date, usegmt=True))(exchange)

    return fault


async def redirecting_to_itself(exchange: FaultExchange) -> None:
    """Redirect to the very address that was asked."""
    await _redirect(exchange, exchange.request.target)


async def redirecting_elsewhere(exchange: FaultExchange) -> None:
    """Redirect to another host, where the same server listens."""
    port = exchange.server.base_url.rpartition(":")[2]
    await _redirect(exchange, f"http://localhost:{port}{exchange.request.target}")


async def _redirect(exchange: FaultExchange, address: str) -> None:
    """Redirect to an address."""
    await exchange.say(SECRET.encode(), "302 Found", {"Location": address})


# Another body.


def as_type(content_type: str) -> Fault:
    """Answer rightly, but say that it is of another type."""

    async def fault(exchange: FaultExchange) -> None:
        body = exchange.right
        await exchange.say(body, headers={"Content-Type": content_type})

    return fault


async def truncated(exchange: FaultExchange) -> None:
    """Answer with the first half of the right JSON, as if it were all."""
    body = exchange.right
    await exchange.say(body[: len(body) // 2])


not_http = writing(f"220 {SECRET} ESMTP\r\n".encode())
"""Answer with bytes that are no HTTP."""


async def long_header(exchange: FaultExchange) -> None:
    """Answer rightly, but for a header of a megabyte."""
    await exchange.say(exchange.right, headers={"X-Long": "x" * 1_000_000})


async def too_long(exchange: FaultExchange) -> None:
    """Answer with what would be right, were it not behind 50 MB of white space."""
    body = exchange.right
    exchange.head(headers={"Content-Length": str(BIG + len(body))})
    await _write_big(exchange)
    await exchange.write(body)


async def too_long_in_chunks(exchange: FaultExchange) -> None:
    """Do the same without saying before how long it is going to be."""
    body = exchange.right
    exchange.head(headers={"Transfer-Encoding": "chunked"})
    for _ in range(BIG // len(CHUNK)):
        await exchange.write(b"%x\r\n%s\r\n" % (len(CHUNK), CHUNK))
    await exchange.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))


async def _write_big(exchange: FaultExchange) -> None:
    """Send 50 MB of white space."""
    for _ in range(BIG // len(CHUNK)):
        await exchange.write(CHUNK)
    await exchange.write(CHUNK[: BIG % len(CHUNK)])


# Compressed.


async def compressed(exchange: FaultExchange) -> None:
    """Answer rightly, compressed."""
    body = gzip.compress(exchange.right)
    await exchange.say(body, headers={"Content-Encoding": "gzip"})


async def bomb(exchange: FaultExchange) -> None:
    """Answer with what would be right, were it not behind 50 MB of compressed white space."""
    body = _white_space() + gzip.compress(exchange.right)
    await exchange.say(body, headers={"Content-Encoding": "gzip"})


async def bomb_in_bomb(exchange: FaultExchange) -> None:
    """Answer with a bomb that is compressed once more, and say so."""
    await exchange.say(_white_space(2), headers={"Content-Encoding": "gzip, gzip"})


async def bomb_in_disguise(exchange: FaultExchange) -> None:
    """Answer with a bomb that is compressed once more, and say that it is compressed once."""
    await exchange.say(_white_space(2), headers={"Content-Encoding": "gzip"})


async def compressed_and_more(exchange: FaultExchange) -> None:
    """Answer rightly, compressed, and go on behind its end for 50 MB."""
    body = gzip.compress(exchange.right)
    length = str(len(body) + BIG)
    exchange.head(headers={"Content-Encoding": "gzip", "Content-Length": length})
    await exchange.write(body)
    await _write_big(exchange)


async def not_compressed(exchange: FaultExchange) -> None:
    """Answer rightly, but say that it is compressed."""
    await exchange.say(exchange.right, headers={"Content-Encoding": "gzip"})


async def half_compressed(exchange: FaultExchange) -> None:
    """Answer with the first half of the right answer, compressed."""
    body = gzip.compress(exchange.right)
    await exchange.say(body[: len(body) // 2], headers={"Content-Encoding": "gzip"})


async def oddly_encoded(exchange: FaultExchange) -> None:
    """Answer rightly, but say that it is encoded in a way that nobody knows."""
    await exchange.say(exchange.right, headers={"Content-Encoding": "x-rot13"})


@cache
def _white_space(times: int = 1) -> bytes:
    """Give 50 MB of white space, compressed so many times. Costs enough to be kept."""
    body = _white_space(times - 1) if times > 1 else b" " * BIG
    return gzip.compress(body, compresslevel=1)


def prepare() -> None:
    """Make what takes long to make, so that the first fault that needs it is no later for it."""
    _white_space(2)


# Other rows.


def rows(change: Change) -> Fault:
    """Answer with other rows than the right ones."""

    async def fault(exchange: FaultExchange) -> None:
        await exchange.say(orjson.dumps(list(change(exchange.rows))))

    return fault


def wrong_types(found: list[Row]) -> Iterable[object]:
    """Give each row values of other types, but for its key."""
    for row in found:
        key, *names = row
        yield {key: row[key], **{name: [SECRET] for name in names}}


def keys_alone(found: list[Row]) -> Iterable[object]:
    """Give each row nothing but its key."""
    for row in found:
        key, *_ = row
        yield {key: row[key], "note": SECRET}


def missing_keys(found: list[Row]) -> Iterable[object]:
    """Take each row's key away."""
    for row in found:
        _, *names = row
        yield {name: row[name] for name in names}


def duplicate(found: list[Row]) -> Iterable[object]:
    """Give each row, and behind it others with the same key that say something else."""
    for row in found:
        key, *names = row
        yield row
        yield {**row, **{name: SECRET for name in names if isinstance(row[name], str)}}
        yield {key: row[key]}


def extra(found: list[Row]) -> Iterable[object]:
    """Give each row fields of its own, and rows that nobody asked for."""
    for row in found:
        key, *_ = row
        yield {**row, key: user_id(999_999), "note": SECRET}
        yield {**row, "note": {"text": SECRET}}
        yield {**row, key: "nobody"}


def reordered(found: list[Row]) -> Iterable[object]:
    """Give the rows in the other order."""
    return reversed(found)


# Now and then.


def first(calls: int, fault: Fault) -> Fault:
    """Fail the first calls, and answer all further ones rightly."""

    async def then(exchange: FaultExchange) -> None:
        await (fault(exchange) if exchange.number <= calls else exchange.answer())

    return then


def share(percent: int, fault: Fault) -> Fault:
    """Fail some of a hundred calls, evenly spread, the first of them first."""

    async def now_and_then(exchange: FaultExchange) -> None:
        before, now = (
            -(-number * percent // 100) for number in (exchange.number - 1, exchange.number)
        )
        await (fault(exchange) if now > before else exchange.answer())

    return now_and_then


def poisoned(user: str, fault: Fault) -> Fault:
    """Fail every call that asks for one particular user, whoever else it asks for."""

    async def taste(exchange: FaultExchange) -> None:
        await (fault(exchange) if user in exchange.request.keys else exchange.answer())

    return taste
