"""The spans of a request (semantic conventions for HTTP, and the draft for GraphQL)."""

import asyncio

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import SpanKind, StatusCode, TraceState

from app.observability.trace_context import read_trace_context
from app.settings.operations import TelemetrySettings
from app.settings.resilience import BreakerSettings, CacheSettings, RetrySettings
from app.settings.server import BatchSettings
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, calm_source, failing, settings_for_fakes, user_id
from tests.telemetry import Recorded, facts, id_of, parent_of, recorded
from tests.traces import is_child

TRACES = [f"00-{number:032x}-{'b' * 16}-01" for number in range(1, 5)]
NOT_SAMPLED = f"00-{'a' * 32}-{'b' * 16}-00"
ALL = "query Page($ids: [ID!]!) { users(ids: $ids) { username plan lastSeenAt } }"
NAME = "query Name($ids: [ID!]!) { users(ids: $ids) { username } }"
ONE, TWO, THREE = user_id(1), user_id(2), user_id(3)


@pytest.fixture
def telemetry(clock: ManualClock) -> Recorded:
    """Give telemetry that exports all traces, except those that the caller does not sample."""
    return recorded(clock.monotonic)


def sent(services: FakeServices, name: str = "traceparent") -> list[str | None]:
    """List the values of a header in the requests to the profile service."""
    return [request.headers.get(name) for request in services.profile.requests]


async def test_a_request_has_spans_of_its_phases_batches_calls_and_attempts(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded
) -> None:
    services.know(1, 2)

    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway:
        reply = await gateway.query(ALL, ids=[ONE, TWO])

    assert len(reply.data["users"]) == 2
    assert sorted(telemetry.tree().splitlines()) == sorted(
        [
            "POST /graphql",
            "  query",
            "    GraphQL Document Parsing",
            "    GraphQL Document Validation",
            "    GraphQL Operation Planning",
            "    GraphQL Operation Execution",
            *(
                line
                for name, path in (
                    ("profile", "/users"),
                    ("billing", "/accounts"),
                    ("activity", "/summaries"),
                )
                for line in (
                    f"    GraphQL DataLoader Batch {name}",
                    "      gateway.source.call",
                    f"        GET {path}",
                )
            ),
        ]
    )
    [http] = telemetry.named("POST /graphql")
    assert http.kind is SpanKind.SERVER
    assert facts(http) == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "gateway.request_id": reply.response.headers["x-request-id"],
        "http.route": "/graphql",
        "url.path": "/graphql",
        "http.response.status_code": 200,
    }
    [operation] = telemetry.named("query")
    assert operation.kind is SpanKind.SERVER
    assert operation.status.status_code is StatusCode.UNSET
    digest = facts(operation)["graphql.document.hash"]
    assert facts(operation) == {
        "graphql.operation.name": "Page",
        "graphql.operation.type": "query",
        "graphql.document.hash": digest,
        "gateway.compiled": True,
    }
    assert str(digest).startswith("sha256:")
    [attempt] = telemetry.named("GET /accounts")
    assert attempt.kind is SpanKind.CLIENT
    assert facts(attempt) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "billing",
        "server.port": 80,
        "url.template": "/accounts",
        "gateway.source": "billing",
        "gateway.keys": 2,
    }
    [batch] = telemetry.named("GraphQL DataLoader Batch billing")
    assert facts(batch) == {
        "graphql.processing.type": "dataloader_batch",
        "graphql.dataloader.name": "billing",
        "graphql.dataloader.batch.size": 2,
        "gateway.requests": 1,
    }


async def test_a_cached_document_has_no_spans_of_parsing_and_validation(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded
) -> None:
    services.know(1)

    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway:
        await gateway.query(NAME, ids=[ONE])
        await gateway.query(NAME, ids=[ONE])

    assert len(telemetry.named("GraphQL Document Parsing")) == 1
    assert len(telemetry.named("GraphQL Document Validation")) == 1
    assert len(telemetry.named("GraphQL Operation Execution")) == 2


async def test_a_retry_is_a_span_of_its_own_and_an_event_of_the_call(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock, telemetry: Recorded
) -> None:
    services.know(1)
    services.profile.behaviour = failing(503)
    settings = settings_for_fakes()
    profile = calm_source(base_url="http://profile", retry=RetrySettings(max_retries=1))
    settings = settings.model_copy(update={"sources": {**settings.sources, "profile": profile}})

    async with open_gateway(settings, telemetry=telemetry.telemetry) as gateway:
        await clock.run(gateway.query_as({"traceparent": TRACES[0]}, NAME, ids=[ONE]))

    first, second = telemetry.named("GET /users")
    assert "http.request.resend_count" not in facts(first)
    assert facts(second)["http.request.resend_count"] == 1
    assert facts(second)["error.type"] == "SOURCE_UNAVAILABLE"
    assert second.status.status_code is StatusCode.ERROR
    [call] = telemetry.named("gateway.source.call")
    assert [event.name for event in call.events] == ["gateway.retry"]
    assert parent_of(first) == parent_of(second) == id_of(call)
    sent_ids = [int(str(one)[36:52], 16) for one in sent(services)]
    assert sent_ids == [id_of(first), id_of(second)]
    [operation] = telemetry.named("query")
    assert facts(operation)["error.type"] == "SOURCE_UNAVAILABLE"
    assert facts(operation)["graphql.error.count"] == 1
    [error] = operation.events
    assert (error.name, dict(error.attributes or {})) == (
        "graphql.error",
        {
            "graphql.error.code": "SOURCE_UNAVAILABLE",
            "graphql.error.count": 1,
            "gateway.source": "profile",
        },
    )


