"""Operations: their events in the log, and the effect of a bug in the gateway."""

import asyncio
import hashlib
import io
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from app.auth.policies import EVERYBODY, Policies
from app.execution.document_store import InlineDocuments
from app.execution.documents import Documents
from app.execution.engine import Engine
from app.execution.incremental import DeferredData
from app.execution.keys import InputLimits
from app.execution.limits.budget import CostBudget
from app.execution.load import OpenSources
from app.execution.planner import Planner
from app.execution.request import GraphQLRequest, GraphQLResponse
from app.execution.response_errors import MASKED
from app.execution.schema import build_schema
from app.execution.telemetry import OperationTelemetry
from app.fastpath.compiled import Compiler
from app.observability.logs import make_log
from app.observability.telemetry import Telemetry
from app.resilience.clock import SystemClock
from app.settings.resilience import DeadlineSettings
from app.sources.base import FetchResult, Record, RequestContext, SourceResult, UserId
from app.sources.batch_scheduler import BatchScheduler, Sharing
from app.sources.endpoints import endpoints_of
from app.sources.records import ProfileRecord
from app.sources.telemetry import SourceTelemetry
from tests.conftest import GatewayClient
from tests.fakes import (
    FakeServices,
    calm_source,
    failing,
    profile_row,
    settings_for_fakes,
    user_id,
)
from tests.telemetry import Recorded, recorded

QUERY = "query Page($id: ID!) { user(id: $id) { username email plan balance { amount } } }"


