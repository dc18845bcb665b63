"""Loaders: they request each key once, and all sources at the same time."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from app.errors import Code, SourceFailure
from app.execution.load import Loaders, OpenSources
from app.execution.plan import Fetch, SourceNeeds
from app.observability.logs import make_log
from app.observability.telemetry import Telemetry
from app.observability.trace_context import TraceContext
from app.resilience.clock import SystemClock
from app.settings.models import LogSettings
from app.settings.resilience import DeadlineSettings
from app.sources.base import (
    FetchResult,
    Page,
    PageRequest,
    PageResult,
    PageSpec,
    Position,
    Record,
    RequestContext,
    UserId,
)
from app.sources.batch_scheduler import BatchScheduler, Sharing
from app.sources.mapping.fields import ForeignKey
from app.sources.records import InvoiceRecord
from app.sources.results import Result
from app.sources.telemetry import SourceTelemetry
from tests.fakes import calm_source

CALL = RequestContext("request-1", TraceContext("trace"))
A, B, C = UserId("a"), UserId("b"), UserId("c")
ONE = SourceNeeds(("profile",), existence_only=False)
BOTH = SourceNeeds(("profile", "billing"), existence_only=False)


def fetches(needs: SourceNeeds, users: Sequence[UserId]) -> list[Fetch]:
    """Make the fetches of some users from the same sources."""
    distinct = tuple(dict.fromkeys(users))
    return [Fetch(name, distinct, needs.fields.get(name)) for name in needs.sources]


async def load(
    loaders: Loaders, needs: SourceNeeds, users: Sequence[UserId]
) -> list[dict[str, Result]]:
    """Load users and return the result of each source for each of them; a bug is raised."""
    results = await loaders.load(fetches(needs, users))
    for name in needs.sources:
        for user in users:
            if isinstance(bug := results[name][user], Exception):
                raise bug
    return [{name: results[name][user] for name in needs.sources} for user in users]


LIST = PageSpec("billing", "invoices", InvoiceRecord, "/invoices", "userId", "id")


class Named(Record):
    """A record that has its source and its key."""

    source: str
    key: str


class Linked(Named):
    """A record with the user's keys at other sources."""

    foreign_keys: Mapping[str, ForeignKey]


Answer = Named | SourceFailure | None
Behaviour = Callable[[Sequence[UserId]], Awaitable[Sequence[Answer]]]


@dataclass
class RecordingSource:
    """A source.

    Attributes:
        name: Its name.
        behaviour: A function that answers instead, if a test sets it.
        batches: The keys of each call.
        calls: The request context of each call.
        ended: The number of cancelled calls.
        asked: Set by the first call.
    """

    name: str
    behaviour: Behaviour | None = None
    batches: list[list[str]] = field(default_factory=list[list[str]])
    calls: list[RequestContext] = field(default_factory=list[RequestContext])
    ended: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def fetch_many(self, keys: Sequence[UserId], call: RequestContext) -> FetchResult[Answer]:
        """Answer."""
        self.batches.append(list(keys))
        self.calls.append(call)
        self.asked.set()
        try:
            if self.behaviour is not None:
                return FetchResult(await self.behaviour(keys))
        except asyncio.CancelledError:
            self.ended += 1
            raise
        return FetchResult([record(self.name, key) for key in keys])


@dataclass
class FakePages:
    """A list of each user.

    Attributes:
        name: The source that it belongs to.
        batches: The requests of each call.
    """

    name: str = "billing"
    batches: list[list[PageRequest]] = field(default_factory=list[list[PageRequest]])

    async def fetch_pages(
        self, requests: Sequence[PageRequest], context: RequestContext
    ) -> FetchResult[PageResult[InvoiceRecord]]:
        """Answer."""
        assert context == CALL
        self.batches.append(list(requests))
        return FetchResult([Page((), has_next=request.user == B) for request in requests])


def record(source: str, key: str) -> Named:
    """Make a record."""
    return Named.model_validate({"source": source, "key": key})


