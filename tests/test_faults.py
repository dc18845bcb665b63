"""Every fault of every source over HTTP: the fields of that source fail, and nothing else."""

import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time

import pytest

from tests import faults
from tests.conftest import GatewayReply
from tests.fakes import user_id
from tests.fakes.http_server import hanging, saying
from tests.fault_server import Fault
from tests.faults import SECRET
from tests.outage import Outage, outage
from tests.truth import ALL, FIELDS, seen
from tests.ways import ALSO_BY_FILE, Ways

TIMEOUT = "SOURCE_TIMEOUT"
UNAVAILABLE = "SOURCE_UNAVAILABLE"
REJECTED = "SOURCE_REJECTED"
MALFORMED = "SOURCE_MALFORMED"
OVERLOADED = "SOURCE_OVERLOADED"

ONCE, RETRIED, SPLIT = 1, 2, 3
"""The number of calls for a fault: one, one and a retry, or one and its two halves.

If the source asks for a later request, the request is retried as long as there is time: each
second, or after waits that are doubled up to one second if ``Retry-After`` is missing or invalid.
"""

BACKOFF = 0.025
"""Seconds before a retry: half of the first 50 ms, because the random number here is one half."""

BUDGET = 5.0
"""Seconds that a request may take."""

NAMES = ("profile", "billing", "activity")

CPU_LIMIT = 5.0
"""CPU seconds for a body that takes many times as long if it is read badly.

The limit is generous, because CPU time is less exact on a shared machine.
"""

USERS = (3, 1, 2)


