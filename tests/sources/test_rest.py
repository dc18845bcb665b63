"""A REST source: keys become calls, and calls become one result for each key."""

import asyncio
import io
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest

from app.errors import Code, SourceFailure
from app.fastpath.wire import wire_transport
from app.observability.logs import make_log
from app.observability.telemetry import Telemetry
from app.settings.models import LogSettings
from app.settings.resilience import DeadlineSettings, RetrySettings
from app.sources.base import FetchResult, RequestContext, SourceResult, UserId
from app.sources.client import open_service
from app.sources.records import PROFILE, ProfileRecord
from app.sources.rest import RestSource
from app.sources.trace import SourceTrace
from tests.clock import ManualClock
from tests.fakes import (
    FakeServices,
    FakeTransport,
    Handler,
    calm_source,
    json_response,
    profile_row,
    user_id,
)
from tests.fakes.http_server import HttpExchange, saying, serving
from tests.sources.hostile import HOSTILE
from tests.sources.mapping.test_rows import failure_or_record
from tests.sources.readers import CASES, EncoderCase

CALL = RequestContext("request-1")


class Opened:
    """The source over a fake transport, and its log.

    Attributes:
        clock: Its clock.
    """

    def __init__(
        self, source: RestSource[ProfileRecord], log: io.StringIO, clock: ManualClock
    ) -> None:
        self.clock = clock
        self.traces: list[SourceTrace] = []
        self._source = source
        self._log = log

    async def fetch(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> Sequence[SourceResult[ProfileRecord]]:
        """Ask for users."""
        return (await self.fetched(keys, context)).results

    async def fetched(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> FetchResult[SourceResult[ProfileRecord]]:
        """Ask for users; return the results with the trace of the fetch."""
        fetched = await self._source.fetch_many(keys, context)
        self.traces.append(fetched.trace)
        return fetched

    async def ask(self, keys: Sequence[str], context: RequestContext = CALL) -> list[str]:
        """Ask for users; return the name of each record, or the code of its failure."""
        answers = await self.fetch([UserId(key) for key in keys], context)
        return [
            one.code.value
            if isinstance(one, SourceFailure)
            else "nobody"
            if one is None
            else str(one.username)
            for one in map(failure_or_record, answers)
        ]

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """Return the log lines of an event."""
        lines = [orjson.loads(line) for line in self._log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]


@asynccontextmanager
async def opened(
    handler: Handler | None,
    base_url: str = "http://profile",
    **changes: Any,  # noqa: ANN401 # any setting of a source
) -> AsyncGenerator[Opened]:
    """Open the profile source over a fake transport, or over the network without one."""
    stream, clock = io.StringIO(), ManualClock()
    log = make_log(LogSettings(level="debug"), "json", stream)
    async with open_service(
        "profile",
        calm_source(base_url=base_url, **changes),
        wire_transport if handler is None else lambda _: FakeTransport(handler),
        deadlines=DeadlineSettings(),
        clock=clock,
        chance=lambda: 0.5,
        log=log,
        telemetry=Telemetry(),
    ) as client:
        yield Opened(RestSource(PROFILE, client, log), stream, clock)


def keys_of(request: httpx.Request) -> list[str]:
    """Return the users of a request."""
    return request.url.params.get_list("id")


async def test_a_fetch_without_keys_makes_no_call() -> None:
    services = FakeServices()
    async with opened(services.handle) as source:
        assert await source.ask([]) == []

    assert services.calls["profile"] == 0


async def test_keys_above_the_limit_are_split_into_several_calls() -> None:
    services = FakeServices()
    services.know(1, 2, 3, 5)
    async with opened(services.handle, max_keys=2) as source:
        answers = await source.ask([user_id(n) for n in (5, 4, 3, 2, 1)])

    assert answers == ["user5", "nobody", "user3", "user2", "user1"]
    assert sorted(services.profile.batches) == sorted(
        [[user_id(5), user_id(4)], [user_id(3), user_id(2)], [user_id(1)]]
    )


async def test_no_url_is_longer_than_the_setting_allows() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return json_response([])

    base = "http://profile.internal.example/api/v2"
    keys = [user_id(n) for n in range(50)]
    async with opened(answer, base, max_url_bytes=300) as source:
        assert await source.ask(keys) == ["nobody"] * 50

    lengths = [len(str(request.url)) for request in requests]
    assert max(lengths) <= 300
    assert max(lengths) + len(f"&id={user_id(1)}") > 300
    assert sorted(key for request in requests for key in keys_of(request)) == sorted(keys)


async def test_a_key_longer_than_the_limit_is_fetched_alone() -> None:
    batches: list[list[str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        batches.append(keys_of(request))
        return json_response([], 414 if len(str(request.url)) > 256 else 200)

    long = "x" * 300
    async with opened(answer, max_url_bytes=256) as source:
        assert await source.ask(["a", long, "b"]) == ["nobody", "SOURCE_REJECTED", "nobody"]

    assert sorted(batches) == [["a"], ["b"], [long]]


async def test_the_calls_of_a_split_batch_run_concurrently() -> None:
    together = asyncio.Barrier(3)

    async def answer(request: httpx.Request) -> httpx.Response:
        await together.wait()  # no call gets a response before all three have come
        return json_response([profile_row(1, id=key, username=key) for key in keys_of(request)])

    async with opened(answer, max_keys=1) as source:
        assert await source.ask(["a", "b", "c"]) == ["a", "b", "c"]


async def test_a_failed_call_of_a_split_batch_fails_only_its_own_keys() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "c" in keys_of(request):
            return json_response([], 503)
        return json_response([profile_row(1, id=key, username=key) for key in keys_of(request)])

    async with opened(answer, max_keys=2) as source:
        answers = await source.ask(["a", "b", "c", "d", "e"])

    assert answers == ["a", "b", "SOURCE_UNAVAILABLE", "SOURCE_UNAVAILABLE", "e"]
    async with opened(answer, max_keys=2) as source:
        await source.ask(["a", "b", "c", "d", "e"])
        keys = [(event["keys"], event["outcome"]) for event in source.events("source.fetch")]
    assert sorted(keys) == [(1, "ok"), (2, Code.SOURCE_UNAVAILABLE), (2, "ok")]


async def test_failures_of_halves_name_the_failure_of_the_whole_batch() -> None:
    def behave(request: httpx.Request) -> httpx.Response:
        keys = request.url.params.get_list("id")
        return httpx.Response(500 if len(keys) == 4 else 400)

    retry = RetrySettings(max_retries=0)
    async with opened(behave, retry=retry) as source:
        answers = await source.fetch([UserId(key) for key in "abcd"], RequestContext("r1"))
        [event] = source.events("source.halved")

    assert {one.detail for one in answers if isinstance(one, SourceFailure)} == {
        "status 400 (of a half; all of them: SOURCE_UNAVAILABLE, status 500)"
    }
    assert {one.code for one in answers if isinstance(one, SourceFailure)} == {Code.SOURCE_REJECTED}
    assert (event["request_id"], event["keys"], event["detail"]) == ("r1", 4, "status 500")


async def test_odd_rows_are_logged_with_counts_and_without_values() -> None:
    rows = [
        profile_row(1, id="a"),
        profile_row(2, id="a"),
        profile_row(3, id="b", username=["secret"]),
        profile_row(4, id="c-secret"),
        profile_row(5, id="d-secret"),
        {"username": "e-secret"},
    ]
    async with opened(lambda _: json_response(rows)) as source:
        answers = await source.ask(["a", "b", "f"])
        [event] = source.events("source.odd_rows")

    assert answers == ["user1", "SOURCE_MALFORMED", "SOURCE_MALFORMED"]
    assert event["level"] == "warning"
    assert event["source"] == "profile"
    assert event["malformed"] == 2
    assert event["first_malformed"] == "username: Input should be a valid string"
    assert event["duplicate"] == 1
    assert event["unasked"] == 2
    assert "secret" not in str(event)


async def test_correct_rows_are_not_logged_as_odd() -> None:
    async with opened(lambda _: json_response([profile_row(1, id="a", extra=1)])) as source:
        await source.ask(["a", "b"])

        assert not source.events("source.odd_rows")


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
async def test_each_form_sends_exactly_the_users_that_it_can_write(
    case: EncoderCase,
) -> None:
    known = [key for key in HOSTILE if not case.refuses(key)]
    read: list[str] = []

    async def answer(exchange: HttpExchange) -> None:
        keys = case.read(exchange.request)
        read.extend(keys)
        rows = [profile_row(1, id=key, username=f"name of {key}") for key in keys]
        await exchange.say(orjson.dumps(rows))

    async with (
        serving(answer) as server,
        opened(None, server.base_url, request=case.settings, max_keys=20) as source,
    ):
        answers = await source.ask(HOSTILE)
        refused = [event["keys"] for event in source.events("source.not_written")]

    assert sorted(read) == sorted(known)
    assert answers == [
        "SOURCE_REJECTED" if case.refuses(key) else f"name of {key}" for key in HOSTILE
    ]
    assert refused == [len(HOSTILE) - len(known)] * (len(known) < len(HOSTILE))


BODY = {
    "form": "body",
    "path": "/read",
    "template": '{"ids": "{keys}"}',
    "headers": {"X-Version": "2", "accept": "application/hal+json"},
}


METHODS = ["POST", "QUERY", "SEARCH"]


@pytest.mark.parametrize("method", METHODS)
async def test_a_body_is_sent_with_length_type_and_configured_headers(
    method: str,
) -> None:
    async with (
        serving(saying(orjson.dumps([profile_row(1, id="ü")]))) as server,
        opened(None, server.base_url, request={**BODY, "method": method}) as source,
    ):
        assert await source.ask(["ü", "b"]) == ["user1", "nobody"]

    [seen] = server.requests
    assert (seen.method, seen.target) == (method, "/read")
    assert seen.header("content-type") == ["application/json"]
    assert seen.header("content-length") == [str(len(seen.body))]
    assert seen.header("x-version") == ["2"]
    assert seen.header("accept") == ["application/hal+json"]
    assert orjson.loads(seen.body) == {"ids": ["ü", "b"]}


@pytest.mark.parametrize("method", METHODS)
async def test_a_request_with_a_body_is_retried(method: str) -> None:
    bodies: list[tuple[str, bytes]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append((request.method, request.content))
        return json_response([profile_row(1, id="a")], 503 if len(bodies) < 3 else 200)

    retry = RetrySettings(max_retries=2, budget_minimum=10)
    async with opened(answer, request={**BODY, "method": method}, retry=retry) as source:
        assert await source.clock.run(source.ask(["a"])) == ["user1"]

    assert bodies == [(method, b'{"ids":["a"]}')] * 3


@pytest.mark.parametrize("method", METHODS)
async def test_a_request_with_a_body_is_sent_again_if_its_idle_connection_is_lost(
    method: str,
) -> None:
    async def answer(exchange: HttpExchange) -> None:
        if len(server.requests) == 2:
            exchange.reset()
        else:
            await exchange.say(orjson.dumps([profile_row(1, id="a")]))

    request = {**BODY, "method": method}
    async with (
        serving(answer) as server,
        opened(None, server.base_url, request=request) as source,
    ):
        assert [await source.ask(["a"]) for _ in range(2)] == [["user1"], ["user1"]]

    assert [seen.method for seen in server.requests] == [method] * 3


async def test_a_rejected_batch_in_a_body_is_sent_again_in_halves() -> None:
    bodies: list[list[str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys = orjson.loads(request.content)["ids"]
        bodies.append(keys)
        rows = [profile_row(1, id=key, username=key) for key in keys]
        return json_response(rows, 400 if "c" in keys else 200)

    retry = RetrySettings(max_retries=0, budget_minimum=10)
    async with opened(answer, request=BODY, retry=retry) as source:
        assert await source.ask(["a", "b", "c", "d"]) == ["a", "b", *["SOURCE_REJECTED"] * 2]

    assert bodies == [["a", "b", "c", "d"], ["a", "b"], ["c", "d"]]


async def test_a_request_for_one_key_is_not_halved() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append("".join(orjson.loads(request.content)["ids"]))
        return json_response([], 400)

    retry = RetrySettings(max_retries=0, budget_minimum=10)
    async with opened(answer, request=BODY, retry=retry) as source:
        assert await source.ask(["a"]) == ["SOURCE_REJECTED"]

    assert asked == ["a"]


@pytest.mark.parametrize(("minimum", "halved", "repeated"), [(1, 0, 1), (2, 1, 0), (3, 1, 1)])
async def test_two_halves_need_two_retries_of_the_budget(
    minimum: int, halved: int, repeated: int
) -> None:
    statuses = {"a": 400, "b": 400, "c": 503}
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append("".join(orjson.loads(request.content)["ids"]))
        return json_response([], statuses[asked[-1][0]])

    retry = RetrySettings(max_retries=1, budget_minimum=minimum, budget_share=0)
    async with opened(answer, request=BODY, retry=retry) as source:
        for keys in ("ab", "ab", "c", "c"):
            await source.clock.run(source.ask(keys))

    assert asked == ["ab", *["a", "b"] * halved, "ab", *["c"] * repeated, "c", "c"]


EACH = {"form": "each", "path": "/users/{key}", "max_concurrent_calls": 2}


async def test_single_user_calls_obey_the_limit_of_concurrent_calls() -> None:
    together = asyncio.Barrier(2)
    under_way: list[int] = [0]

    async def answer(request: httpx.Request) -> httpx.Response:
        under_way.append(under_way[-1] + 1)
        await together.wait()  # no call gets a response before two have come
        under_way.append(under_way[-1] - 1)
        key = request.url.path.removeprefix("/users/")
        return json_response([profile_row(1, id=key, username=key)])

    async with opened(answer, request=EACH) as source:
        assert await source.ask("abcdef") == list("abcdef")

    assert max(under_way) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"max_keys": 1},
        {"max_keys": 1, "request": BODY},
        {"request": {**EACH, "max_concurrent_calls": 9}},
    ],
    ids=["small calls", "small bodies", "one call for each user"],
)
async def test_a_large_batch_does_not_exceed_the_limit_of_calls(changes: dict[str, Any]) -> None:
    under_way = most = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        [key] = (
            orjson.loads(request.content)["ids"]
            if request.method == "POST"
            else keys_of(request) or [request.url.path.removeprefix("/users/")]
        )
        return json_response([profile_row(1, id=key, username=key)])

    async with opened(answer, max_calls=3, max_waiting_calls=0, **changes) as source:
        assert await source.ask("abcdefghij") == list("abcdefghij")

    assert most == 3


async def test_404_means_an_unknown_user_in_a_call_for_one_user() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        key = request.url.path.removeprefix("/users/")
        statuses = {"a": 200, "b": 404, "c": 503}
        return json_response([profile_row(1, id=key, username=key)], statuses[key])

    async with opened(answer, request=EACH) as source:
        assert await source.ask("abc") == ["a", "nobody", "SOURCE_UNAVAILABLE"]


async def test_404_is_a_failure_in_a_call_for_several_users() -> None:
    async with opened(lambda _: json_response([], 404)) as source:
        assert await source.ask("a") == ["SOURCE_REJECTED"]


async def test_the_path_in_the_log_has_no_user_id() -> None:
    async with opened(lambda _: json_response([]), request=EACH) as source:
        await source.ask(["canary"])
        events = source.events("source.fetch")

    assert [event["path"] for event in events] == ["/users/{key}"]
    assert "canary" not in str(events)


async def test_a_key_that_cannot_be_sent_is_in_the_trace_and_fails_no_other_key() -> None:
    async with opened(lambda _: json_response([profile_row(1, id="a")]), request=EACH) as source:
        assert await source.ask(["..", "a"]) == ["SOURCE_REJECTED", "user1"]

    [trace] = source.traces
    assert (trace.calls, trace.code) == (1, Code.SOURCE_REJECTED)


@pytest.mark.parametrize(
    ("asked", "came", "answers"),
    [
        ("ab", "cde", ["SOURCE_MALFORMED", "SOURCE_MALFORMED"]),
        ("a", "b", ["SOURCE_MALFORMED"]),
        ("ab", "ccc", ["SOURCE_MALFORMED", "SOURCE_MALFORMED"]),
        ("ab", "acd", ["a", "SOURCE_MALFORMED"]),
        ("ab", "bac", ["a", "b"]),
        ("abc", "ad", ["a", "SOURCE_MALFORMED", "SOURCE_MALFORMED"]),
    ],
    ids=[
        "only unrequested users",
        "another user",
        "one user many times",
        "a page of all users",
        "one user too many",
        "fewer rows than users",
    ],
)
async def test_a_response_that_ignores_the_filter_fails_the_users_without_a_row(
    asked: str, came: str, answers: list[str]
) -> None:
    rows = [profile_row(1, id=key, username=key) for key in came]
    async with opened(lambda _: json_response(rows)) as source:
        assert await source.ask(asked) == answers
        [event] = source.events("source.question_ignored")

    assert event["level"] == "error"
    assert event["path"] == "/users"
    assert event["unasked"] == sum(key not in asked for key in came)
    assert "check `request`" in event["hint"]
    assert [trace.code for trace in source.traces] == [Code.SOURCE_MALFORMED]


@pytest.mark.parametrize(
    ("asked", "came", "answers"),
    [
        ("abc", "", ["nobody"] * 3),
        ("abc", "a", ["a", "nobody", "nobody"]),
        ("ab", "aab", ["a", "b"]),
    ],
)
async def test_users_without_a_row_in_a_correct_response_are_unknown(
    asked: str, came: str, answers: list[str]
) -> None:
    rows = [profile_row(1, id=key, username=key) for key in came]
    async with opened(lambda _: json_response(rows)) as source:
        assert await source.ask(asked) == answers

        assert not source.events("source.question_ignored")


def foreign_row(number: int) -> dict[str, object]:
    """Make a row as another service writes it."""
    row = profile_row(number)
    return {"uid": row["id"], "name": {"login": row["username"], "shown": "x"}, "at": 1_700_000_000}


FOREIGN_SHAPE: dict[str, Any] = {
    "answer": {"rows": ["data"], "key": ["uid"], "more": {"next_url": ["next"]}},
    "fields": {
        "username": "name.login",
        "displayName": "name.shown",
        "email": "name.login",
        "createdAt": "unix_seconds(at)",
    },
}


async def test_rows_of_another_shape_are_read_from_several_pages() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.query.decode())
        if "page=2" in asked[-1]:
            return json_response({"data": [foreign_row(2)]})
        return json_response({"data": [foreign_row(1)], "next": "/users?page=2"})

    async with opened(answer, **FOREIGN_SHAPE) as source:
        answers = await source.ask([user_id(1), user_id(2), user_id(3)])

    assert answers == ["user1", "user2", "nobody"]
    assert len(asked) == 2


async def test_pages_in_a_circle_fail_the_users_without_a_row() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return json_response({"data": [foreign_row(1)], "next": "/users?page=1"})

    async with opened(answer, **FOREIGN_SHAPE) as source:
        answers = await source.ask([user_id(1), user_id(2)])

    assert answers == ["user1", "SOURCE_MALFORMED"]


@pytest.mark.parametrize(
    "headers",
    [{"Link": '</users?page=2>; rel="next"'}, {"Content-Range": "items 0-0/2"}],
    ids=["Link", "Content-Range"],
)
async def test_a_user_without_a_row_in_a_cut_off_response_is_not_unknown(
    headers: Mapping[str, str],
) -> None:
    def behave(request: httpx.Request) -> httpx.Response:
        if "page" in request.url.params:
            return json_response([profile_row(2, id="b")])
        response = json_response([profile_row(1, id="a")])
        response.headers.update(headers)
        return response

    async with opened(behave) as source:
        found = await source.ask(["a", "b"])
        complete = await source.ask(["a"])

    assert found == ["user1", "user2" if "Link" in headers else "SOURCE_MALFORMED"]
    assert complete == ["user1"]
