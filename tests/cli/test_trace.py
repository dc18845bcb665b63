"""`user-gateway trace`: its text, and runs against a gateway over HTTP."""

import asyncio
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import app
from app.cli.waterfall import LEAST_WIDTH, rows_of, waterfall_text
from app.execution.source_report import CallReport, RequestReport, SourceReport, StepReport
from app.resilience.steps import StepKind
from tests.examples.serving import clean_environment, free_port, serve_over_demo

WAIT = 30.0
OPEN = {"GATEWAY_AUTH__MODE": "none", "GATEWAY_TRACE": "asked"}
USER_1 = "00000000-0000-4000-8000-000000000001"
PLAN = "query($id: ID!) { user(id: $id) { displayName plan } }"
VARIABLES = ("--variables", f'{{"id": "{USER_1}"}}')


def step(kind: str, start: float, ms: float, code: str | None = None) -> StepReport:
    """Make a step of a call."""
    return StepReport(kind=kind, start_ms=start, ms=ms, code=code)


def source(*calls: CallReport, start: float | None = 0.0, **facts: Any) -> SourceReport:  # noqa: ANN401  (members of a report)
    """Make the report of a source."""
    given = {"status": "ok", "startMs": start, "timeline": calls, **facts}
    return SourceReport.model_validate(given)


def call(
    *steps: StepReport, start: float, ms: float, keys: int = 1, code: str | None = None
) -> CallReport:
    """Make the report of a call."""
    return CallReport(keys=keys, start_ms=start, ms=ms, steps=[*steps], code=code)


def test_waits_and_attempts_of_a_source_share_one_time_axis() -> None:
    steps = (
        step("attempt", 10, 20, "SOURCE_UNAVAILABLE"),
        step("backoff", 30, 40),
        step("attempt", 70, 30),
    )
    billing = source(call(*steps, start=10, ms=90), start=0.0, keys=1, calls=1, attempts=2, ms=100)

    text = waterfall_text(RequestReport(ms=100, deadline_ms=125), {"billing": billing}, width=80)

    assert text.splitlines() == [
        "Answered in 100 ms. Deadline at 125 ms.",
        "",
        "            0 ms                                125 ms",
        "                                             deadline",
        "",
        "billing: ok, 1 key, 1 call, 2 attempts, 100 ms",
        "  queued    ....                                     | 10 ms",
        "  attempt 1    ========                              | 20 ms SOURCE_UNAVAILABLE",
        "  backoff             ..............                 | 40 ms",
        "  attempt 2                        ===========       | 30 ms",
        "",
        "= is a call to the service, . is a wait, | is the deadline.",
    ]


def test_cached_coalesced_and_stale_keys_are_named() -> None:
    shared = call(step("attempt", -5, 20), start=-5, ms=20, keys=3)
    facts: dict[str, Any] = {
        "status": "stale",
        "keys": 6,
        "calls": 0,
        "cached": 2,
        "coalesced": 3,
        "ageMs": 41_000,
    }

    text = waterfall_text(RequestReport(ms=15), {"billing": source(shared, **facts)}, width=100)

    assert "Answered in 15 ms, without a deadline." in text
    assert (
        "billing: stale, 6 keys, 2 cached, 3 in calls of other requests, 0 calls, records up to"
        " 41,000 ms old" in text
    )
    assert re.search(r"-5 ms +15 ms", text)
    assert "queued" not in text


def test_a_source_whose_keys_were_all_cached_has_no_rows() -> None:
    cached = SourceReport(status="ok", keys=1, cached=1, timeline=[])

    assert rows_of(cached) == []
    text = waterfall_text(RequestReport(ms=1), {"billing": cached}, width=80)
    assert text.splitlines()[-1] == "billing: ok, 1 key, 1 cached"


def test_calls_have_rows_if_there_are_several_or_one_was_refused() -> None:
    refused = source(call(start=0, ms=0.1, code="SOURCE_CIRCUIT_OPEN"))
    two = source(
        call(step("attempt", 0, 5), start=0, ms=5, keys=2),
        call(step("attempt", 0, 6), start=0, ms=6, keys=1),
    )
    late = source(call(step("attempt", 0, 5), start=0, ms=5, code="SOURCE_MALFORMED"))

    assert [(one.label, one.code) for one in rows_of(refused)] == [
        ("call 1, 1 key", "SOURCE_CIRCUIT_OPEN")
    ]
    assert [one.label for one in rows_of(two)] == [
        *("call 1, 2 keys", "  attempt", "call 2, 1 key", "  attempt")
    ]
    assert [one.code for one in rows_of(late)] == ["SOURCE_MALFORMED", None]


def test_a_source_without_a_response_at_the_deadline_has_a_row_for_the_wait() -> None:
    late = source(start=4, ms=96, status="failed", code="SOURCE_TIMEOUT")

    [row] = rows_of(late)

    assert (row.label, row.start, row.ms, row.code) == ("waiting", 4, 96, "SOURCE_TIMEOUT")
    assert row.is_wait


moments = st.floats(-1000, 100_000).map(lambda moment: round(moment, 2))
durations = st.floats(0, 100_000).map(lambda ms: round(ms, 2))
codes = st.none() | st.just("SOURCE_CIRCUIT_OPEN")
steps_of_calls = st.builds(
    StepReport, kind=st.sampled_from([*StepKind]), startMs=moments, ms=durations, code=codes
)
calls_of_sources = st.builds(
    CallReport,
    keys=st.integers(1, 5000),
    startMs=moments,
    ms=durations,
    code=codes,
    steps=st.lists(steps_of_calls, max_size=4),
)
reports = st.builds(
    SourceReport,
    status=st.sampled_from(["ok", "failed", "stale"]),
    code=codes,
    keys=st.integers(0, 5000),
    startMs=st.none() | moments,
    ageMs=st.none() | st.integers(0, 10**9),
    timeline=st.none() | st.lists(calls_of_sources, max_size=3),
)