@pytest.fixture(params=ALSO_BY_FILE, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in these ways."""
    ways: Ways = request.param
    return ways


@dataclass(frozen=True)
class FaultCase:
    """A fault and its expected result.

    Attributes:
        name: Its name.
        fault: What the source does.
        code: The code of its fields' errors. ``None`` if no field fails.
        calls: The number of calls for three users.
        seconds: The duration of the request.
        rows: Whether the fault is in rows. A page has no rows.
        absent: Whether the source then has no values.
    """

    name: str
    fault: Fault
    code: str | None = None
    calls: int = ONCE
    seconds: float = 0.0
    rows: bool = False
    absent: bool = False


CASES = (
    FaultCase("is 500 ms late", faults.late(0.5), seconds=0.5),
    FaultCase("hangs", hanging, TIMEOUT, seconds=2.0),
    FaultCase("hangs after its head", faults.hanging_after_head, TIMEOUT, seconds=2.0),
    FaultCase("sends a byte at a time", faults.dripping, TIMEOUT, seconds=2.0),
    FaultCase("closes", faults.closing, UNAVAILABLE, RETRIED, BACKOFF),
    FaultCase("resets", faults.resetting, UNAVAILABLE, RETRIED, BACKOFF),
    FaultCase("resets mid-body", faults.resetting_mid_body, UNAVAILABLE, RETRIED, BACKOFF),
    FaultCase("closes mid-body", faults.closing_mid_body, UNAVAILABLE, RETRIED, BACKOFF),
    FaultCase("closes mid-chunk", faults.closing_mid_chunk, UNAVAILABLE, RETRIED, BACKOFF),
    FaultCase("ends its body by closing", faults.ending_with_the_connection),
    FaultCase(
        "resets in a body without a length", faults.resetting_before_the_end, MALFORMED, SPLIT
    ),
    FaultCase("500", faults.status(500), UNAVAILABLE, SPLIT),
    FaultCase("502", faults.status(502), UNAVAILABLE, RETRIED, BACKOFF),
    FaultCase("503", faults.status(503), UNAVAILABLE, RETRIED, BACKOFF),
    FaultCase("504", faults.status(504), UNAVAILABLE, RETRIED, BACKOFF),
    FaultCase("502, retry after 1 s", faults.status(502, "1"), UNAVAILABLE, 5, 4.0),
    FaultCase("503, retry after 1 s", faults.status(503, "1"), UNAVAILABLE, 5, 4.0),
    FaultCase("504, retry after 1 s", faults.status(504, "1"), UNAVAILABLE, 5, 4.0),
    FaultCase("503, retry after 0 s", faults.status(503, "0"), UNAVAILABLE, 9, 4.55),
    FaultCase("503, retry after a date", faults.busy_until(3), UNAVAILABLE, 2, 3.0),
    FaultCase("503, retry after a past date", faults.busy_until(-60), UNAVAILABLE, 9, 4.55),
    FaultCase("503, retry after an hour", faults.status(503, "3600"), UNAVAILABLE, ONCE),
    FaultCase("503, retry after a text", faults.status(503, SECRET), UNAVAILABLE, RETRIED, BACKOFF),
    FaultCase(
        "503, retry after an invalid date",
        faults.status(503, f"Mon, 01 Jan {'9' * 30} 00:00:00 GMT"),
        UNAVAILABLE,
        RETRIED,
        BACKOFF,
    ),
    FaultCase("429", faults.status(429), OVERLOADED, 11, 4.9125),
    FaultCase("429, retry after 1 s", faults.status(429, "1"), OVERLOADED, 5, 4.0),
    FaultCase("429, retry after an hour", faults.status(429, "3600"), OVERLOADED, ONCE),
    FaultCase("401", faults.status(401), REJECTED),
    FaultCase("403", faults.status(403), REJECTED),
    FaultCase("404", faults.status(404), REJECTED, SPLIT),
    FaultCase("redirects to itself", faults.redirecting_to_itself, MALFORMED),
    FaultCase("redirects elsewhere", faults.redirecting_elsewhere, MALFORMED),
    FaultCase("is HTML", saying(SECRET.encode(), headers=faults.HTML), MALFORMED, SPLIT),
    FaultCase("is JSON with the type HTML", faults.as_type("text/html"), MALFORMED, SPLIT),
    FaultCase(
        "is JSON with another JSON type", faults.as_type("application/hal+json; charset=utf-8")
    ),
    FaultCase("is empty", saying(b""), MALFORMED, SPLIT),
    FaultCase("is truncated", faults.truncated, MALFORMED, SPLIT),
    FaultCase("is null", saying(b"null"), MALFORMED, SPLIT),
    FaultCase("is not a list", saying(b'{"note": "%s"}' % SECRET.encode()), MALFORMED, SPLIT),
    FaultCase("is not UTF-8", saying(b"\xff\xfe[]"), MALFORMED, SPLIT),
    FaultCase("is deeply nested", saying(b"[" * 100_000), MALFORMED, SPLIT),
    FaultCase("is a huge number", saying(b"9" * 100_000), MALFORMED, SPLIT),
    FaultCase("has a row that is not UTF-8", saying(b'["\xff\xfe"]'), MALFORMED),
    FaultCase("has a deep row", saying(b"[" * 100_000 + b"]" * 100_000), MALFORMED),
    FaultCase("has a huge number for a row", saying(b"[" + b"9" * 100_000 + b"]"), MALFORMED),
    FaultCase("is 50 MB", faults.too_long, MALFORMED, SPLIT),
    FaultCase("is 50 MB in chunks", faults.too_long_in_chunks, MALFORMED, SPLIT),
    FaultCase("is not HTTP", faults.not_http, MALFORMED),
    FaultCase("has a header of 1 MB", faults.long_header, MALFORMED),
    FaultCase("is compressed", faults.compressed),
    FaultCase("is a compression bomb", faults.bomb, MALFORMED, SPLIT),
    FaultCase("is compressed twice", faults.bomb_in_bomb, MALFORMED, SPLIT),
    FaultCase("is compressed twice and declared once", faults.bomb_in_disguise, MALFORMED, SPLIT),
    FaultCase("has bytes after its compressed body", faults.compressed_and_more, MALFORMED, SPLIT),
    FaultCase("is not compressed as its headers say", faults.not_compressed, MALFORMED, SPLIT),
    FaultCase("is compressed and truncated", faults.half_compressed, MALFORMED, SPLIT),
    FaultCase("has an unknown encoding", faults.oddly_encoded, MALFORMED, SPLIT),
    FaultCase("has wrong types", faults.rows(faults.wrong_types), MALFORMED, rows=True),
    FaultCase("has only keys", faults.rows(faults.keys_alone), absent=True, rows=True),
    FaultCase("has missing keys", faults.rows(faults.missing_keys), MALFORMED, rows=True),
    FaultCase("has duplicate rows", faults.rows(faults.duplicate), rows=True),
    FaultCase("has extra rows", faults.rows(faults.extra), rows=True),
    FaultCase("has rows in another order", faults.rows(faults.reordered), rows=True),
    FaultCase("fails 50 % of calls", faults.share(50, faults.status(503)), None, RETRIED, BACKOFF),
)


@contextmanager
def closed_port() -> Generator[int]:
    """Reserve a port on which no program listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("source", NAMES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_fault_of_a_source_fails_only_the_fields_of_that_source(
    case: FaultCase, source: str, ways: Ways
) -> None:
    async with outage(ways=ways) as gateway:
        gateway.server.fail(source, case.fault)
        started = gateway.clock.seconds
        reply = await gateway.ask(
            f"query($ids: [ID!]!) {{ users(ids: $ids) {{ {ALL} }} }}",
            variables={"ids": [user_id(number) for number in USERS]},
        )
        took = gateway.clock.seconds - started
        await gateway.check_nothing_is_left()

        server = gateway.server
        broken = source if case.code or case.absent else None
        assert reply.data["users"] == [
            seen(FIELDS, {name: server.rows[name][user_id(n)] for name in NAMES if name != broken})
            for n in USERS
        ]
        assert reply.codes == {
            f"users.{index}.{field.name}": case.code
            for index in range(len(USERS))
            for field in FIELDS
            if case.code and field.source == broken
        }
        assert all(error["extensions"].keys() == {"code", "source"} for error in reply.errors)
        assert took == pytest.approx(case.seconds, abs=1e-3)
        assert took <= BUDGET
        assert gateway.traffic.made == dict.fromkeys(NAMES, 1) | {source: case.calls}
        assert {name: len(server.calls(name)) for name in NAMES} == gateway.traffic.made
        check_that_nothing_leaks(gateway, reply)


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.rows], ids=lambda case: case.name
)
async def test_a_fault_of_the_list_of_invoices_fails_only_the_list(
    case: FaultCase, ways: Ways
) -> None:
    user = user_id(1)
    async with outage(ways=ways) as gateway:
        gateway.server.fail("invoices", case.fault)
        started = gateway.clock.seconds
        invoices = "invoices { edges { node { number } } }"
        reply = await gateway.ask(f'{{ user(id: "{user}") {{ username plan {invoices} }} }}')
        took = gateway.clock.seconds - started
        await gateway.check_nothing_is_left()

        numbers = [{"node": {"number": one["number"]}} for one in gateway.server.invoices[user]]
        assert reply.data["user"] == {
            "username": "user1",
            "plan": "pro",
            "invoices": None if case.code else {"edges": numbers},
        }
        assert reply.codes == ({"user.invoices": case.code} if case.code else {})
        assert took == pytest.approx(case.seconds, abs=1e-3)
        calls = ONCE if case.calls == SPLIT else case.calls  # there is nothing to split
        # The connection is reused from the call before. If it is lost without a byte of a response,
        # the request is sent again, which does not count as a call.
        resent = case.name in {"closes", "resets"}
        assert len(gateway.server.calls("invoices")) == calls + resent
        assert gateway.traffic.made == {"profile": 1, "billing": 1 + calls}
        check_that_nothing_leaks(gateway, reply)