def failure(source: str) -> SourceFailure:
    """Make a failure."""
    return SourceFailure(source, Code.SOURCE_TIMEOUT, "too slow")


async def hang(_: Sequence[UserId]) -> Sequence[Answer]:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def raise_bug(_: Sequence[UserId]) -> Sequence[Answer]:
    """Raise a bug."""
    raise ZeroDivisionError("a bug")


@dataclass
class FakeSources:
    """The sources, and loaders over them."""

    profile: RecordingSource
    billing: RecordingSource
    activity: RecordingSource
    pages: FakePages

    def sources(self, users: Mapping[str, BatchScheduler[Any]]) -> OpenSources:
        """The sources, as the loaders take them."""
        return OpenSources(users=users, pages={LIST: self.pages})


def scheduler_of(source: RecordingSource) -> BatchScheduler[Any]:
    """Make a scheduler whose batches are not shared by requests."""
    return BatchScheduler(
        source.name,
        source.fetch_many,
        sharing=Sharing.NOTHING,
        settings=calm_source(base_url=f"http://{source.name}"),
        deadlines=DeadlineSettings(),
        clock=SystemClock(),
        log=make_log(LogSettings()),
        telemetry=SourceTelemetry(Telemetry()),
    )


@pytest.fixture
def fake_sources() -> FakeSources:
    """Give three sources and a list."""
    profile, billing, activity = map(RecordingSource, ("profile", "billing", "activity"))
    return FakeSources(profile, billing, activity, FakePages())


@asynccontextmanager
async def loading(fake_sources: FakeSources) -> AsyncGenerator[Loaders]:
    """Open loaders with a timeout."""
    every = (fake_sources.profile, fake_sources.billing, fake_sources.activity)
    schedulers = {one.name: scheduler_of(one) for one in every}
    sources = fake_sources.sources(schedulers)
    async with asyncio.timeout(5), AsyncExitStack() as stack:
        for batches in schedulers.values():
            await stack.enter_async_context(batches)
        yield await stack.enter_async_context(Loaders(sources, CALL))


def values_of(results: dict[str, Result]) -> dict[str, object]:
    """Return the result of each source: a record's key, a failure's code or `None`."""
    return {
        name: answer.key if isinstance(answer, Named) else getattr(answer, "code", None)
        for name, answer in results.items()
    }


async def test_keys_requested_in_one_tick_are_one_batch_for_each_source(
    fake_sources: FakeSources,
) -> None:
    async with loading(fake_sources) as loaders, asyncio.TaskGroup() as group:
        group.create_task(load(loaders, BOTH, [A]))
        group.create_task(load(loaders, ONE, [B, C]))
        group.create_task(load(loaders, BOTH, [C]))

    assert fake_sources.profile.batches == [["a", "b", "c"]]
    assert fake_sources.billing.batches == [["a", "c"]]


async def test_a_user_is_requested_once_for_a_whole_request(
    fake_sources: FakeSources,
) -> None:
    async with loading(fake_sources) as loaders:
        first = await load(loaders, ONE, [A, B, A])
        second = await load(loaders, BOTH, [B, A])

    assert [values_of(one)["profile"] for one in first] == ["a", "b", "a"]
    assert [values_of(one) for one in second] == [
        {"profile": "b", "billing": "b"},
        {"profile": "a", "billing": "a"},
    ]
    assert fake_sources.profile.batches == [["a", "b"]]
    assert fake_sources.billing.batches == [["b", "a"]]


async def test_two_requests_do_not_share_their_results(fake_sources: FakeSources) -> None:
    for _ in range(2):
        async with loading(fake_sources) as loaders:
            await load(loaders, ONE, [A])

    assert fake_sources.profile.batches == [["a"], ["a"]]


async def test_no_users_cause_no_calls(fake_sources: FakeSources) -> None:
    async with loading(fake_sources) as loaders:
        assert await load(loaders, BOTH, []) == []

    assert fake_sources.profile.batches == fake_sources.billing.batches == []
    assert loaders.used == set()


