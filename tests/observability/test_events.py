"""The log events of requests: refusals, failed sources, and the ids that join lines."""

import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import orjson
import pytest
import structlog

from app.observability.logs import library_event, make_log, uvicorn_formatter
from app.observability.sampling import RepeatLimit
from app.settings.models import LogSettings
from app.settings.server import BatchSettings
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, failing, settings_for_fakes, user_id
from tests.server.connection import GARBAGE, HEAD, listening

JSON = {"content-type": "application/json"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECRET = "s3cretword"
USERS = "query Page($ids: [ID!]!) { users(ids: $ids) { username plan loginCount } }"


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "reason"),
    [
        ("GET", f"/{SECRET}", {}, b"", 404, 'nothing is served at "…": expected /graphql'),
        ("DELETE", "/graphql", {}, b"", 405, "DELETE is not served here: expected POST"),
        (SECRET.upper(), "/graphql", {}, b"", 405, '"…" is not served here: expected POST'),
        ("PUT", "/healthz", {}, b"", 405, "PUT is not served here: expected GET, HEAD"),
        (
            "POST",
            "/graphql",
            {"accept": f"text/{SECRET}"},
            b"",
            406,
            'no response has the type "…"',
        ),
        ("POST", "/graphql", {"content-type": f"text/{SECRET}"}, b"", 415, 'the body is "…"'),
        ("POST", "/graphql", JSON, b'{"s3cretword"', 400, "the body cannot be read as JSON"),
        ("POST", "/graphql", JSON, b'{"query": 5}', 422, "the body is not a GraphQL request"),
        ("POST", "/graphql", JSON, b" " * 2_000_000, 413, "the body is longer than the limit"),
        ("GET", f"/graphql?query={SECRET}", {}, b"", 400, "a GET like this could come from a page"),
        ("GET", "/graphql", {"host": SECRET}, b"", 421, '"…" is not a name of this gateway'),
        ("GET", "/graphql", {SECRET: "a" * 70_000}, b"", 431, "the headers are longer than"),
        ("GET", "/graphql?" + SECRET * 2_000, {}, b"", 414, "the address is longer than"),
    ],
)
async def test_a_refusal_is_logged_once_with_its_reason_and_no_text_of_the_client(  # noqa: PLR0917 # a table
    gateway: GatewayClient,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    status: int,
    reason: str,
) -> None:
    response = await gateway.client.request(method, path, headers=headers, content=body)

    assert response.status_code == status
    [line] = gateway.events("http.refused")
    assert line["reason"].startswith(reason)
    assert (line["status"], line["code"], line["level"]) == (status, "BAD_REQUEST", "info")
    assert line["request_id"] == response.headers["x-request-id"]
    assert SECRET not in gateway.log.lower()