async def test_the_trace_of_the_client_is_continued_with_state_and_baggage(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded
) -> None:
    services.know(1)
    headers = {"traceparent": TRACES[0], "tracestate": "a=1,b=2", "baggage": "team=red"}

    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway:
        await gateway.query_as(headers, NAME, ids=[ONE])
        [event] = gateway.events("graphql.operation")

    [http] = telemetry.named("POST /graphql")
    assert parent_of(http) == int("b" * 16, 16)
    assert is_child(sent(services)[0], TRACES[0])
    assert (sent(services, "tracestate"), sent(services, "baggage")) == (["a=1,b=2"], ["team=red"])
    assert (event["trace_id"], event["span_id"]) == (TRACES[0][3:35], f"{id_of(http):016x}")


async def test_a_trace_that_is_not_sampled_is_continued_and_not_exported(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded
) -> None:
    services.know(1)

    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway:
        await gateway.query_as({"traceparent": NOT_SAMPLED}, NAME, ids=[ONE])
        [event] = gateway.events("graphql.operation")

    assert not telemetry.spans
    assert is_child(sent(services)[0], NOT_SAMPLED)
    assert event["trace_id"] == "a" * 32


@pytest.mark.parametrize(
    "header",
    [
        ("tracestate", "a=1\x7f"),
        ("tracestate", "a=" + "b" * 600),
        ("tracestate", "a=1,Words of a client"),
        ("tracestate", "a=1,a=2"),
        ("tracestate", ",".join(f"a{number}=1" for number in range(33))),
        ("baggage", "a" * 9000),
    ],
)
async def test_an_invalid_trace_state_or_baggage_is_dropped_and_the_trace_continued(
    open_gateway: OpenGateway,
    services: FakeServices,
    telemetry: Recorded,
    caplog: pytest.LogCaptureFixture,
    header: tuple[str, str],
) -> None:
    name, value = header
    services.know(1)

    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway:
        await gateway.query_as({"traceparent": TRACES[0], name: value}, NAME, ids=[ONE])

    assert sent(services, name) == [None]
    assert is_child(sent(services)[0], TRACES[0])
    assert not [one for one in caplog.records if one.name.startswith("opentelemetry")]


@given(
    st.lists(st.from_regex(r"[a-zA-Z0-9@_]{0,4}=?[ -~]{0,4}", fullmatch=True), max_size=40).map(
        ",".join
    )
)
def test_the_sdk_can_read_each_continued_trace_state(state: str) -> None:
    trace = read_trace_context(TRACES[0], state)

    assert trace is not None
    if trace.tracestate is not None:
        members = [one for one in trace.tracestate.split(",") if one.strip(" \t")]
        assert len(TraceState.from_header([trace.tracestate])) == len(members) > 0


async def test_a_batch_of_several_requests_is_one_span_with_a_link_to_each(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded
) -> None:
    services.know(1, 2, 3)

    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway:
        await asyncio.gather(
            *[
                gateway.query_as({"traceparent": trace}, NAME, ids=[user])
                for trace, user in zip(TRACES, (ONE, TWO, THREE), strict=False)
            ]
        )

    [batch] = telemetry.named("GraphQL DataLoader Batch profile")
    operations = telemetry.named("query")
    assert batch.context is not None
    assert batch.context.trace_id == 1
    assert {link.context.trace_id for link in batch.links} == {1, 2, 3}
    assert {link.context.span_id for link in batch.links} == {id_of(one) for one in operations}
    assert parent_of(batch) in {id_of(one) for one in operations}
    assert facts(batch)["gateway.requests"] == 3
    coalesced = [one for one in operations if not one.events]
    assert len(coalesced) == 1  # the operation that started the batch
    assert {event.name for one in operations for event in one.events} == {"gateway.coalesced"}


