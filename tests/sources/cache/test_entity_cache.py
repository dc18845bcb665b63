"""Fresh entries replace calls, and stale entries are used when the source fails."""

import asyncio
import io
import json
import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from msgspec import structs
from msgspec.structs import replace

from app.errors import Code, SourceFailure
from app.observability.logs import make_log
from app.observability.telemetry import Telemetry
from app.resilience.clock import Deadline
from app.settings.models import LogSettings
from app.settings.resilience import CacheSettings, CoalesceSettings, DeadlineSettings
from app.settings.source import SourceSettings
from app.sources.base import DamagedRecord, FetchResult, RequestContext, SourceSpec, UserId
from app.sources.batch import BatchedSource
from app.sources.cache.entity_cache import CachedSource
from app.sources.cache.entry_use import EntryUse, use_of
from app.sources.cache.invalidation import DOUBT_AFTER, Invalidations
from app.sources.cache.lifetime import OVER, Lifetime, SeenResponse
from app.sources.cache.store import EntityStore, Entry, EntryKey
from app.sources.mapping.decoding import values_of
from app.sources.records_in_parts import partial
from app.sources.telemetry import SourceTelemetry
from tests.clock import ManualClock
from tests.fakes import calm_source
from tests.properties import examples
from tests.sources.crowd import RESERVE, CacheModel, Word
from tests.sources.upstream import (
    NAME,
    PersonRecord,
    Requests,
    Said,
    Upstream,
    failure,
    ids,
    told,
)

TTL, BEHIND, IF_ERROR, UNKNOWN = 10.0, 20.0, 60.0, 2.0

BUDGET = 5.0

TIMEOUT, UNAVAILABLE = Code.SOURCE_TIMEOUT.value, Code.SOURCE_UNAVAILABLE.value

SOURCE_CODES = [code for code in Code if code.value.startswith("SOURCE_")]


def source_settings(contract: str = "stale_ok", **changes: float) -> SourceSettings:
    """Make the settings of a source with a cache."""
    ages = {
        "ttl": TTL,
        "stale_while_revalidate": BEHIND,
        "stale_if_error": IF_ERROR,
        "unknown_ttl": UNKNOWN,
    }
    cache = CacheSettings.model_validate({"enabled": True, **ages, **changes})
    return calm_source(
        base_url="http://profile",
        contract=contract,
        cache=cache,
        coalesce=CoalesceSettings(enabled=False, max_wait=60),
        timeout=0.1,  # short, so that every caller here has enough time to share a batch
    )


