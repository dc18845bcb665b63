"""Asking the sources: every key once, all needed sources at the same time."""

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
    """Ask the same sources about each of some users."""
    distinct = tuple(dict.fromkeys(users))
    return [Fetch(name, distinct, needs.fields.get(name)) for name in needs.sources]


async def load(
    loaders: Loaders, needs: SourceNeeds, users: Sequence[UserId]
) -> list[dict[str, Result]]:
    """Load users, and tell what each source said of each of them; a bug is raised."""
    results = await loaders.load(fetches(needs, users))
    for name in needs.sources:
        for user in users:
            if isinstance(bug := results[name][user], Exception):
                raise bug
    return [{name: results[name][user] for name in needs.sources} for user in users]


LIST = PageSpec("billing", "invoices", InvoiceRecord, "/invoices", "userId", "id")


class Named(Record):
    """A record that says whose and which source's it is."""

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
        behaviour: What it does instead of answering, if a test wants that.
        batches: The keys of each call.
        calls: What of the request each call brought.
        ended: How many calls were ended from outside.
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


async def break_down(_: Sequence[UserId]) -> Sequence[Answer]:
    """Have a bug."""
    raise ZeroDivisionError("a bug")


@dataclass
class LoaderWorld:
    """The sources, and loaders over them."""

    profile: RecordingSource
    billing: RecordingSource
    activity: RecordingSource
    pages: FakePages

    def sources(self, users: Mapping[str, BatchScheduler[Any]]) -> OpenSources:
        """The sources, as the loaders take them."""
        return OpenSources(users=users, pages={LIST: self.pages})


def scheduler_of(source: RecordingSource) -> BatchScheduler[Any]:
    """Make batches to a source that requests do not share."""
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
def world() -> LoaderWorld:
    """Give three sources and a list."""
    profile, billing, activity = map(RecordingSource, ("profile", "billing", "activity"))
    return LoaderWorld(profile, billing, activity, FakePages())


@asynccontextmanager
async def loading(world: LoaderWorld) -> AsyncGenerator[Loaders]:
    """Open loaders, and fail what hangs."""
    every = (world.profile, world.billing, world.activity)
    schedulers = {one.name: scheduler_of(one) for one in every}
    sources = world.sources(schedulers)
    async with asyncio.timeout(5), AsyncExitStack() as stack:
        for batches in schedulers.values():
            await stack.enter_async_context(batches)
        yield await stack.enter_async_context(Loaders(sources, CALL))


def said(results: dict[str, Result]) -> dict[str, object]:
    """Write what each source said: a record's key, a failure's code, or nothing."""
    return {
        name: answer.key if isinstance(answer, Named) else getattr(answer, "code", None)
        for name, answer in results.items()
    }


async def test_what_is_asked_in_one_tick_is_one_batch_a_source(world: LoaderWorld) -> None:
    async with loading(world) as loaders, asyncio.TaskGroup() as group:
        group.create_task(load(loaders, BOTH, [A]))
        group.create_task(load(loaders, ONE, [B, C]))
        group.create_task(load(loaders, BOTH, [C]))

    assert world.profile.batches == [["a", "b", "c"]]
    assert world.billing.batches == [["a", "c"]]


async def test_a_user_is_asked_for_once_however_often_the_request_wants_it(
    world: LoaderWorld,
) -> None:
    async with loading(world) as loaders:
        first = await load(loaders, ONE, [A, B, A])
        second = await load(loaders, BOTH, [B, A])

    assert [said(one)["profile"] for one in first] == ["a", "b", "a"]
    assert [said(one) for one in second] == [
        {"profile": "b", "billing": "b"},
        {"profile": "a", "billing": "a"},
    ]
    assert world.profile.batches == [["a", "b"]]
    assert world.billing.batches == [["b", "a"]]


async def test_one_request_s_answers_are_never_another_s(world: LoaderWorld) -> None:
    for _ in range(2):
        async with loading(world) as loaders:
            await load(loaders, ONE, [A])

    assert world.profile.batches == [["a"], ["a"]]


async def test_no_users_are_no_call(world: LoaderWorld) -> None:
    async with loading(world) as loaders:
        assert await load(loaders, BOTH, []) == []

    assert world.profile.batches == world.billing.batches == []
    assert loaders.used == set()


async def test_all_sources_of_a_plan_are_asked_at_the_same_time(world: LoaderWorld) -> None:
    together = asyncio.Barrier(2)

    async def wait_for_the_other(keys: Sequence[UserId]) -> Sequence[Answer]:
        await together.wait()
        return [None for _ in keys]

    world.profile.behaviour = world.billing.behaviour = wait_for_the_other
    async with loading(world) as loaders:
        [parts] = await load(loaders, BOTH, [A])

    assert parts == {"profile": None, "billing": None}