async def test_all_sources_of_a_plan_are_called_at_the_same_time(fake_sources: FakeSources) -> None:
    together = asyncio.Barrier(2)

    async def wait_for_the_other(keys: Sequence[UserId]) -> Sequence[Answer]:
        await together.wait()
        return [None for _ in keys]

    fake_sources.profile.behaviour = fake_sources.billing.behaviour = wait_for_the_other
    async with loading(fake_sources) as loaders:
        [parts] = await load(loaders, BOTH, [A])

    assert parts == {"profile": None, "billing": None}


async def test_failures_are_values_beside_the_results_of_other_users(
    fake_sources: FakeSources,
) -> None:
    async def mixed(keys: Sequence[UserId]) -> Sequence[Answer]:
        answers = {A: failure("profile"), B: None}
        return [answers.get(key, record("profile", key)) for key in keys]

    fake_sources.profile.behaviour = mixed
    async with loading(fake_sources) as loaders:
        first, second, third = await load(loaders, BOTH, [A, B, C])
        [again] = await load(loaders, ONE, [A])

    assert first == {"profile": failure("profile"), "billing": record("billing", "a")}
    assert values_of(second) == {"profile": None, "billing": "b"}
    assert values_of(third) == {"profile": "c", "billing": "c"}
    assert again == {"profile": failure("profile")}
    assert fake_sources.profile.batches == [["a", "b", "c"]]


async def test_the_sources_get_the_id_and_the_trace_of_the_request(
    fake_sources: FakeSources,
) -> None:
    async with loading(fake_sources) as loaders:
        await load(loaders, BOTH, [A])

    for source in (fake_sources.profile, fake_sources.billing):
        (call,) = source.calls
        assert (call.request_id, call.trace) == (CALL.request_id, CALL.trace)


async def test_used_has_the_sources_that_were_called(fake_sources: FakeSources) -> None:
    async with loading(fake_sources) as loaders:
        assert loaders.used == set()
        await load(loaders, SourceNeeds(("billing",), existence_only=False), [A])
        assert loaders.used == {"billing"}
        await load(loaders, ONE, [A])

    assert loaders.used == {"billing", "profile"}


async def test_pages_requested_in_one_tick_are_one_batch_with_each_page_once(
    fake_sources: FakeSources,
) -> None:
    same = Position("cursor", "item")
    requests = [
        PageRequest(A, 5),
        PageRequest(B, 5),
        PageRequest(A, 5),
        PageRequest(A, 6),
        PageRequest(A, 5, same),
        PageRequest(A, 5, Position("cursor", "item")),
    ]
    async with loading(fake_sources) as loaders, asyncio.TaskGroup() as group:
        pages = [group.create_task(loaders.load_page(LIST, request)) for request in requests]

    assert fake_sources.pages.batches == [[requests[0], requests[1], requests[3], requests[4]]]
    assert [page.result() for page in pages] == [
        Page((), has_next=request.user == B) for request in requests
    ]
    assert loaders.used == {"billing"}


async def test_closed_loaders_cancel_their_fetches_and_every_waiter_gets_a_failure(
    fake_sources: FakeSources,
) -> None:
    fake_sources.profile.behaviour = hang
    async with loading(fake_sources) as loaders:
        waiters = [asyncio.create_task(load(loaders, BOTH, [A, user])) for user in (B, C)]
        await fake_sources.profile.asked.wait()
        await load(loaders, SourceNeeds(("billing",), existence_only=False), [A, B, C])
    ended = fake_sources.profile.ended

    async with asyncio.timeout(5):
        answers = [await waiter for waiter in waiters]
    assert ended == 1
    for parts in (parts for answer in answers for parts in answer):
        gone = parts["profile"]
        assert isinstance(gone, SourceFailure)
        assert gone.code is Code.SOURCE_UNAVAILABLE
        assert isinstance(parts["billing"], Named)