@dataclass
class CacheHarness:
    """A cached source and its callers.

    Attributes:
        clock: The time.
        upstream: What is behind the cache.
        cached: The source with the cache.
        log: What it reports.
        invalidations: What must not be used any more.
    """

    clock: ManualClock
    upstream: Upstream
    cached: CachedSource[PersonRecord]
    log: io.StringIO
    invalidations: Invalidations
    requests: Requests = field(default_factory=Requests)

    async def begin(
        self,
        keys: str,
        *,
        identity: str = "",
        seconds: float | None = None,
        fields: str | None = None,
    ) -> tuple[asyncio.Task[Sequence[Said]], RequestContext]:
        """Start a caller with a deadline in seconds; it asks for some fields."""
        deadline = None if seconds is None else Deadline(self.clock.seconds + seconds, self.clock)
        some = None if fields is None else frozenset(fields.split())
        context = RequestContext("r", identity=identity, deadline=deadline)

        async def visit() -> Sequence[Said]:
            pending = self.cached.enqueue(ids(keys), context, fields=some)
            return await self.requests.fetch(pending, ids(keys), context)

        caller = asyncio.create_task(visit())
        await self.clock.settle()
        return caller, context

    async def ask(
        self, keys: str, *, identity: str = "", fields: str | None = None
    ) -> list[str | int | None]:
        """Ask for keys; the results have to be there at once."""
        caller, _ = await self.begin(keys, identity=identity, fields=fields)
        assert caller.done()
        return told(caller.result())

    async def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        await self.clock.settle()

    def events(self) -> list[Mapping[str, Any]]:
        """Read what was logged."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


class OpenHarness(Protocol):
    """Opens a harness with the settings and the store of the test."""

    async def __call__(
        self,
        settings: SourceSettings,
        store: EntityStore[PersonRecord] | None = None,
        upstream: Upstream | None = None,
    ) -> CacheHarness:
        """Open it."""
        ...


@pytest.fixture
async def open_harness(clock: ManualClock) -> AsyncGenerator[OpenHarness]:
    """Return a function that opens harnesses; no task of them is left at the end."""
    opened: list[CachedSource[PersonRecord]] = []

    async def make_harness(
        settings: SourceSettings,
        store: EntityStore[PersonRecord] | None = None,
        upstream: Upstream | None = None,
    ) -> CacheHarness:
        upstream, log = upstream or Upstream(), io.StringIO()
        invalidations = Invalidations(clock)
        cached = CachedSource(
            upstream,
            settings,
            store=store or EntityStore[PersonRecord](100),
            invalidations=invalidations,
            deadlines=DeadlineSettings(budget=BUDGET, reserve=RESERVE),
            clock=clock,
            log=make_log(LogSettings(format="json"), stream=log),
            telemetry=SourceTelemetry(Telemetry()),
        )
        opened.append(await cached.__aenter__())
        return CacheHarness(clock, upstream, cached, log, invalidations)

    yield make_harness
    for cached in opened:
        await cached.__aexit__(None, None, None)
        assert cached.scheduler.in_flight == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
async def harness(open_harness: OpenHarness) -> CacheHarness:
    """Return a harness with a cache that may use stale entries."""
    return await open_harness(source_settings())


def some_entry(*, known: bool = True) -> Entry[PersonRecord]:
    """Make an entry."""
    key = EntryKey("", UserId("a"))
    person = PersonRecord(id="a", identity="", version=0)
    return Entry(key, person if known else None, SeenResponse(datetime(2026, 6, 1, tzinfo=UTC)))


def with_lifetime(entry: Entry[PersonRecord], lifetime: Lifetime) -> Entry[PersonRecord]:
    """Make the same entry with the lifetime of its response."""
    return structs.replace(entry, seen=SeenResponse(entry.fetched_at, lifetime=lifetime))


@pytest.mark.parametrize(
    ("age", "use"),
    [
        (0.0, EntryUse.FRESH),
        (TTL, EntryUse.FRESH),
        (TTL + 0.001, EntryUse.REVALIDATE),
        (TTL + BEHIND, EntryUse.REVALIDATE),
        (TTL + BEHIND + 0.001, EntryUse.IF_ERROR),
        (TTL + BEHIND + IF_ERROR, EntryUse.IF_ERROR),
        (TTL + BEHIND + IF_ERROR + 0.001, EntryUse.NONE),
        (-0.001, EntryUse.NONE),
    ],
)
@pytest.mark.parametrize("contract", ["stale_ok", "optional", "required"])
def test_the_use_of_a_record_depends_on_its_age(age: float, use: EntryUse, contract: str) -> None:
    entry = some_entry()
    now = entry.fetched_at + timedelta(seconds=age)

    expected = EntryUse.NONE if use is EntryUse.IF_ERROR and contract != "stale_ok" else use

    assert use_of(entry, now, source_settings(contract)) is expected


@pytest.mark.parametrize(
    ("age", "use"),
    [
        (0.0, EntryUse.FRESH),
        (UNKNOWN, EntryUse.FRESH),
        (UNKNOWN + 0.001, EntryUse.NONE),
        (-1.0, EntryUse.NONE),
    ],
)
def test_a_stale_entry_of_an_unknown_user_is_never_used(age: float, use: EntryUse) -> None:
    entry = some_entry(known=False)
    now = entry.fetched_at + timedelta(seconds=age)

    assert use_of(entry, now, source_settings()) is use


@pytest.mark.parametrize(
    ("lifetime", "uses"),
    [
        # The greatest ages for: fresh, revalidated in background, used if the source fails.
        (Lifetime(), (TTL, TTL + BEHIND, TTL + BEHIND + IF_ERROR)),
        (Lifetime(fresh=1000.0), (TTL, TTL + BEHIND, TTL + BEHIND + IF_ERROR)),
        (Lifetime(fresh=4.0), (4.0, 4.0 + BEHIND, 4.0 + BEHIND + IF_ERROR)),
        (Lifetime(fresh=0.0), (0.0, BEHIND, BEHIND + IF_ERROR)),
        (Lifetime(fresh=-5.0), (0.0, BEHIND - 5.0, BEHIND + IF_ERROR - 5.0)),
        (Lifetime(fresh=4.0, stale_while_revalidate=3.0), (4.0, 7.0, 7.0 + IF_ERROR)),
        (Lifetime(fresh=4.0, stale_if_error=50.0), (4.0, 4.0 + BEHIND, 54.0)),
        (Lifetime(fresh=4.0, stale_if_error=5.0), (4.0, 4.0 + BEHIND, 4.0 + BEHIND)),
        (Lifetime(stale_while_revalidate=0.0, stale_if_error=0.0), (TTL, TTL, TTL)),
        (OVER, (0.0, 0.0, 0.0)),
    ],
)
def test_the_lifetime_of_a_response_limits_the_use_of_its_record(
    lifetime: Lifetime, uses: tuple[float, float, float]
) -> None:
    entry = with_lifetime(some_entry(), lifetime)
    ends = dict(zip((EntryUse.FRESH, EntryUse.REVALIDATE, EntryUse.IF_ERROR), uses, strict=True))

    for age in (0.0, *(end + much for end in uses for much in (-0.001, 0.001))):
        now = entry.fetched_at + timedelta(seconds=age)
        expected = next((use for use, end in ends.items() if age < end), EntryUse.NONE)
        assert age < 0 or use_of(entry, now, source_settings()) is expected


@pytest.mark.parametrize(("fresh", "seconds"), [(math.inf, UNKNOWN), (1.0, 1.0), (0.0, 0.0)])
def test_the_lifetime_of_a_response_limits_the_entry_of_an_unknown_user(
    fresh: float, seconds: float
) -> None:
    entry = with_lifetime(some_entry(known=False), Lifetime(fresh=fresh))
    judged = [
        use_of(entry, entry.fetched_at + timedelta(seconds=seconds + much), source_settings())
        for much in (-0.001, 0.001)
    ]

    assert judged == [EntryUse.FRESH if seconds else EntryUse.NONE, EntryUse.NONE]


SECONDS = st.floats(0, 200) | st.just(math.inf)


@settings(deadline=None)
@given(
    age=st.floats(0, 200),
    lifetime=st.builds(
        Lifetime,
        fresh=st.floats(-200, 200) | st.just(math.inf),
        stale_while_revalidate=SECONDS,
        stale_if_error=SECONDS,
    ),
    known=st.booleans(),
)
def test_a_lifetime_never_extends_the_use_beyond_the_settings(
    age: float, lifetime: Lifetime, *, known: bool
) -> None:
    entry = some_entry(known=known)
    now = entry.fetched_at + timedelta(seconds=age)
    order = list(EntryUse)
    by_settings = use_of(entry, now, source_settings())
    by_both = use_of(with_lifetime(entry, lifetime), now, source_settings())

    assert order.index(by_both) >= order.index(by_settings)
    if by_both is EntryUse.FRESH:
        assert entry.age(now) < lifetime.fresh


def test_a_missing_entry_has_no_use() -> None:
    assert use_of(None, datetime(2026, 6, 1, tzinfo=UTC), source_settings()) is EntryUse.NONE


def test_a_cached_source_is_a_batched_source(harness: CacheHarness) -> None:
    source: BatchedSource[PersonRecord] = harness.cached

    assert source.enqueue([], RequestContext("r")).collect().results == {}


async def test_a_fresh_entry_needs_no_call(harness: CacheHarness) -> None:
    first = await harness.ask("ab")
    await harness.pass_time(TTL)

    assert await harness.ask("ba") == [1, 0]
    assert first == [0, 1]
    assert harness.upstream.batches == ["ab"]


async def test_a_doubtful_entry_that_is_fresh_again_is_used_if_the_source_fails(
    harness: CacheHarness,
) -> None:
    await harness.ask("a")
    harness.invalidations.share_clock()  # other gateways may have invalidated it
    await harness.pass_time(DOUBT_AFTER + 0.1)
    harness.upstream.held = True
    harness.upstream.says = lambda _: failure()
    caller, context = await harness.begin("a")
    assert harness.upstream.batches == ["a"] * 2

    harness.invalidations.known_until(harness.invalidations.now())
    harness.upstream.let_go()
    await harness.clock.settle()

    assert told(caller.result()) == [0]
    assert harness.requests.trace_of(context).status == "stale"


async def test_a_late_result_does_not_replace_the_result_of_a_later_call(
    harness: CacheHarness,
) -> None:
    harness.upstream.held = True
    await harness.begin("a", fields="version")
    await harness.begin("a")
    for number in (1, 0):
        harness.upstream.let_go(number)
        await harness.clock.settle()

    assert await harness.ask("a") == [0]
    assert harness.upstream.batches == ["a"] * 2


async def test_only_missing_keys_are_fetched_in_one_call(harness: CacheHarness) -> None:
    await harness.ask("bd")

    assert await harness.ask("abcde") == [2, 0, 3, 1, 4]
    assert harness.upstream.batches == ["bd", "ace"]


async def test_a_request_without_keys_makes_no_call(harness: CacheHarness) -> None:
    assert await harness.ask("") == []
    assert harness.upstream.batches == []


async def test_an_entry_is_never_given_to_another_identity(harness: CacheHarness) -> None:
    await harness.ask("a", identity="ann")

    assert await harness.ask("a", identity="bob") == [1]
    assert await harness.ask("a", identity="ann") == [0]
    assert [context.identity for context in harness.upstream.calls] == ["ann", "bob"]


async def test_a_stale_entry_is_returned_at_once_and_revalidated_in_background(
    harness: CacheHarness,
) -> None:
    await harness.ask("a")
    await harness.pass_time(TTL + 1)
    harness.upstream.held = True

    caller, context = await harness.begin("a")

    assert told(caller.result()) == [0]
    assert harness.requests.trace_of(context).stale == TTL + 1
    assert harness.requests.trace_of(context).status == "stale"
    assert harness.upstream.batches == ["a", "a"]
    harness.upstream.let_go()
    await harness.pass_time(1.0)
    assert await harness.ask("a") == [1]
    assert harness.upstream.batches == ["a", "a"]


async def test_a_key_is_revalidated_only_once_at_a_time(harness: CacheHarness) -> None:
    await harness.ask("ab")
    await harness.pass_time(TTL + 1)
    harness.upstream.held = True

    for keys in ("a", "ab", "ba"):
        await harness.ask(keys)

    assert harness.upstream.batches == ["ab", "a", "b"]


async def test_stale_and_missing_keys_go_in_one_call(harness: CacheHarness) -> None:
    await harness.ask("a")
    await harness.pass_time(TTL + 1)

    assert await harness.ask("ab") == [0, 1]
    assert harness.upstream.batches == ["a", "ba"]


async def test_a_revalidation_continues_when_its_caller_is_cancelled(harness: CacheHarness) -> None:
    await harness.ask("a")
    await harness.pass_time(TTL + 1)
    harness.upstream.held = True
    caller, _ = await harness.begin("ab", seconds=1.0)

    caller.cancel()
    await harness.clock.settle()
    harness.upstream.let_go()
    await harness.clock.settle()

    assert caller.cancelled()
    assert await harness.ask("ab") == [2, 1]
    assert harness.upstream.cancelled == []


async def test_a_failed_revalidation_keeps_the_stale_entry_and_is_tried_again(
    harness: CacheHarness,
) -> None:
    await harness.ask("a")
    await harness.pass_time(TTL + 1)
    harness.upstream.says = lambda _: failure()

    assert [await harness.ask("a"), await harness.ask("a")] == [[0], [0]]
    assert harness.upstream.batches == ["a", "a", "a"]


async def test_a_revalidation_that_raises_is_logged_and_fails_no_caller(
    harness: CacheHarness,
) -> None:
    await harness.ask("a")
    await harness.pass_time(TTL + 1)
    harness.upstream.error = ValueError()

    assert await harness.ask("a") == [0]
    assert [event["event"] for event in harness.events()] == ["source.batch_failed"]


async def test_closing_the_source_cancels_its_revalidations(
    clock: ManualClock, open_harness: OpenHarness
) -> None:
    harness = await open_harness(source_settings())
    await harness.ask("a")
    await harness.pass_time(TTL + 1)
    harness.upstream.held = True
    await harness.ask("a")

    await harness.cached.__aexit__(None, None, None)
    await clock.settle()

    assert harness.upstream.cancelled == [1]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_unknown_user_is_cached_for_the_unknown_ttl(harness: CacheHarness) -> None:
    harness.upstream.says = lambda _: None
    await harness.ask("a")
    await harness.pass_time(UNKNOWN)
    assert await harness.ask("a") == [None]
    assert harness.upstream.batches == ["a"]

    await harness.pass_time(0.001)
    harness.upstream.says = None

    assert await harness.ask("a") == [0]


async def test_an_expired_entry_of_an_unknown_user_does_not_cover_a_failure(
    harness: CacheHarness,
) -> None:
    harness.upstream.says = lambda _: None
    await harness.ask("a")
    await harness.pass_time(UNKNOWN + 1)
    harness.upstream.says = lambda _: failure()

    assert await harness.ask("a") == [UNAVAILABLE]


async def test_an_unknown_user_replaces_the_older_record(harness: CacheHarness) -> None:
    await harness.ask("a")
    await harness.pass_time(TTL + BEHIND + 1)
    harness.upstream.says = lambda _: None
    await harness.ask("a")
    await harness.pass_time(UNKNOWN + 1)
    harness.upstream.says = lambda _: failure()

    assert await harness.ask("a") == [UNAVAILABLE]


async def test_a_failure_is_never_cached(harness: CacheHarness) -> None:
    harness.upstream.says = lambda key: failure() if key == "a" else None
    assert await harness.ask("ab") == [UNAVAILABLE, None]
    harness.upstream.says = None

    assert await harness.ask("ab") == [0, None]
    assert harness.upstream.batches == ["ab", "a"]


@pytest.mark.parametrize("code", SOURCE_CODES)
@pytest.mark.parametrize("contract", ["stale_ok", "optional", "required"])
async def test_a_stale_record_covers_a_failure_by_contract_but_no_rejection(
    open_harness: OpenHarness, code: Code, contract: str
) -> None:
    harness = await open_harness(source_settings(contract))
    await harness.ask("a")
    await harness.pass_time(TTL + BEHIND + IF_ERROR)
    harness.upstream.says = lambda _: failure(code)

    caller, context = await harness.begin("ab")

    covered = contract == "stale_ok" and code is not Code.SOURCE_REJECTED
    assert told(caller.result()) == [0 if covered else code.value, code.value]
    trace = harness.requests.trace_of(context)
    assert trace.stale == (TTL + BEHIND + IF_ERROR if covered else None)
    assert trace.code is code


async def test_a_record_that_expires_during_the_call_does_not_cover_its_failure(
    harness: CacheHarness,
) -> None:
    await harness.ask("a")
    await harness.pass_time(TTL + BEHIND + IF_ERROR - 1)
    harness.upstream.held = True
    harness.upstream.says = lambda _: failure()
    caller, context = await harness.begin("a")

    await harness.pass_time(1.001)
    harness.upstream.let_go()
    await harness.clock.settle()

    assert told(caller.result()) == [UNAVAILABLE]
    assert harness.requests.trace_of(context).stale is None


async def test_a_new_record_is_preferred_to_a_stale_one(harness: CacheHarness) -> None:
    await harness.ask("a")
    await harness.pass_time(TTL + BEHIND + 1)

    caller, context = await harness.begin("a")

    assert told(caller.result()) == [1]
    assert harness.requests.trace_of(context).stale is None


def damaged(key: UserId) -> Said:
    """Return a record whose version is damaged."""
    return DamagedRecord(PersonRecord(id=key, identity="new"), {"version": failure()})


async def test_a_damaged_record_is_not_cached(harness: CacheHarness) -> None:
    harness.upstream.says = damaged

    first, _ = await harness.begin("a")
    second, _ = await harness.begin("a")

    assert first.result() == second.result() == [damaged(UserId("a"))]
    assert harness.upstream.batches == ["a", "a"]


async def test_a_stale_record_replaces_the_damaged_fields_of_a_new_one(
    harness: CacheHarness,
) -> None:
    await harness.ask("a")
    await harness.pass_time(TTL + BEHIND + 1)
    harness.upstream.says = damaged

    caller, context = await harness.begin("a")

    assert caller.result() == [PersonRecord(id="a", identity="new", version=0)]
    assert harness.requests.trace_of(context).stale == TTL + BEHIND + 1


async def test_the_trace_has_the_age_of_the_oldest_stale_entry(harness: CacheHarness) -> None:
    await harness.ask("a")
    await harness.pass_time(3.0)
    await harness.ask("b")
    await harness.pass_time(TTL + 1)

    caller, context = await harness.begin("ab")
    await harness.requests.fetch(harness.cached.enqueue(ids("b"), context), ids("b"), context)

    assert told(caller.result()) == [0, 1]
    assert harness.requests.trace_of(context).stale == TTL + 4


async def test_the_trace_counts_cached_keys_but_no_call_for_them(
    harness: CacheHarness,
) -> None:
    await harness.ask("a")
    await harness.pass_time(TTL + 1)
    await harness.ask("b")

    _, of_kept = await harness.begin("b")
    _, of_all = await harness.begin("abcd")

    assert (harness.requests.trace_of(of_kept).keys, harness.requests.trace_of(of_kept).calls) == (
        1,
        0,
    )
    assert harness.requests.trace_of(of_kept).status == "ok"
    assert (harness.requests.trace_of(of_all).keys, harness.requests.trace_of(of_all).calls) == (
        4,
        1,
    )


async def test_a_caller_without_time_gets_the_stale_record_if_there_is_one(
    harness: CacheHarness,
) -> None:
    await harness.ask("a")
    await harness.pass_time(TTL + BEHIND + 1)
    harness.upstream.held = True
    hasty, context = await harness.begin("ab", seconds=1.0)
    patient, _ = await harness.begin("ab", seconds=4.0)

    await harness.pass_time(0.75)
    assert told(hasty.result()) == [0, TIMEOUT]
    assert harness.requests.trace_of(context).stale == TTL + BEHIND + 1.75
    harness.upstream.let_go()
    await harness.clock.settle()

    assert told(patient.result()) == [1, 2]
    assert harness.upstream.batches == ["a", "ab"]


async def test_results_are_cached_even_if_they_come_after_the_caller_has_left(
    harness: CacheHarness,
) -> None:
    harness.upstream.held = True
    caller, _ = await harness.begin("a", seconds=1.0)
    other, _ = await harness.begin("a", seconds=1.5)
    await harness.pass_time(0.75)
    harness.upstream.let_go()
    await harness.clock.settle()

    assert told(caller.result()) == [TIMEOUT]
    assert told(other.result()) == [0]
    assert await harness.ask("a") == [0]


async def test_hits_stale_hits_misses_and_shared_keys_are_counted(harness: CacheHarness) -> None:
    cached = harness.cached
    harness.upstream.says = lambda key: (
        None if key == "u" else PersonRecord(id=key, identity="", version=0)
    )
    await harness.ask("abu")
    assert (cached.hits, cached.stale_hits, cached.misses, cached.scheduler.shared) == (0, 0, 3, 0)

    await harness.ask("abu")
    assert (cached.hits, cached.stale_hits, cached.misses, cached.scheduler.shared) == (3, 0, 3, 0)

    await harness.pass_time(TTL + 1)
    await harness.ask("ab")
    assert (cached.hits, cached.stale_hits, cached.misses, cached.scheduler.shared) == (3, 2, 3, 0)

    await harness.pass_time(TTL + BEHIND + 1)
    harness.upstream.held = True
    harness.upstream.says = lambda _: failure()
    await harness.begin("ac")
    await harness.begin("a")
    harness.upstream.let_go()
    await harness.clock.settle()
    assert (cached.hits, cached.stale_hits, cached.misses, cached.scheduler.shared) == (3, 4, 6, 1)


AFTER = st.sampled_from([0, 0, 1, 2, 3, 9])
"""How many turns the event loop takes after an action; 9 stands for as many as it can."""

USERS = st.lists(st.sampled_from(ids("abc")), unique=True, min_size=1)

WORDS: st.SearchStrategy[list[Word]] = st.sampled_from(
    [["record"], ["record"], ["failed"], ["unknown"], ["bug"], ["record", "failed", "rejected"]]
)
"""What the upstream returns for the first, second and third user."""


class CacheAndModel(RuleBasedStateMachine):
    """A cached source whose callers arrive, give up and get results in any order.

    Several actions run without a turn of the event loop between them: a cancellation and a
    response, two deadlines, and so on.
    """

    @initialize(
        contract=st.sampled_from(["stale_ok", "stale_ok", "optional"]),
        behind=st.sampled_from([0.0, 4.0]),
        if_error=st.sampled_from([0.0, 6.0]),
        early=st.booleans(),
    )
    def begin(self, *, contract: str, behind: float, if_error: float, early: bool) -> None:
        self.loop = asyncio.new_event_loop()
        self.early = early
        self.todo: list[Callable[[], None]] = []
        ages = {"ttl": 2.0, "stale_while_revalidate": behind, "stale_if_error": if_error}
        self.model = CacheModel(source_settings(contract, unknown_ttl=1.0, **ages))
        self.loop.run_until_complete(self.model.cached.__aenter__())

    @rule(
        identity=st.sampled_from(["ann", "ann", "bob"]),
        users=USERS,
        seconds=st.sampled_from([None, RESERVE + 0.25, 1.0, 3.0, 60.0]),
        after=AFTER,
    )
    def add_caller(
        self, identity: str, users: list[UserId], seconds: float | None, after: int
    ) -> None:
        self.do(after, lambda: self.model.add_caller(identity, users, seconds))

    @rule(which=st.integers(0, 5), after=AFTER)
    def cancel_caller(self, which: int, after: int) -> None:
        self.do(after, lambda: self.model.cancel_caller(which))

    @rule(
        which=st.integers(0, 5),
        words=WORDS,
        after=AFTER,
    )
    def answer(self, which: int, words: list[Word], after: int) -> None:
        self.do(after, lambda: self.model.answer(which, words))

    @rule(seconds=st.sampled_from([0.25, 0.75, 1.0, 2.0, 5.0]), after=AFTER)
    def pass_time(self, seconds: float, after: int) -> None:
        self.do(after, lambda: self.model.clock.advance(seconds))

    @rule(users=USERS, words=WORDS, seconds=st.sampled_from([0.0, 1.0, 2.0, 3.0, 6.0, 7.0, 8.0]))
    def ask(self, users: list[UserId], words: list[Word], seconds: float) -> None:
        self.do(9, lambda: self.model.add_caller("ann", users, None))
        self.do(9, lambda: self.model.answer(-1, words))
        self.do(9, lambda: self.model.clock.advance(seconds))

    def do(self, after: int, what: Callable[[], None]) -> None:
        """Add an action to those that wait; run them all if the loop takes turns after it."""
        self.todo.append(what)
        if after:
            self.loop.run_until_complete(self.happen(after))

    async def happen(self, after: int) -> None:
        """Run the actions that wait."""
        todo, self.todo = self.todo, []
        for do in todo:
            do()
        if after > 3:
            await self.model.settle()
            return
        for _ in range(after):
            await asyncio.sleep(0)

    def teardown(self) -> None:
        async def end() -> None:
            await self.happen(0)
            await self.model.end(early=self.early)

        try:
            self.loop.run_until_complete(end())
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()  # only if the test has failed
            self.loop.close()


def test_each_caller_gets_what_a_plain_model_expects() -> None:
    run_state_machine_as_test(
        CacheAndModel,
        settings=settings(max_examples=examples(70), stateful_step_count=50, deadline=None),
    )


class PartialUpstream(Upstream):
    """An upstream that returns only the requested fields.

    Attributes:
        asked: The requested fields of each call.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str | None] = []

    async def fetch_many(
        self, keys: Sequence[UserId], context: RequestContext
    ) -> FetchResult[Said]:
        """Answer."""
        self.asked.append(None if context.fields is None else " ".join(sorted(context.fields)))
        whole = await super().fetch_many(keys, context)
        if context.fields is None:
            return whole
        spec = partial(PERSON, context.fields)
        some = [
            spec.record.model_validate_json(one.model_dump_json())
            if isinstance(one, PersonRecord)
            else one
            for one in whole.results
        ]
        return replace(whole, results=some)