async def test_failures_are_values_beside_the_answers_of_others(world: LoaderWorld) -> None:
    async def mixed(keys: Sequence[UserId]) -> Sequence[Answer]:
        answers = {A: failure("profile"), B: None}
        return [answers.get(key, record("profile", key)) for key in keys]

    world.profile.behaviour = mixed
    async with loading(world) as loaders:
        first, second, third = await load(loaders, BOTH, [A, B, C])
        [again] = await load(loaders, ONE, [A])

    assert first == {"profile": failure("profile"), "billing": record("billing", "a")}
    assert said(second) == {"profile": None, "billing": "b"}
    assert said(third) == {"profile": "c", "billing": "c"}
    assert again == {"profile": failure("profile")}
    assert world.profile.batches == [["a", "b", "c"]]


async def test_what_of_the_request_goes_on_reaches_the_sources(world: LoaderWorld) -> None:
    async with loading(world) as loaders:
        await load(loaders, BOTH, [A])

    for source in (world.profile, world.billing):
        (call,) = source.calls
        assert (call.request_id, call.trace) == (CALL.request_id, CALL.trace)


async def test_used_names_the_sources_that_were_asked(world: LoaderWorld) -> None:
    async with loading(world) as loaders:
        assert loaders.used == set()
        await load(loaders, SourceNeeds(("billing",), existence_only=False), [A])
        assert loaders.used == {"billing"}
        await load(loaders, ONE, [A])

    assert loaders.used == {"billing", "profile"}


