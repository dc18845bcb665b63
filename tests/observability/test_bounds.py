"""An event is one line of bounded length, also for hostile input of clients."""

import io
import json
import logging
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.observability.bounds import MAX_LINE, cut, plain, printable
from app.observability.logs import LogFormat, make_log, uvicorn_formatter
from app.settings.models import LogSettings
from app.settings.server import ConnectionSettings
from tests.apps import make_app
from tests.fakes import FakeServices, raising, settings_for_fakes, user_id
from tests.properties import examples
from tests.wire import served

HUGE = 100_000
SERVER = "server.message"
JSON = {"Content-Type": "application/json"}
RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
"""Characters that no line may have."""

HOSTILE = st.one_of(
    st.text(),
    st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"]), min_size=1),
    st.sampled_from(
        [
            'a\r\n{"event": "forged", "level": "error"}',
            "\x1b[31mred\x1b[2J\x1b]0;title\x07",
            "\x9b2J",
            "\x00" * HUGE,
            "\u2028forged",
            "\ud800\udfff",
            "\u202eforged",
            "x" * HUGE,
            "\U0001f600" * (HUGE // 4),
        ]
    ),
)


def lines_of(text: str) -> list[dict[str, Any]]:
    """Read a log, each line of which has to be JSON, bounded and harmless."""
    assert not RAW.search(text)
    found = text.split("\n")
    assert found.pop() == ""
    assert all(len(line.encode()) <= MAX_LINE for line in found)
    return [orjson.loads(line) for line in found]


@given(name=HOSTILE, value=HOSTILE, inner=HOSTILE, error=HOSTILE)
def test_an_event_is_one_bounded_line_of_json(
    name: str, value: str, inner: str, error: str
) -> None:
    stream = io.StringIO()

    make_log(LogSettings(), "json", stream).error(
        "bug", detail=value, exc_info=ValueError(error), deep={"a": [inner]}, **{f"x{name}": 1}
    )

    [line] = lines_of(stream.getvalue())
    assert (line["event"], line["level"]) == ("bug", "error")


@given(value=HOSTILE, inner=HOSTILE, error=HOSTILE)
def test_a_console_event_is_one_line_with_an_indented_traceback(
    value: str, inner: str, error: str
) -> None:
    stream = io.StringIO()

    make_log(LogSettings(), "console", stream).error(
        value, detail=value, exc_info=ValueError(error), deep=[inner]
    )

    first, *rest = stream.getvalue().split("\n")
    assert rest.pop() == ""
    assert not RAW.search(stream.getvalue())
    assert re.match(r"\d\d:\d\d:\d\d ", first)
    assert all(line.startswith("  ") for line in rest)
    assert len(stream.getvalue()) < 100_000


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_cut_traceback_is_marked_and_keeps_its_end(form: LogFormat) -> None:
    stream = io.StringIO()

    make_log(LogSettings(), form, stream).error("bug", exc_info=ValueError("x" * HUGE + " the end"))

    assert re.search(r"\d\d,\d\d\d characters cut", stream.getvalue())
    assert "Value" in stream.getvalue()
    assert "xxx the end" in stream.getvalue()


def test_long_values_beyond_the_bound_of_a_line_are_left_out() -> None:
    stream = io.StringIO()
    many = {f"name{number}": "x" * HUGE for number in range(200)}

    make_log(LogSettings(), "json", stream).info("event", request_id="req-1", **many)

    [line] = lines_of(stream.getvalue())
    assert (line["event"], line["request_id"], line["cut"]) == ("event", "req-1", 205)


@given(text=st.text(), most=st.integers(1, 100))
def test_a_cut_text_keeps_its_start_and_its_end(text: str, most: int) -> None:
    kept = cut(text, most)

    if len(text) <= most:
        assert kept == text
    else:
        start, end = kept.split(f"… ({len(text) - most:,} characters cut) …", 1)
        assert len(start) + len(end) == most
        assert (text.startswith(start), text.endswith(end)) == (True, True)


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_escaping_changes_no_value(text: str) -> None:
    assert orjson.loads(plain(orjson.dumps(text).decode())) == text
    assert printable(text).isprintable()
    assert printable(text) == text or not text.isprintable()


@dataclass
class OpenedGateway:
    """A client of the gateway, its sources and its log."""

    client: httpx.AsyncClient
    services: FakeServices
    log: io.StringIO

    async def logged(self, method: str, path: str, **request: Any) -> list[dict[str, Any]]:  # noqa: ANN401 # httpx's
        """Send a request, and return the lines that it logged."""
        self.log.seek(0)
        self.log.truncate()
        await self.client.request(method, path, **request)
        return lines_of(self.log.getvalue())


@pytest.fixture
async def opened(services: FakeServices) -> AsyncGenerator[OpenedGateway]:
    """Give an open gateway with a user, and its log."""
    services.know(1)
    log = io.StringIO()
    # The log has its own bounds, also where the limits of connections are off.
    unbounded = ConnectionSettings(max_url_bytes=0, max_head_bytes=0)
    chosen = settings_for_fakes(connections=unbounded)
    app = make_app(chosen, make_log(chosen.log, stream=log), transports=services.transport)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
    ):
        yield OpenedGateway(client, services, log)