async def test_a_served_request_is_not_logged_as_refused(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    await gateway.query(USERS, ids=[user_id(1)])
    await gateway.client.get("/healthz")

    assert not gateway.events("http.refused")


async def test_bytes_that_are_not_a_request_are_logged_as_refused(
    services: FakeServices, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "uvicorn.error")
    async with listening(services) as connect:
        client = await connect()
        await client.send(GARBAGE)
        answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 400 ")
    [refused] = [one for one in caplog.records if one.message == "http.refused"]
    assert (
        line_of(refused).items()
        >= {
            "event": "http.refused",
            "level": "info",
            "status": 400,
            "code": "BAD_REQUEST",
        }.items()
    )


async def test_a_connection_beyond_the_limit_is_logged_as_a_warning(
    services: FakeServices, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(services, max_connections=1) as connect:
        first = await connect()
        await first.send(HEAD[:20])
        second = await connect()
        answer = await second.rest()

    assert answer.startswith(b"HTTP/1.1 503 ")
    [refused] = [one for one in caplog.records if one.message == "http.refused"]
    assert (refused.levelname, line_of(refused)["status"]) == ("WARNING", 503)


def line_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """Format a record, and read the line."""
    line: Mapping[str, Any] = orjson.loads(uvicorn_formatter("json").format(record))
    return line


def test_an_event_of_a_library_keeps_its_name_and_values() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(uvicorn_formatter("json"))
    logger = logging.Logger("uvicorn.error")  # noqa: LOG001 # used by this test alone
    logger.addHandler(handler)

    library_event(logger, logging.WARNING, "http.refused", status=503, reason="busy")

    line = orjson.loads(stream.getvalue())
    expected = {"event": "http.refused", "level": "warning", "status": 503, "reason": "busy"}
    assert line.items() >= expected.items()
    assert "message" not in line


class Now:
    """A time that the test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


def kept_lines(
    limit: RepeatLimit, event: str, count: int, **values: object
) -> Iterator[dict[str, Any]]:
    """Log an event several times, and yield the lines that are kept."""
    for _ in range(count):
        with suppress(structlog.DropEvent):
            yield dict(limit(None, "info", {"event": event, **values}))


def test_repeated_refusals_are_limited_to_a_hundred_lines_a_minute() -> None:
    now = Now()
    limit = RepeatLimit(most=100, seconds=60.0, now=now)

    first = [*kept_lines(limit, "http.refused", 5_000, status=404)]
    others = [
        *kept_lines(limit, "http.refused", 10, status=503),
        *kept_lines(limit, "source.fetch", 500),
    ]
    now.seconds = 60.0
    later = [*kept_lines(limit, "http.refused", 2, status=404)]

    assert len(first) == 100
    assert len(others) == 510
    assert [one.get("left_out") for one in later] == [4_900, None]


def test_a_line_beyond_the_repeat_limit_is_not_written() -> None:
    stream = io.StringIO()
    log = make_log(LogSettings(), "json", stream)

    for _ in range(150):
        log.info("http.refused", status=404)

    assert len(stream.getvalue().splitlines()) == 100


async def test_an_operation_with_failed_sources_is_a_warning_that_names_them(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1, 2)
    services.billing.behaviour = failing(503)
    services.activity.behaviour = failing(401)

    await gateway.query(USERS, ids=[user_id(1), user_id(2)])

    [line] = gateway.events("graphql.operation")
    assert line["level"] == "warning"
    assert line["lost"] == {"billing": ["SOURCE_UNAVAILABLE"], "activity": ["SOURCE_REJECTED"]}
    assert line["errors"] == {"SOURCE_UNAVAILABLE": 2, "SOURCE_REJECTED": 2}


async def test_an_operation_without_failures_is_logged_as_info(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    await gateway.query(USERS, ids=[user_id(1)])

    [line] = gateway.events("graphql.operation")
    assert (line["level"], line["status"]) == ("info", 200)
    assert "lost" not in line
    assert isinstance(line["pid"], int)


@pytest.mark.parametrize(
    ("accept", "status"),
    [("application/json", 200), ("application/graphql-response+json", 400)],
)
async def test_an_operation_is_logged_with_the_status_of_its_response(
    gateway: GatewayClient, accept: str, status: int
) -> None:
    response = await gateway.client.post(
        "/graphql", json={"query": "{ nothing }"}, headers={"accept": accept}
    )

    [line] = gateway.events("graphql.operation")
    assert line["status"] == response.status_code == status


async def test_an_operation_refused_by_a_limit_is_logged_with_the_limit(
    gateway: GatewayClient,
) -> None:
    many = " ".join(f'u{one}: user(id: "{SECRET}{one}") {{ id }}' for one in range(1_000))

    await gateway.query(f"{{ {many} }}")

    [line] = gateway.events("graphql.operation")
    assert line["errors"] == {"QUERY_TOO_COMPLEX": 1}
    assert line["reason"] == "the document has more tokens: at most 2,000 are allowed (tokens)"
    assert SECRET not in gateway.log


async def test_each_refused_operation_of_a_batch_is_logged(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    settings = settings_for_fakes(batch=BatchSettings(enabled=True))

    async with open_gateway(settings) as gateway:
        wrong: Mapping[str, Any] = {"operationName": SECRET}
        right = {"query": USERS, "variables": {"ids": [user_id(1)]}}
        await gateway.client.post("/graphql", json=[wrong, right])

        lines = gateway.events("graphql.operation")

    assert [line.get("reason") for line in lines] == [
        'there is no document: expected its text as "…"',
        None,
    ]
    assert SECRET not in str(lines)


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({"name": "web", "version": "1.4.0"}, "web 1.4.0"),
        ({"name": "web"}, "web"),
        ({"name": "x" * 500, "version": "1"}, "x" * 64),
        ({"version": "1"}, None),
        ({"name": ""}, None),
        ({}, None),
    ],
)
async def test_requests_are_logged_with_the_name_of_the_client_program(
    gateway: GatewayClient, headers: Mapping[str, str], client: str | None
) -> None:
    sent = {f"apollographql-client-{name}": value for name, value in headers.items()}

    await gateway.query_as(sent, "{ __typename }")
    await gateway.client.get("/nowhere", headers=sent)

    lines = [*gateway.events("graphql.operation"), *gateway.events("http.refused")]
    assert [line.get("client") for line in lines] == [client, client]


async def test_all_lines_of_a_traced_request_have_the_trace_id(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    await gateway.query_as({"traceparent": TRACE}, USERS, ids=[user_id(1)])
    await gateway.client.get("/nowhere", headers={"traceparent": TRACE})
    traced = [orjson.loads(line) for line in gateway.log.splitlines()]
    gateway.forget()
    await gateway.query(USERS, ids=[user_id(1)])
    untraced = [orjson.loads(line) for line in gateway.log.splitlines()]

    of_requests = [line for line in traced if "request_id" in line]
    assert {line["event"] for line in of_requests} == {
        "source.fetch",
        "graphql.operation",
        "http.refused",
    }
    assert {line.get("trace_id") for line in of_requests} == {TRACE[3:35]}
    assert not [line for line in untraced if "trace_id" in line]
