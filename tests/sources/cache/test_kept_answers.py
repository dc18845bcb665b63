"""How the cache headers of a service limit its cached results, from the response to the cache."""

import io
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest

from app.errors import SourceFailure
from app.observability.logs import make_log
from app.observability.telemetry import Telemetry
from app.settings.models import LogSettings
from app.settings.request import EachRequest
from app.settings.resilience import CacheSettings, CoalesceSettings, DeadlineSettings
from app.settings.response import AnswerSettings
from app.sources.base import RequestContext, SourceResult, UserId
from app.sources.batch import wait_for_batches
from app.sources.cache.entity_cache import CachedSource
from app.sources.cache.invalidation import Invalidations
from app.sources.cache.store import EntityStore
from app.sources.client import open_service
from app.sources.records import PROFILE, ProfileRecord
from app.sources.rest import RestSource
from app.sources.telemetry import SourceTelemetry
from tests.clock import ManualClock
from tests.fakes import FakeTransport, calm_source, json_response, profile_row, user_id

Headers = Mapping[str, str] | Sequence[tuple[str, str]]

KEEPING = CacheSettings(
    enabled=True, ttl=100.0, stale_while_revalidate=0.0, stale_if_error=1000.0, unknown_ttl=50.0
)


def _name_of(result: SourceResult[ProfileRecord] | Exception) -> str:
    """Return the name of a user, the code of a failure, or ``nobody`` for an unknown user."""
    assert not isinstance(result, Exception)
    if isinstance(result, SourceFailure):
        return result.code.value
    return str(result.username) if isinstance(result, ProfileRecord) else "nobody"