async def test_pages_asked_in_one_tick_are_one_batch_and_the_same_page_is_asked_once(
    world: LoaderWorld,
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
    async with loading(world) as loaders, asyncio.TaskGroup() as group:
        pages = [group.create_task(loaders.load_page(LIST, request)) for request in requests]

    assert world.pages.batches == [[requests[0], requests[1], requests[3], requests[4]]]
    assert [page.result() for page in pages] == [
        Page((), has_next=request.user == B) for request in requests
    ]
    assert loaders.used == {"billing"}


async def test_leaving_ends_the_fetches_that_run_and_settles_every_waiter(
    world: LoaderWorld,
) -> None:
    world.profile.behaviour = hang
    async with loading(world) as loaders:
        waiters = [asyncio.create_task(load(loaders, BOTH, [A, user])) for user in (B, C)]
        await world.profile.asked.wait()
        await load(loaders, SourceNeeds(("billing",), existence_only=False), [A, B, C])
    ended = world.profile.ended

    async with asyncio.timeout(5):
        answers = [await waiter for waiter in waiters]
    assert ended == 1
    for parts in (parts for answer in answers for parts in answer):
        gone = parts["profile"]
        assert isinstance(gone, SourceFailure)
        assert gone.code is Code.SOURCE_UNAVAILABLE
        assert isinstance(parts["billing"], Named)


async def test_leaving_waits_until_a_fetch_has_cleaned_up(world: LoaderWorld) -> None:
    cleaned = False

    async def clean_up(keys: Sequence[UserId]) -> Sequence[Answer]:
        nonlocal cleaned
        try:
            return await hang(keys)
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            cleaned = True

    world.profile.behaviour = clean_up
    async with loading(world) as loaders:
        waiter = asyncio.create_task(load(loaders, ONE, [A]))
        await world.profile.asked.wait()
    left_with = cleaned

    async with asyncio.timeout(5):
        await waiter
    assert left_with


async def test_what_was_asked_for_in_the_tick_of_leaving_leaves_nobody_waiting_either(
    world: LoaderWorld,
) -> None:
    world.profile.behaviour = hang
    async with loading(world) as loaders:
        waiter = asyncio.create_task(load(loaders, ONE, [A]))
        await asyncio.sleep(0)  # it has asked its loader, which collects more until the next tick

    done, _ = await asyncio.wait([waiter], timeout=0.1)
    waiter.cancel()
    assert done, "a fetch that began after the end of its request runs on"


async def test_a_bug_reaches_every_waiter_and_is_reported_by_nobody_else(
    world: LoaderWorld,
) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    world.profile.behaviour = world.billing.behaviour = break_down

    async with loading(world) as loaders:
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


async def test_a_source_that_answers_for_too_few_keys_is_a_bug_and_leaves_nobody_waiting(
    world: LoaderWorld,
) -> None:
    async def too_few(_: Sequence[UserId]) -> Sequence[Answer]:
        return [None]

    world.profile.behaviour = too_few
    async with loading(world) as loaders:
        with pytest.raises(ValueError, match="shorter"):
            await load(loaders, ONE, [A, B])


async def test_a_waiter_that_is_cancelled_does_not_harm_another_of_the_same_user(
    world: LoaderWorld,
) -> None:
    go_on = asyncio.Event()

    async def wait(keys: Sequence[UserId]) -> Sequence[Answer]:
        await go_on.wait()
        return [record("profile", key) for key in keys]

    world.profile.behaviour = wait
    async with loading(world) as loaders:
        cancelled = asyncio.create_task(load(loaders, ONE, [A, B]))
        other = asyncio.create_task(load(loaders, ONE, [B, A]))
        await world.profile.asked.wait()
        cancelled.cancel()
        await asyncio.wait([cancelled])
        go_on.set()
        answers = await other
        later = await load(loaders, ONE, [A])

    assert cancelled.cancelled()
    assert [said(parts)["profile"] for parts in [*answers, *later]] == ["b", "a", "a"]
    assert world.profile.batches == [["a", "b"]]
    assert world.profile.ended == 0


async def test_a_waiter_that_gives_up_in_time_does_not_poison_the_user(world: LoaderWorld) -> None:
    go_on = asyncio.Event()

    async def wait(keys: Sequence[UserId]) -> Sequence[Answer]:
        await go_on.wait()
        return [record("profile", key) for key in keys]

    world.profile.behaviour = wait
    async with loading(world) as loaders:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(load(loaders, ONE, [A]), 0.01)
        go_on.set()
        [parts] = await load(loaders, ONE, [A])

    assert said(parts) == {"profile": "a"}
    assert world.profile.batches == [["a"]]


def wanting(*fields: str) -> SourceNeeds:
    """Need some fields of profile alone."""
    return SourceNeeds(("profile",), existence_only=False, fields={"profile": frozenset(fields)})


def asked_for(source: RecordingSource) -> list[list[str] | None]:
    """Tell for which fields each call asked."""
    return [None if call.fields is None else sorted(call.fields) for call in source.calls]


async def test_what_is_asked_in_one_tick_asks_for_the_fields_of_all(world: LoaderWorld) -> None:
    async with loading(world) as loaders, asyncio.TaskGroup() as group:
        group.create_task(load(loaders, wanting("x"), [A]))
        group.create_task(load(loaders, wanting("y"), [B, A]))
        group.create_task(load(loaders, wanting(), [A]))

    assert world.profile.batches == [["a", "b"]]
    assert asked_for(world.profile) == [["x", "y"]]


async def test_what_was_loaded_serves_those_who_want_no_more_of_it(world: LoaderWorld) -> None:
    async with loading(world) as loaders:
        await load(loaders, wanting("x", "y"), [A])
        await load(loaders, wanting("y"), [A])
        await load(loaders, wanting("x"), [A, B])

    assert world.profile.batches == [["a"], ["b"]]
    assert asked_for(world.profile) == [["x", "y"], ["x", "y"]]


async def test_what_was_loaded_is_loaded_again_for_a_field_that_it_lacks(
    world: LoaderWorld,
) -> None:
    async with loading(world) as loaders:
        await load(loaders, wanting("x"), [A])
        await load(loaders, wanting("y"), [A])

    assert world.profile.batches == [["a"], ["a"]]
    assert asked_for(world.profile) == [["x"], ["x", "y"]]


async def test_in_bulk_each_source_is_asked_for_its_own_fields(world: LoaderWorld) -> None:
    async with loading(world) as loaders:
        await loaders.fetch([Fetch("profile", [A], frozenset({"x"})), Fetch("billing", [A])])

    assert asked_for(world.profile) == [["x"]]
    assert asked_for(world.billing) == [None]


async def test_what_was_loaded_in_bulk_serves_the_resolvers_by_the_keys_of_each_source(
    world: LoaderWorld,
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

    world.profile.behaviour = with_key
    every = [Fetch("profile", (A, B)), Fetch("billing", (A, B), key_from=("profile",))]
    async with loading(world) as loaders:
        results = await loaders.fetch(every)
        loaders.remember(every, results)

        assert await loaders.load(every) == results

    assert world.profile.batches == [["a", "b"]]
    assert world.billing.batches == [["cus_a", "cus_b"]]


async def test_what_was_found_by_a_fallback_in_bulk_serves_the_resolvers_too(
    world: LoaderWorld,
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

    world.profile.behaviour = partial(with_key, "profile")
    world.activity.behaviour = partial(with_key, "activity")
    every = [
        Fetch("billing", (A, B), key_from=("profile", "activity")),
        Fetch("profile", (A, B)),
        Fetch("activity", (), key_from=("profile",), if_needed=(A, B)),
    ]
    async with loading(world) as loaders:
        results = await loaders.fetch(every)
        loaders.remember(every, results)

        assert await loaders.load(every) == results

    assert world.profile.batches == [["a", "b"]]
    assert world.activity.batches == [["activity a"]]
    assert world.billing.batches == [["cus_a", "cus_b"]]