PERSON = SourceSpec(name=NAME, record=PersonRecord, path="/", parameter="id", key="id")


@dataclass
class PartialHarness:
    """A harness whose source returns partial records."""

    harness: CacheHarness
    upstream: PartialUpstream

    async def ask(self, fields: str | None, keys: str = "a") -> list[Mapping[str, object] | str]:
        """Ask for some fields; return those of each record, or the code of a failure."""
        caller, _ = await self.harness.begin(keys, fields=fields)
        return [
            one.code.value
            if isinstance(one, SourceFailure)
            else {}
            if one is None
            else values_of(one)
            for one in caller.result()
        ]


@pytest.fixture
async def partial_harness(open_harness: OpenHarness) -> PartialHarness:
    """Return such a harness."""
    upstream = PartialUpstream()
    return PartialHarness(await open_harness(source_settings(), upstream=upstream), upstream)


async def test_an_entry_serves_the_fields_that_it_has(partial_harness: PartialHarness) -> None:
    await partial_harness.ask("identity version")

    assert await partial_harness.ask("version") == [{"id": "a", "identity": "", "version": 0}]
    assert await partial_harness.ask("") == [{"id": "a", "identity": "", "version": 0}]
    assert partial_harness.upstream.asked == ["identity version"]


async def test_only_a_complete_entry_serves_a_request_for_all_fields(
    partial_harness: PartialHarness,
) -> None:
    await partial_harness.ask("version")
    await partial_harness.ask(None)
    await partial_harness.ask("identity version")

    assert partial_harness.upstream.asked == ["version", None]