@pytest.mark.parametrize("source", NAMES)
async def test_an_unreachable_source_fails_only_its_own_fields(source: str, ways: Ways) -> None:
    with closed_port() as port:
        address = f"http://127.0.0.1:{port}/{source}"
        async with outage({source: {"base_url": address}}, ways=ways) as gateway:
            reply = await gateway.ask(f'{{ user(id: "{user_id(1)}") {{ {ALL} }} }}')
            await gateway.check_nothing_is_left()

            rows = gateway.server.rows
            others = {name: rows[name][user_id(1)] for name in NAMES if name != source}
            assert reply.data["user"] == seen(FIELDS, others)
            assert reply.codes == {
                f"user.{field.name}": UNAVAILABLE for field in FIELDS if field.source == source
            }
            assert gateway.traffic.made == dict.fromkeys(NAMES, 1) | {source: RETRIED}
            check_that_nothing_leaks(gateway, reply)


@pytest.mark.parametrize(
    "row", [b"{}", b"0", b"[]", b'{"userId":"%s","plan":7}' % user_id(1).encode()]
)
async def test_a_response_with_very_many_invalid_rows_is_read_quickly(
    row: bytes, ways: Ways
) -> None:
    async with outage(ways=ways) as gateway:
        gateway.server.fail("billing", saying(b"[" + b",".join([row] * 300_000) + b"]"))
        started = process_time()
        reply = await gateway.ask(f'{{ user(id: "{user_id(1)}") {{ username plan }} }}')

        assert reply.codes == {"user.plan": MALFORMED}
        assert process_time() - started < CPU_LIMIT


def check_that_nothing_leaks(gateway: Outage, reply: GatewayReply) -> None:
    """Check that neither the response nor the log has a text of the faulty source."""
    assert SECRET not in reply.response.text
    assert SECRET not in gateway.log
    assert "Traceback" not in gateway.log