async def test_an_operation_is_logged_by_name_hash_duration_errors_and_sources(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    services.billing.behaviour = failing(503)

    await gateway.query(QUERY, id=user_id(1))

    [event] = gateway.events("graphql.operation")
    assert event["name"] == "Page"
    assert event["hash"] == hashlib.sha256(QUERY.encode()).hexdigest()
    assert event["duration_ms"] >= 0
    assert event["errors"] == {"SOURCE_UNAVAILABLE": 2}
    assert event["sources"] == ["billing", "profile"]


async def test_the_log_has_no_variables_and_no_personal_data(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    await gateway.query(QUERY, id=user_id(1))
    await gateway.query(QUERY, id="marker-in-an-id")
    await gateway.query(QUERY, marker="marker-in-a-variable")
    await gateway.client.post(
        "/graphql", json={"query": "{ __typename }", "operationName": "marker-in-a-name"}
    )
    await gateway.client.post("/graphql", json={"query": "marker-in-a-document"})
    await gateway.client.get("/graphql?query=marker-in-a-url")

    assert gateway.events("graphql.operation")
    for secret in (user_id(1), "user1", "example.com", "marker"):
        assert secret not in gateway.log


async def test_a_document_that_is_sent_three_times_is_prepared_once(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)

    for _ in range(3):
        await gateway.query(QUERY, id=user_id(1))
    events = gateway.events("graphql.operation")

    assert len({event["hash"] for event in events}) == 1
    assert [event["document"] for event in events] == ["new", "kept", "kept"]


class OddTexts(InlineDocuments):
    """Returns the texts of requests, and raises where a text names a bug."""

    def text_of(self, request: GraphQLRequest) -> str:
        """Return a text, or raise the bug that it names."""
        text = super().text_of(request)
        for name, bug in BUGS.items():
            if f"# {name}" in text:
                raise bug()
        return text


BUGS: dict[str, Callable[[], BaseException]] = {
    "bug": lambda: ZeroDivisionError("secret"),
    "group": lambda: ExceptionGroup("secret", [KeyError("secret"), ValueError("secret")]),
    "recursion": lambda: RecursionError("secret"),
    "cancelled": lambda: asyncio.CancelledError("secret"),
}


class Half(Record):
    """A record without most of its fields: reading one of them is a bug."""

    id: str
    username: str


@dataclass
class FakeProfile:
    """A source that knows all users, and has an incomplete record of some.

    Attributes:
        halves: The users with an incomplete record.
        may_answer: Each call waits for it.
        calls: The users of each call.
    """

    halves: frozenset[str] = frozenset()
    may_answer: asyncio.Event | None = None
    calls: list[list[str]] = field(default_factory=list[list[str]])

    async def fetch_many(
        self, keys: Sequence[UserId], _: RequestContext
    ) -> FetchResult[SourceResult[Any]]:
        """Answer."""
        self.calls.append(list(keys))
        if self.may_answer is not None:
            await self.may_answer.wait()
        row = profile_row(1)
        return FetchResult(
            [
                Half.model_validate({"id": key, "username": "half"})
                if key in self.halves
                else ProfileRecord.model_validate_json(orjson.dumps({**row, "id": key}))
                for key in keys
            ]
        )


@dataclass(frozen=True)
class RunningEngine:
    """An engine over one source, its log and its metrics."""

    engine: Engine
    log: io.StringIO
    measured: Recorded

    async def run(self, *texts: str) -> Sequence[GraphQLResponse]:
        """Run operations in one batch."""
        requests = [GraphQLRequest(query=text) for text in texts]
        allowance = CostBudget(settings_for_fakes().limits)
        async with asyncio.timeout(10):
            return await self.engine.run_batch(
                requests, RequestContext("request-1"), EVERYBODY, allowance
            )

    def errors(self) -> list[dict[str, Any]]:
        """List the events of level error."""
        lines = [orjson.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["level"] == "error"]


@asynccontextmanager
async def running(
    source: FakeProfile, *, compiles: bool = True, billing: FakeProfile | None = None
) -> AsyncGenerator[RunningEngine]:
    """Run an engine over a source of profiles, and perhaps another one in the place of billing."""
    made, schema, stream = settings_for_fakes(), build_schema(), io.StringIO()
    log, clock = make_log(made.log, stream=stream), SystemClock()
    measured = recorded(clock.monotonic, traces=False)
    endpoints = endpoints_of(schema.definition.sources.values(), made.sources)
    planner = Planner(schema.core, schema.reads(endpoints, {}), InputLimits.from_settings(made))
    async with AsyncExitStack() as stack:
        users = dict[str, BatchScheduler[Any]]()
        for name, fake in (("profile", source), ("billing", billing)):
            if fake is not None:
                users[name] = await stack.enter_async_context(
                    BatchScheduler(
                        name,
                        fake.fetch_many,
                        sharing=Sharing.NOTHING,
                        settings=calm_source(base_url="http://source"),
                        deadlines=DeadlineSettings(),
                        clock=clock,
                        log=log,
                        telemetry=SourceTelemetry(Telemetry()),
                    )
                )
        engine = Engine(
            schema=schema,
            sources=OpenSources(users=users, pages={}),
            planner=planner,
            documents=Documents.from_settings(schema.core, made, size=10),
            store=OddTexts(),
            policies=Policies(schema.definition.policies),
            required=frozenset(),
            compiler=Compiler(schema) if compiles else None,
            clock=clock,
            log=log,
            telemetry=OperationTelemetry(measured.telemetry),
        )
        yield RunningEngine(engine, stream, measured)


A, B = user_id(1), user_id(2)


def query_for(user: str, fields: str = "username", note: str = "") -> str:
    """Write an operation that selects fields of a user."""
    return f'{{ user(id: "{user}") {{ {fields} }} }} {note}'


@pytest.mark.parametrize("compiles", [True, False])
@pytest.mark.parametrize("bug", BUGS)
async def test_a_bug_in_one_operation_of_a_batch_fails_that_operation_and_is_logged(
    bug: str,
    compiles: bool,  # noqa: FBT001 # a column of the table
) -> None:
    async with running(FakeProfile(), compiles=compiles) as gateway:
        answers = await gateway.run(query_for(A), query_for(B, note=f"# {bug}"), query_for(B))

    one, failed, other = answers
    assert one.data == other.data == {"user": {"username": "user1"}}
    assert not one.errors
    assert not other.errors
    assert (failed.executed, failed.data, failed.status) == (False, None, 500)
    assert failed.errors == [
        {
            "message": MASKED,
            "extensions": {"code": "INTERNAL_SERVER_ERROR", "requestId": "request-1"},
        }
    ]
    [event] = gateway.errors()
    assert event["event"] == "graphql.bug"
    assert "secret" in event["exception"]
    counts = gateway.measured.counts("graphql.server.request.duration")
    assert {error: count for (*_, error), count in counts.items()} == {
        "": 2,
        "INTERNAL_SERVER_ERROR": 1,
    }


async def test_a_bug_in_a_single_operation_is_an_error_response() -> None:
    async with running(FakeProfile()) as gateway:
        request = GraphQLRequest(query=query_for(A, note="# bug"))
        allowance = CostBudget(settings_for_fakes().limits)
        answer = await gateway.engine.run(
            request, RequestContext("request-1"), EVERYBODY, allowance
        )

    assert (answer.executed, answer.status) == (False, 500)
    assert len(gateway.errors()) == 1


async def test_a_cancelled_batch_of_operations_cancels_each_of_them() -> None:
    async with running(FakeProfile()) as gateway:
        batch = asyncio.create_task(gateway.run(query_for(A), query_for(B)))
        await asyncio.sleep(0)
        batch.cancel()
        await asyncio.wait([batch])

    assert batch.cancelled()
    assert not gateway.errors()


@pytest.mark.parametrize("compiles", [True, False])
async def test_a_bug_in_one_field_of_one_user_makes_only_that_field_null(
    compiles: bool,  # noqa: FBT001 # a column of the table
) -> None:
    source = FakeProfile(halves=frozenset([B]))
    query = f'{{ users(ids: ["{A}", "{B}"]) {{ username email id locale }} }}'
    async with running(source, compiles=compiles) as gateway:
        [answer] = await gateway.run(query)
        requests = [GraphQLRequest(query=query)]
        allowance = CostBudget(settings_for_fakes().limits)
        alone = await gateway.engine.run(
            requests[0], RequestContext("request-1"), EVERYBODY, allowance
        )

    assert (
        answer.data
        == alone.data
        == {
            "users": [
                {"username": "user1", "email": "user1@example.com", "id": A, "locale": "de-AT"},
                {"username": "half", "email": None, "id": B, "locale": None},
            ]
        }
    )
    assert answer.errors == alone.errors
    assert [error.get("path") for error in answer.errors] == [
        ["users", 1, "email"],
        ["users", 1, "locale"],
    ]
    assert {error["extensions"]["code"] for error in answer.errors} == {"INTERNAL_SERVER_ERROR"}  # pyright: ignore[reportTypedDictNotRequiredAccess]
    assert source.calls == [[A, B]] * 2  # once for each request, with or without the bug
    assert all(event["event"] == "graphql.bug" for event in gateway.errors())
    assert gateway.errors()


async def test_a_bug_in_a_deferred_fragment_fails_all_that_is_pending_and_nothing_else() -> None:
    may_answer = asyncio.Event()
    billing = FakeProfile(halves=frozenset([A]), may_answer=may_answer)
    query = query_for(
        A, """id ... @defer(label: "whole") { username } ... @defer(label: "half") { plan }"""
    )
    async with running(FakeProfile(), billing=billing) as gateway, asyncio.timeout(10):
        request, call = GraphQLRequest(query=query), RequestContext("request-1")
        allowance = CostBudget(settings_for_fakes().limits)
        async with gateway.engine.run_in_parts(request, call, EVERYBODY, allowance) as answer:
            assert answer.later is not None
            whole = await anext(answer.later.payloads)
            may_answer.set()
            failed, *others = [payload async for payload in answer.later.payloads]

    assert answer.data == {"user": {"id": A}}
    assert [one.label for one in answer.later.pending] == ["whole", "half"]
    [data] = whole.incremental
    assert isinstance(data, DeferredData)
    assert (data.id, data.data, whole.errors) == ("0", {"username": "user1"}, [])
    assert ([one.id for one in whole.completed], whole.has_next) == (["0"], True)
    assert ([one.id for one in failed.completed], failed.has_next) == (["1"], False)
    assert [error.get("message") for error in failed.errors] == [MASKED]
    assert (failed.incremental, others) == ((), [])
    [event] = gateway.errors()
    assert event["event"] == "graphql.bug"


async def test_a_bug_fails_a_fragment_that_became_pending_with_a_later_payload() -> None:
    may_answer = asyncio.Event()
    billing = FakeProfile(halves=frozenset([A]), may_answer=may_answer)
    query = query_for(A, "id ... @defer { username ... @defer { plan } }")
    async with running(FakeProfile(), billing=billing) as gateway, asyncio.timeout(10):
        request, call = GraphQLRequest(query=query), RequestContext("request-1")
        allowance = CostBudget(settings_for_fakes().limits)
        async with gateway.engine.run_in_parts(request, call, EVERYBODY, allowance) as answer:
            assert answer.later is not None
            outer = await anext(answer.later.payloads)
            may_answer.set()
            *between, failed = [payload async for payload in answer.later.payloads]

    assert [one.id for one in answer.later.pending] == ["0"]
    assert [one.id for one in outer.pending] == ["1"]
    assert [one.id for one in outer.completed] == ["0"]
    assert ([one.id for one in failed.completed], failed.has_next) == (["1"], False)
    assert [error.get("message") for error in failed.errors] == [MASKED]
    assert not between