async def test_missing_fields_are_fetched_and_merged_into_the_entry(
    partial_harness: PartialHarness,
) -> None:
    await partial_harness.ask("version")
    await partial_harness.harness.pass_time(TTL / 2)
    await partial_harness.ask("identity")

    assert await partial_harness.ask("identity version") == [
        {"id": "a", "identity": "", "version": 0}
    ]
    assert partial_harness.upstream.asked == ["version", "identity"]


async def test_a_merged_entry_is_as_old_as_its_oldest_part(partial_harness: PartialHarness) -> None:
    await partial_harness.ask("version")
    await partial_harness.harness.pass_time(TTL / 2)
    await partial_harness.ask("identity")
    await partial_harness.harness.pass_time(TTL / 2 + 1)

    _, context = await partial_harness.harness.begin("a", fields="identity")

    assert partial_harness.harness.requests.trace_of(context).stale == TTL + 1


async def test_new_fields_are_not_merged_into_a_stale_entry(
    partial_harness: PartialHarness,
) -> None:
    await partial_harness.ask("version")
    await partial_harness.harness.pass_time(TTL + 1)
    await partial_harness.ask("identity")

    await partial_harness.ask("version")

    assert partial_harness.upstream.asked == ["version", "identity", "version"]


async def test_a_stale_entry_covers_a_failure_only_for_its_own_fields(
    partial_harness: PartialHarness,
) -> None:
    await partial_harness.ask("version")
    await partial_harness.harness.pass_time(TTL + BEHIND + 1)
    partial_harness.upstream.says = lambda _: failure()

    assert await partial_harness.ask("version") == [{"id": "a", "version": 0}]
    assert await partial_harness.ask("identity") == [UNAVAILABLE]


async def test_the_entry_of_an_unknown_user_serves_all_fields(
    partial_harness: PartialHarness,
) -> None:
    partial_harness.upstream.says = lambda _: None

    assert await partial_harness.ask("version") == [{}]
    assert await partial_harness.ask("identity") == [{}]
    assert await partial_harness.ask(None) == [{}]
    assert partial_harness.upstream.asked == ["version"]


async def test_an_unknown_user_replaces_the_older_partial_record(
    partial_harness: PartialHarness,
) -> None:
    await partial_harness.ask("version")
    partial_harness.upstream.says = lambda _: None
    await partial_harness.ask("identity")

    assert await partial_harness.ask("version") == [{}]