async def test_a_request_that_joins_a_running_call_is_linked(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock, telemetry: Recorded
) -> None:
    services.know(1)
    call_started, gate = asyncio.Event(), asyncio.Event()

    async def hold(_: httpx.Request) -> None:
        call_started.set()
        await gate.wait()

    services.before = hold
    async with (
        open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(gateway.query_as({"traceparent": TRACES[0]}, NAME, ids=[ONE]))
        await call_started.wait()
        group.create_task(gateway.query_as({"traceparent": TRACES[1]}, NAME, ids=[ONE]))
        await clock.settle()
        gate.set()

    [batch] = telemetry.named("GraphQL DataLoader Batch profile")
    assert {link.context.trace_id for link in batch.links} == {1, 2}


async def test_an_open_breaker_is_an_event_of_a_call_without_attempts(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded
) -> None:
    services.know(1)
    services.profile.behaviour = failing(503)
    settings = settings_for_fakes()
    profile = calm_source(base_url="http://profile", breaker=BreakerSettings(min_calls=1))
    settings = settings.model_copy(update={"sources": {**settings.sources, "profile": profile}})

    async with open_gateway(settings, telemetry=telemetry.telemetry) as gateway:
        await gateway.query(NAME, ids=[ONE])
        await gateway.query(NAME, ids=[ONE])

    calls = telemetry.named("gateway.source.call")
    assert [[event.name for event in call.events] for call in calls] == [
        [],
        ["gateway.circuit.refused"],
    ]
    assert len(telemetry.named("GET /users")) == 1


async def test_a_cache_hit_is_an_event_of_the_operation(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock, telemetry: Recorded
) -> None:
    services.know(1)
    settings = settings_for_fakes()
    cache = CacheSettings(enabled=True, ttl=10, stale_while_revalidate=60)
    profile = calm_source(base_url="http://profile", cache=cache)
    settings = settings.model_copy(update={"sources": {**settings.sources, "profile": profile}})

    async with open_gateway(settings, telemetry=telemetry.telemetry) as gateway:
        await gateway.query(NAME, ids=[ONE])
        await gateway.query(NAME, ids=[ONE])
        clock.advance(20)
        await gateway.query(NAME, ids=[ONE])
        await clock.settle()

    operations = telemetry.named("query")
    assert [[event.name for event in one.events] for one in operations] == [
        [],
        ["gateway.cached"],
        ["gateway.cached", "gateway.stale"],
    ]


async def test_each_operation_of_an_http_batch_has_a_span(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded
) -> None:
    services.know(1)
    settings = settings_for_fakes(batch=BatchSettings(enabled=True))
    bodies = [{"query": NAME, "variables": {"ids": [ONE]}}, {"query": "{ nothing }"}]

    async with open_gateway(settings, telemetry=telemetry.telemetry) as gateway:
        await gateway.client.post("/graphql", json=bodies)

    [http] = telemetry.named("POST /graphql")
    good, bad = telemetry.named("query"), telemetry.named("GraphQL Operation")
    assert [parent_of(one) for one in (*good, *bad)] == [id_of(http)] * 2
    assert facts(bad[0])["error.type"] == "GRAPHQL_VALIDATION_FAILED"
    failed = {
        span.name: span.status.status_code
        for span in telemetry.spans
        if parent_of(span) == id_of(bad[0])
    }
    assert failed == {
        "GraphQL Document Parsing": StatusCode.UNSET,
        "GraphQL Document Validation": StatusCode.ERROR,
    }


async def test_a_span_has_the_text_of_a_document_only_if_configured(
    open_gateway: OpenGateway, services: FakeServices, telemetry: Recorded
) -> None:
    services.know(1)
    with_documents = settings_for_fakes(telemetry=TelemetrySettings(documents=True))

    for settings in (settings_for_fakes(), with_documents):
        async with open_gateway(settings, telemetry=telemetry.telemetry) as gateway:
            await gateway.query(NAME, ids=[ONE])

    texts = [facts(one).get("graphql.document") for one in telemetry.named("query")]
    assert texts == [None, NAME]


async def test_a_long_operation_name_is_cut(open_gateway: OpenGateway, telemetry: Recorded) -> None:
    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway:
        await gateway.query(f"query {'N' * 5_000} {{ __typename }}")

    [operation] = telemetry.named("query")
    assert facts(operation)["graphql.operation.name"] == "N" * 100


async def test_probes_have_no_spans_and_unknown_paths_are_not_shown(
    open_gateway: OpenGateway, telemetry: Recorded
) -> None:
    async with open_gateway(settings_for_fakes(), telemetry=telemetry.telemetry) as gateway:
        for path in ("/healthz", "/readyz", "/users/secret"):
            await gateway.client.get(path)

    [span] = telemetry.spans
    assert span.name == "GET"
    assert "secret" not in str(facts(span))


async def test_a_request_has_no_trace_without_a_tracer(gateway: GatewayClient) -> None:
    await gateway.query(NAME, ids=[ONE])

    [event] = gateway.events("graphql.operation")
    assert not {"trace_id", "span_id"} & event.keys()