async def test_closing_loaders_wait_until_a_cancelled_fetch_has_cleaned_up(
    fake_sources: FakeSources,
) -> None:
    cleaned = False

    async def clean_up(keys: Sequence[UserId]) -> Sequence[Answer]:
        nonlocal cleaned
        try:
            return await hang(keys)
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            cleaned = True

    fake_sources.profile.behaviour = clean_up
    async with loading(fake_sources) as loaders:
        waiter = asyncio.create_task(load(loaders, ONE, [A]))
        await fake_sources.profile.asked.wait()
    left_with = cleaned

    async with asyncio.timeout(5):
        await waiter
    assert left_with


async def test_a_key_requested_in_the_tick_of_closing_leaves_no_waiter(
    fake_sources: FakeSources,
) -> None:
    fake_sources.profile.behaviour = hang
    async with loading(fake_sources) as loaders:
        waiter = asyncio.create_task(load(loaders, ONE, [A]))
        await asyncio.sleep(
            0
        )  # the loader has the key now, and collects more keys until the next tick

    done, _ = await asyncio.wait([waiter], timeout=0.1)
    waiter.cancel()
    assert done, "a fetch that began after the end of its request runs on"


async def test_a_bug_is_raised_in_every_waiter_and_not_reported_by_the_event_loop(
    fake_sources: FakeSources,
) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    fake_sources.profile.behaviour = fake_sources.billing.behaviour = raise_bug

    async with loading(fake_sources) as loaders:
        waiters = [
            load(loaders, BOTH, [A, B]),
            load(loaders, BOTH, [B]),
            load(loaders, ONE, [C]),
        ]
        raised = await asyncio.gather(*waiters, return_exceptions=True)
        kinds = [type(one) for one in raised]
    del loaders, waiters, raised
    for _ in range(3):
        await asyncio.sleep(0)
        gc.collect()

    assert kinds == [ZeroDivisionError] * 3
    assert not reported


async def test_a_source_that_returns_too_few_results_is_a_bug(
    fake_sources: FakeSources,
) -> None:
    async def too_few(_: Sequence[UserId]) -> Sequence[Answer]:
        return [None]

    fake_sources.profile.behaviour = too_few
    async with loading(fake_sources) as loaders:
        with pytest.raises(ValueError, match="shorter"):
            await load(loaders, ONE, [A, B])


async def test_a_cancelled_waiter_does_not_affect_another_waiter_for_the_same_user(
    fake_sources: FakeSources,
) -> None:
    go_on = asyncio.Event()

    async def wait(keys: Sequence[UserId]) -> Sequence[Answer]:
        await go_on.wait()
        return [record("profile", key) for key in keys]

    fake_sources.profile.behaviour = wait
    async with loading(fake_sources) as loaders:
        cancelled = asyncio.create_task(load(loaders, ONE, [A, B]))
        other = asyncio.create_task(load(loaders, ONE, [B, A]))
        await fake_sources.profile.asked.wait()
        cancelled.cancel()
        await asyncio.wait([cancelled])
        go_on.set()
        answers = await other
        later = await load(loaders, ONE, [A])

    assert cancelled.cancelled()
    assert [values_of(parts)["profile"] for parts in [*answers, *later]] == ["b", "a", "a"]
    assert fake_sources.profile.batches == [["a", "b"]]
    assert fake_sources.profile.ended == 0


async def test_a_user_can_be_loaded_again_after_a_waiter_timed_out(
    fake_sources: FakeSources,
) -> None:
    go_on = asyncio.Event()

    async def wait(keys: Sequence[UserId]) -> Sequence[Answer]:
        await go_on.wait()
        return [record("profile", key) for key in keys]

    fake_sources.profile.behaviour = wait
    async with loading(fake_sources) as loaders:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(load(loaders, ONE, [A]), 0.01)
        go_on.set()
        [parts] = await load(loaders, ONE, [A])

    assert values_of(parts) == {"profile": "a"}
    assert fake_sources.profile.batches == [["a"]]


def profile_needs(*fields: str) -> SourceNeeds:
    """Need some fields of profile alone."""
    return SourceNeeds(("profile",), existence_only=False, fields={"profile": frozenset(fields)})


def requested_fields(source: RecordingSource) -> list[list[str] | None]:
    """List the fields that each call requested."""
    return [None if call.fields is None else sorted(call.fields) for call in source.calls]