class CachedService:
    """A service, and the cached source over it.

    Attributes:
        headers: The headers of its responses, by the first requested user; 0 for all others.
        status: The status of its responses.
        known: The users that it knows.
        page: How many rows are on a page; 0 for no pages.
        batches: The users of each call.
        clock: The time.
    """

    def __init__(self, clock: ManualClock) -> None:
        self.headers: dict[int, Headers] = {}
        self.status = 200
        self.known = range(1, 10)
        self.page = 0
        self.batches: list[list[int]] = []
        self.clock = clock
        self.log = io.StringIO()
        self.source: CachedSource[ProfileRecord] | None = None
        self.before: Callable[[], object] = lambda: None

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a call."""
        self.before()
        users = [int(key[-12:]) for key in request.url.params.get_list("id")]
        start = int(request.url.params.get("start", "0"))
        self.batches.append(users)
        rows = [profile_row(user) for user in users if user in self.known]
        shown = rows[start : start + self.page] if self.page else rows
        following = start + len(shown) if len(shown) + start < len(rows) else None
        headers = self.headers.get(start or users[0], self.headers.get(0, ()))
        body = {"rows": shown, "next": following} if self.page else shown
        response = json_response(body, self.status)
        response.headers = httpx.Headers([*response.headers.multi_items(), *pairs(headers)])
        return response

    async def ask(self, *users: int, identity: str = "") -> list[str]:
        """Ask for users; return the name of each, or the code of its failure."""
        assert self.source is not None
        call = RequestContext("request-1", identity=identity)
        keys = [UserId(user_id(user)) for user in users]
        pending = self.source.enqueue(keys, call)
        if pending.pending:
            await wait_for_batches(pending.pending)
        results = pending.collect().results
        return [_name_of(results[key]) for key in keys]

    async def asked_again(self, *users: int, identity: str = "") -> bool:
        """Ask for users; return whether that made a call to the service."""
        before = len(self.batches)
        await self.ask(*users, identity=identity)
        return len(self.batches) > before

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """Return the log lines of an event."""
        lines = [orjson.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]


def pairs(headers: Headers) -> Sequence[tuple[str, str]]:
    """Write headers as pairs."""
    return list(headers.items()) if isinstance(headers, Mapping) else list(headers)


@asynccontextmanager
async def serving(**changes: Any) -> AsyncGenerator[CachedService]:  # noqa: ANN401 # any setting
    """Open a service and the cached source over it."""
    service = CachedService(ManualClock())
    log = make_log(LogSettings(level="debug"), "json", service.log)
    settings = calm_source(
        **{
            "base_url": "http://profile",
            "cache": KEEPING,
            "coalesce": CoalesceSettings(enabled=False),
            "contract": "stale_ok",
            **changes,
        }
    )
    async with (
        open_service(
            "profile",
            settings,
            lambda _: FakeTransport(service.answer),
            deadlines=DeadlineSettings(),
            clock=service.clock,
            chance=lambda: 0.5,
            log=log,
            telemetry=Telemetry(),
        ) as client,
        CachedSource(
            RestSource(PROFILE, client, log),
            settings,
            store=EntityStore(100),
            invalidations=Invalidations(service.clock),
            deadlines=DeadlineSettings(),
            clock=service.clock,
            log=log,
            telemetry=SourceTelemetry(Telemetry()),
        ) as source,
    ):
        service.source = source
        yield service


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 100.0),
        ({"Cache-Control": "public"}, 100.0),
        ({"Cache-Control": "max-age=7"}, 7.0),
        ({"cache-control": "MAX-AGE=7"}, 7.0),
        ({"Cache-Control": "max-age=7", "Age": "2"}, 5.0),
        ({"Cache-Control": "max-age=3600"}, 100.0),
        ({"Cache-Control": "max-age=" + "9" * 400}, 100.0),
        ({"Cache-Control": "max-age=3600, s-maxage=7"}, 7.0),
        ([("Cache-Control", "max-age=7"), ("Cache-Control", "must-revalidate")], 7.0),
        ([("Cache-Control", "max-age=7"), ("Cache-Control", "max-age=9")], 0.0),
        ({"Expires": "Thu, 01 Jan 1970 00:16:47 GMT"}, 7.0),  # it is 00:16:40 here
        ({"Expires": "Thu, 01 Jan 1970 00:16:40 GMT"}, 0.0),
        ({"Expires": "Wed, 31 Dec 1969 23:59:59 GMT"}, 0.0),
        ({"Expires": "0"}, 0.0),
        ({"Expires": "Wed, 31 Dec 1969 23:59:59 GMT", "Cache-Control": "max-age=7"}, 7.0),
        ({"Cache-Control": "max-age=soon"}, 0.0),
        ({"Cache-Control": "max-age=-7"}, 0.0),
        ({"Cache-Control": "no-cache"}, 0.0),
        ({"Cache-Control": "no-store"}, 0.0),
        ([("Cache-Control", "max-age=7"), ("Cache-Control", "no-store")], 0.0),
        ({"Cache-Control": "private, max-age=7"}, 0.0),  # the caller has no identity
    ],
)
async def test_a_response_is_cached_no_longer_than_its_headers_allow(
    headers: Headers, seconds: float
) -> None:
    async with serving() as service:
        service.headers[0] = headers
        assert await service.ask(1) == ["user1"]
        if seconds:
            service.clock.advance(seconds - 0.001)
            assert not await service.asked_again(1)
        service.clock.advance(0.002)

        assert await service.asked_again(1)


@pytest.mark.parametrize(
    ("control", "covers"),
    [
        ("max-age=7", True),
        ("no-cache", False),
        ("no-store", False),
        ("private", False),
        ("max-age=7, must-revalidate", False),
        ("s-maxage=7", False),
        ("max-age=7, stale-if-error=5", True),
        ("max-age=7, stale-if-error=1", False),
    ],
)
async def test_a_stale_response_covers_a_failure_only_if_its_headers_allow_it(
    control: str, *, covers: bool
) -> None:
    async with serving() as service:
        service.headers[0] = {"Cache-Control": control}
        await service.ask(1)
        service.clock.advance(10.0)
        service.status = 503

        assert await service.ask(1) == ["user1" if covers else "SOURCE_UNAVAILABLE"]


async def test_a_response_is_revalidated_in_background_only_if_its_headers_allow() -> None:
    cache = KEEPING.model_copy(update={"stale_while_revalidate": 50.0})
    async with serving(cache=cache, contract="optional") as service:
        service.headers[0] = {"Cache-Control": "max-age=5, stale-while-revalidate=10"}
        await service.ask(1)
        service.status = 503
        service.clock.advance(14.0)
        assert await service.ask(1) == ["user1"]
        await service.clock.settle()
        service.clock.advance(2.0)

        assert await service.ask(1) == ["SOURCE_UNAVAILABLE"]


async def test_a_private_response_is_cached_for_its_own_caller_only() -> None:
    async with serving() as service:
        service.headers[0] = {"Cache-Control": "private, max-age=7"}
        await service.ask(1, identity="anna")

        assert not await service.asked_again(1, identity="anna")
        assert await service.asked_again(1, identity="ben")
        assert await service.asked_again(1)
        service.clock.advance(8.0)
        assert await service.asked_again(1, identity="anna")


async def test_each_response_of_a_split_batch_limits_its_own_rows() -> None:
    async with serving(max_keys=2) as service:
        service.headers = {
            1: {"Cache-Control": "max-age=7"},
            3: {"Cache-Control": "no-store"},
            5: {},
        }
        await service.ask(1, 2, 3, 4, 5)
        service.batches.clear()
        await service.ask(1, 2, 3, 4, 5)
        service.clock.advance(8.0)
        service.headers = {}
        await service.ask(1, 2, 3, 4, 5)

        assert service.batches == [[3, 4], [1, 2], [3, 4]]


async def test_each_page_limits_its_own_rows() -> None:
    answer = AnswerSettings.model_validate(
        {"rows": ["rows"], "more": {"next_cursor": ["next"], "cursor_parameter": "start"}}
    )
    async with serving(answer=answer) as service:
        service.page = 2
        service.headers = {1: {"Cache-Control": "max-age=7"}, 2: {"Cache-Control": "no-store"}}
        assert await service.ask(1, 2, 3) == ["user1", "user2", "user3"]

        assert not await service.asked_again(1, 2)
        assert await service.asked_again(3)
        service.clock.advance(8.0)
        assert await service.asked_again(1)


async def test_the_time_of_the_call_is_subtracted_from_the_lifetime() -> None:
    async with serving() as service:
        service.headers[0] = {"Cache-Control": "max-age=7"}
        service.before = lambda: service.clock.advance(1.5)
        await service.ask(1)
        service.before = lambda: None
        service.clock.advance(5.4)
        assert not await service.asked_again(1)
        service.clock.advance(0.2)

        assert await service.asked_again(1)


@pytest.mark.parametrize(("control", "kept"), [("max-age=7", True), ("no-store", False)])
async def test_an_unknown_user_is_cached_no_longer_than_its_response(
    control: str, *, kept: bool
) -> None:
    async with serving() as service:
        service.known = range(0)
        service.headers[0] = {"Cache-Control": control}
        await service.ask(1)

        assert await service.asked_again(1) is not kept
        service.clock.advance(8.0)
        assert await service.asked_again(1)


@pytest.mark.parametrize(("control", "kept"), [("max-age=7", True), ("no-store", False)])
async def test_a_status_that_means_unknown_user_has_a_lifetime_too(
    control: str, *, kept: bool
) -> None:
    one_each = EachRequest(form="each", path="/users", parameter="id")
    absent = AnswerSettings(status={404: "absent"})
    for shape in ({"request": one_each, "answer": absent}, {"answer": absent}):
        async with serving(**shape) as service:
            service.status = 404
            service.headers[0] = {"Cache-Control": control}
            assert await service.ask(1) == ["nobody"]

            assert await service.asked_again(1) is not kept


async def test_the_headers_of_a_failure_do_not_limit_the_response_of_its_retry() -> None:
    async with serving(retry={"max_retries": 1, "base_delay": 0.001}) as service:
        service.status, service.headers[0] = 503, {"Cache-Control": "no-store"}

        def heal() -> None:
            if service.batches:
                service.status, service.headers = 200, {}

        service.before = heal
        assert await service.clock.run(service.ask(1)) == ["user1"]

        assert not await service.asked_again(1)


@pytest.mark.parametrize(("vary", "kept"), [("*", False), ("Accept-Encoding", True)])
async def test_a_response_with_a_vary_header_of_a_star_is_not_cached(
    *, vary: str, kept: bool
) -> None:
    async with serving() as service:
        service.headers[0] = {"Vary": vary}
        assert await service.ask(1) == ["user1"]

        assert await service.asked_again(1) is not kept


async def test_a_source_whose_responses_may_not_be_cached_is_logged_once() -> None:
    async with serving() as service:
        service.headers[0] = {"Cache-Control": "no-store"}
        for _ in range(3):
            await service.ask(1, 2)

        [event] = service.events("cache.not_allowed")
        assert event["source"] == "profile"
        assert service.source is not None
        assert service.source.unkept == 6