def as_header(text: str) -> bytes:
    """Write a text as a header value: without line breaks and NUL, which no server accepts."""
    return re.sub(rb"[\r\n\x00]", b"", text.encode("utf-8", "replace"))[:60_000].strip()


@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(text=HOSTILE)
async def test_hostile_text_of_a_client_stays_within_one_bounded_line(
    opened: OpenedGateway, text: str
) -> None:
    opened.services.profile.behaviour = raising(ZeroDivisionError(text))
    name = "Q" + re.sub(r"[^_0-9A-Za-z]", "_", text)[:60_000]
    query = f"query {name}($id: ID!) {{ user(id: $id) {{ username }} }}"
    raw = as_header(text)
    headers = {"X-Request-ID": raw, "traceparent": raw, "X-Forwarded-For": raw}

    def body(**changes: object) -> bytes:
        return _ascii({"query": query, "variables": {"id": user_id(1)}, **changes})

    bug = await opened.logged("POST", "/graphql", content=body(), headers={**JSON, **headers})
    wrong = await opened.logged(
        "POST", "/graphql", content=body(variables={"id": text}), headers=JSON
    )
    named = await opened.logged("POST", "/graphql", content=body(operationName=text), headers=JSON)
    garbage = await opened.logged("POST", "/graphql", content=_ascii({"query": text}), headers=JSON)
    lost = await opened.logged("GET", "/" + quote(text, errors="replace")[:60_000])

    assert {"graphql.bug", "graphql.operation"} <= {one["event"] for one in bug}
    for lines in (bug, wrong, named, garbage, lost):
        assert "forged" not in {one["event"] for one in lines}


def _ascii(value: object) -> bytes:
    """Write JSON in which lone surrogates are escaped."""
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"\x1b[31mred\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"G" * HUGE,
        b"GET /\x1b[2J HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /" + b"a" * HUGE + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_bytes_that_are_not_a_request_are_logged_in_the_form_of_the_log(
    services: FakeServices, data: bytes
) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(uvicorn_formatter("json"))
    logger = logging.getLogger("uvicorn.error")
    chosen = settings_for_fakes()
    app = make_app(chosen, make_log(chosen.log, stream=stream), transports=services.transport)
    logger.addHandler(handler)
    try:
        async with served(app) as address:
            await address.exchange(data, idle=0.1)
    finally:
        logger.removeHandler(handler)

    found = lines_of(stream.getvalue())
    assert {one["event"] for one in found} <= {"gateway.opened", "gateway.stopped", SERVER}