async def test_a_batch_requests_the_fields_of_all_its_waiters(fake_sources: FakeSources) -> None:
    async with loading(fake_sources) as loaders, asyncio.TaskGroup() as group:
        group.create_task(load(loaders, profile_needs("x"), [A]))
        group.create_task(load(loaders, profile_needs("y"), [B, A]))
        group.create_task(load(loaders, profile_needs(), [A]))

    assert fake_sources.profile.batches == [["a", "b"]]
    assert requested_fields(fake_sources.profile) == [["x", "y"]]


async def test_a_loaded_record_is_reused_if_it_has_the_fields(fake_sources: FakeSources) -> None:
    async with loading(fake_sources) as loaders:
        await load(loaders, profile_needs("x", "y"), [A])
        await load(loaders, profile_needs("y"), [A])
        await load(loaders, profile_needs("x"), [A, B])

    assert fake_sources.profile.batches == [["a"], ["b"]]
    assert requested_fields(fake_sources.profile) == [["x", "y"], ["x", "y"]]


async def test_a_loaded_record_without_a_field_is_loaded_again(
    fake_sources: FakeSources,
) -> None:
    async with loading(fake_sources) as loaders:
        await load(loaders, profile_needs("x"), [A])
        await load(loaders, profile_needs("y"), [A])

    assert fake_sources.profile.batches == [["a"], ["a"]]
    assert requested_fields(fake_sources.profile) == [["x"], ["x", "y"]]


async def test_a_bulk_fetch_requests_the_fields_of_each_source(fake_sources: FakeSources) -> None:
    async with loading(fake_sources) as loaders:
        await loaders.fetch([Fetch("profile", [A], frozenset({"x"})), Fetch("billing", [A])])

    assert requested_fields(fake_sources.profile) == [["x"]]
    assert requested_fields(fake_sources.billing) == [None]


async def test_results_of_a_bulk_fetch_are_reused_with_the_keys_of_each_source(
    fake_sources: FakeSources,
) -> None:
    async def with_key(keys: Sequence[UserId]) -> Sequence[Answer]:
        return [
            Linked.model_validate(
                {
                    "source": "profile",
                    "key": key,
                    "foreignKeys": {"billing": ForeignKey(f"cus_{key}")},
                }
            )
            for key in keys
        ]

    fake_sources.profile.behaviour = with_key
    every = [Fetch("profile", (A, B)), Fetch("billing", (A, B), key_from=("profile",))]
    async with loading(fake_sources) as loaders:
        results = await loaders.fetch(every)
        loaders.remember(every, results)

        assert await loaders.load(every) == results

    assert fake_sources.profile.batches == [["a", "b"]]
    assert fake_sources.billing.batches == [["cus_a", "cus_b"]]


async def test_results_of_a_fallback_in_a_bulk_fetch_are_reused(
    fake_sources: FakeSources,
) -> None:
    async def with_key(source: str, keys: Sequence[UserId]) -> Sequence[Answer]:
        found = {A: None, f"activity {A}": "cus_a", B: "cus_b"}
        return [
            Linked.model_validate(
                {
                    "source": source,
                    "key": key,
                    "foreignKeys": {
                        "billing": ForeignKey(found[key]),
                        "activity": ForeignKey(f"activity {key}"),
                    },
                }
            )
            for key in keys
        ]

    fake_sources.profile.behaviour = partial(with_key, "profile")
    fake_sources.activity.behaviour = partial(with_key, "activity")
    every = [
        Fetch("billing", (A, B), key_from=("profile", "activity")),
        Fetch("profile", (A, B)),
        Fetch("activity", (), key_from=("profile",), if_needed=(A, B)),
    ]
    async with loading(fake_sources) as loaders:
        results = await loaders.fetch(every)
        loaders.remember(every, results)

        assert await loaders.load(every) == results

    assert fake_sources.profile.batches == [["a", "b"]]
    assert fake_sources.activity.batches == [["activity a"]]
    assert fake_sources.billing.batches == [["cus_a", "cus_b"]]