@given(
    request=st.builds(RequestReport, ms=durations, deadlineMs=st.none() | moments),
    sources=st.dictionaries(st.from_regex(r"[a-z_.]{1,30}", fullmatch=True), reports, max_size=3),
    width=st.integers(0, 200),
)
def test_a_waterfall_fits_the_width_and_has_every_row(
    request: RequestReport, sources: Mapping[str, SourceReport], width: int
) -> None:
    lines = waterfall_text(request, sources, width=width).splitlines()

    assert max(map(len, lines)) <= max(width, LEAST_WIDTH)
    assert all(line.isascii() for line in lines)
    rows = [row for one in sources.values() for row in rows_of(one)]
    drawn = [line for line in lines if re.match(r"  .*[=.].* ms( SOURCE_CIRCUIT_OPEN)?$", line)]
    assert len(drawn) >= len(rows)


@dataclass(frozen=True)
class TraceRun:
    """A command that has ended."""

    code: int | None
    out: str
    err: str


async def trace(*arguments: str, folder: Path, text: str = "", columns: int = 80) -> TraceRun:
    """Run the command as a process."""
    root = {"PYTHONPATH": str(Path(app.__file__).parents[1])}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "trace", *arguments),
        cwd=folder,
        env=clean_environment({**root, "COLUMNS": str(columns), "PYTHONIOENCODING": "utf-8"}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WAIT):
        out, err = await process.communicate(text.encode())
    assert b"Traceback" not in err
    return TraceRun(process.returncode, out.decode(), err.decode())


async def test_a_run_shows_the_waterfall_and_lists_the_errors(tmp_path: Path) -> None:
    unreachable = {"GATEWAY_SOURCES__BILLING__BASE_URL": f"http://127.0.0.1:{free_port()}"}
    async with serve_over_demo({**OPEN, **unreachable}) as url:
        failed = await trace(PLAN, *VARIABLES, "--url", url, folder=tmp_path)
        wide = await trace(
            *("-", *VARIABLES, "--url", url),
            text=PLAN.replace("plan", ""),
            folder=tmp_path,
            columns=120,
        )
        wrong = await trace("{ unreachable }", "--url", url, folder=tmp_path)
        refused = await trace(
            *(PLAN, *VARIABLES, "--url", url, "--header", "Host: elsewhere.example"),
            folder=tmp_path,
        )

    assert failed.code == 1
    assert "profile: ok, 1 key, 1 call, 1 attempt" in failed.out
    assert "billing: failed (SOURCE_UNAVAILABLE), 1 key" in failed.out
    assert "attempt 2" in failed.out
    assert "deadline later >" in failed.out
    assert failed.out.endswith(
        "Errors: 1\n"
        "  - user.plan: SOURCE_UNAVAILABLE (billing): The billing source is unavailable.\n"
    )
    assert max(map(len, failed.out.splitlines())) <= 80
    assert (wide.code, wide.err) == (0, "")
    assert "billing" not in wide.out
    assert 80 < max(map(len, wide.out.splitlines())) <= 120
    assert wrong.code == 1
    assert "GRAPHQL_VALIDATION_FAILED: Cannot query field 'unreachable'" in wrong.out
    assert refused.code == 2
    assert refused.err.startswith("The gateway refused the request:\n  - HTTP status 4")


async def test_a_gateway_without_reports_is_reported_with_the_setting_for_them(
    tmp_path: Path,
) -> None:
    async with serve_over_demo({"GATEWAY_AUTH__MODE": "none"}) as url:
        ended = await trace(PLAN, *VARIABLES, "--url", url, folder=tmp_path)

    assert ended.code == 2
    assert ended.err.startswith("The answer has no report of its sources:\n")
    assert "GATEWAY_TRACE=asked" in ended.err


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:{port}/graphql", "is not reachable: "),
        ("ftp://127.0.0.1/graphql", "is not an HTTP address: "),
        ("graphql", "is not an HTTP address: "),
    ],
)
async def test_a_gateway_that_is_not_reachable_exits_with_2(
    url: str, reason: str, tmp_path: Path
) -> None:
    address = url.format(port=free_port())

    ended = await trace("{ __typename }", "--url", address, folder=tmp_path)

    assert ended.code == 2
    assert not ended.out
    assert ended.err.startswith("The gateway could not be asked:\n  - ")
    assert address in ended.err
    assert reason in ended.err


async def test_another_program_and_a_missing_response_are_reported(
    tmp_path: Path,
) -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    async def never_respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()

    query = "{ __typename }"
    async with (
        await asyncio.start_server(close, "127.0.0.1", 0) as other,
        await asyncio.start_server(never_respond, "127.0.0.1", 0) as silent,
    ):
        urls = [
            f"http://127.0.0.1:{one.sockets[0].getsockname()[1]}/graphql" for one in (other, silent)
        ]
        answered = await trace(query, "--url", urls[0], folder=tmp_path)
        waited = await trace(query, "--url", urls[1], "--timeout", "0.2", folder=tmp_path)

    assert (answered.code, waited.code) == (2, 2)
    assert f"HTTP status 200 from {urls[0]} without a GraphQL answer" in answered.err
    assert f"{urls[1]} did not answer within 0.2 s (--timeout)" in waited.err


@pytest.mark.parametrize(
    "arguments", [("--variables", "[1]"), ("--header", "nothing"), ("--timeout", "0")]
)
async def test_a_wrong_option_exits_with_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ended = await trace("{ __typename }", *arguments, folder=tmp_path)

    assert ended.code == 2
    assert arguments[0] in ended.err
