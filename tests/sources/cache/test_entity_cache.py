"""What a source said lately is not asked again, and helps out when it fails."""

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
from tests.sources.crowd import RESERVE, Crowd, Word
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
        timeout=0.1,  # so that no caller here is in too much of a hurry to share its batch
    )


@dataclass
class Shop:
    """A cached source, and those who ask it.

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
        """Have a caller ask who has so many seconds, for some fields, and wait if it has to."""
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
        """Ask what is answered at once."""
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


class OpenShop(Protocol):
    """Opens a shop with settings and a store of the test's own."""

    async def __call__(
        self,
        settings: SourceSettings,
        store: EntityStore[PersonRecord] | None = None,
        upstream: Upstream | None = None,
    ) -> Shop:
        """Open it."""
        ...


@pytest.fixture
async def shops(clock: ManualClock) -> AsyncGenerator[OpenShop]:
    """Give a way to open shops; nothing is left of them at the end."""
    opened: list[CachedSource[PersonRecord]] = []

    async def open_shop(
        settings: SourceSettings,
        store: EntityStore[PersonRecord] | None = None,
        upstream: Upstream | None = None,
    ) -> Shop:
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
        return Shop(clock, upstream, cached, log, invalidations)

    yield open_shop
    for cached in opened:
        await cached.__aexit__(None, None, None)
        assert cached.scheduler.in_flight == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
async def shop(shops: OpenShop) -> Shop:
    """Give a shop that keeps answers, and may use old ones for either reason."""
    return await shops(source_settings())


def some_entry(*, known: bool = True) -> Entry[PersonRecord]:
    """Make an entry."""
    key = EntryKey("", UserId("a"))
    person = PersonRecord(id="a", identity="", version=0)
    return Entry(key, person if known else None, SeenResponse(datetime(2026, 6, 1, tzinfo=UTC)))


def with_lifetime(entry: Entry[PersonRecord], lifetime: Lifetime) -> Entry[PersonRecord]:
    """Make the same entry of a service that says how long it may be kept."""
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
def test_what_a_record_is_good_for_depends_on_its_age(
    age: float, use: EntryUse, contract: str
) -> None:
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
def test_an_unknown_user_is_never_used_old(age: float, use: EntryUse) -> None:
    entry = some_entry(known=False)
    now = entry.fetched_at + timedelta(seconds=age)

    assert use_of(entry, now, source_settings()) is use


@pytest.mark.parametrize(
    ("lifetime", "uses"),
    [
        # Up to which age it is fresh, renewed behind, and of use where the source fails.
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
def test_what_a_record_is_good_for_ends_where_its_service_says(
    lifetime: Lifetime, uses: tuple[float, float, float]
) -> None:
    entry = with_lifetime(some_entry(), lifetime)
    ends = dict(zip((EntryUse.FRESH, EntryUse.REVALIDATE, EntryUse.IF_ERROR), uses, strict=True))

    for age in (0.0, *(end + much for end in uses for much in (-0.001, 0.001))):
        now = entry.fetched_at + timedelta(seconds=age)
        expected = next((use for use, end in ends.items() if age < end), EntryUse.NONE)
        assert age < 0 or use_of(entry, now, source_settings()) is expected


@pytest.mark.parametrize(("fresh", "seconds"), [(math.inf, UNKNOWN), (1.0, 1.0), (0.0, 0.0)])
def test_that_a_user_is_unknown_is_kept_no_longer_than_the_service_says(
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
def test_no_service_can_have_an_answer_used_longer_than_the_settings_say(
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


def test_nothing_is_good_for_nothing() -> None:
    assert use_of(None, datetime(2026, 6, 1, tzinfo=UTC), source_settings()) is EntryUse.NONE


def test_a_cached_source_is_a_source_of_batches(shop: Shop) -> None:
    source: BatchedSource[PersonRecord] = shop.cached

    assert source.enqueue([], RequestContext("r")).collect().results == {}


async def test_a_fresh_answer_is_not_asked_for_again(shop: Shop) -> None:
    first = await shop.ask("ab")
    await shop.pass_time(TTL)

    assert await shop.ask("ba") == [1, 0]
    assert first == [0, 1]
    assert shop.upstream.batches == ["ab"]


async def test_an_entry_that_was_in_doubt_helps_out_even_if_it_is_known_to_be_fresh_meanwhile(
    shop: Shop,
) -> None:
    await shop.ask("a")
    shop.invalidations.share_clock()  # other gateways may have invalidated it
    await shop.pass_time(DOUBT_AFTER + 0.1)
    shop.upstream.held = True
    shop.upstream.says = lambda _: failure()
    caller, context = await shop.begin("a")
    assert shop.upstream.batches == ["a"] * 2

    shop.invalidations.known_until(shop.invalidations.now())
    shop.upstream.let_go()
    await shop.clock.settle()

    assert told(caller.result()) == [0]
    assert shop.requests.trace_of(context).status == "stale"


async def test_a_call_that_ends_late_does_not_replace_what_a_later_call_has_brought(
    shop: Shop,
) -> None:
    shop.upstream.held = True
    await shop.begin("a", fields="version")
    await shop.begin("a")
    for number in (1, 0):
        shop.upstream.let_go(number)
        await shop.clock.settle()

    assert await shop.ask("a") == [0]
    assert shop.upstream.batches == ["a"] * 2


async def test_only_what_is_missing_is_fetched_and_by_one_call(shop: Shop) -> None:
    await shop.ask("bd")

    assert await shop.ask("abcde") == [2, 0, 3, 1, 4]
    assert shop.upstream.batches == ["bd", "ace"]


async def test_nobody_asked_for_is_nobody_fetched(shop: Shop) -> None:
    assert await shop.ask("") == []
    assert shop.upstream.batches == []


async def test_an_answer_is_never_given_to_another_identity(shop: Shop) -> None:
    await shop.ask("a", identity="ann")

    assert await shop.ask("a", identity="bob") == [1]
    assert await shop.ask("a", identity="ann") == [0]
    assert [context.identity for context in shop.upstream.calls] == ["ann", "bob"]


async def test_an_old_answer_is_given_at_once_and_renewed_behind(shop: Shop) -> None:
    await shop.ask("a")
    await shop.pass_time(TTL + 1)
    shop.upstream.held = True

    caller, context = await shop.begin("a")

    assert told(caller.result()) == [0]
    assert shop.requests.trace_of(context).stale == TTL + 1
    assert shop.requests.trace_of(context).status == "stale"
    assert shop.upstream.batches == ["a", "a"]
    shop.upstream.let_go()
    await shop.pass_time(1.0)
    assert await shop.ask("a") == [1]
    assert shop.upstream.batches == ["a", "a"]


async def test_a_user_is_renewed_once_at_a_time(shop: Shop) -> None:
    await shop.ask("ab")
    await shop.pass_time(TTL + 1)
    shop.upstream.held = True

    for keys in ("a", "ab", "ba"):
        await shop.ask(keys)

    assert shop.upstream.batches == ["ab", "a", "b"]


async def test_what_is_renewed_and_what_is_missing_go_in_one_call(shop: Shop) -> None:
    await shop.ask("a")
    await shop.pass_time(TTL + 1)

    assert await shop.ask("ab") == [0, 1]
    assert shop.upstream.batches == ["a", "ba"]


async def test_a_renewal_outlives_the_caller_who_caused_it(shop: Shop) -> None:
    await shop.ask("a")
    await shop.pass_time(TTL + 1)
    shop.upstream.held = True
    caller, _ = await shop.begin("ab", seconds=1.0)

    caller.cancel()
    await shop.clock.settle()
    shop.upstream.let_go()
    await shop.clock.settle()

    assert caller.cancelled()
    assert await shop.ask("ab") == [2, 1]
    assert shop.upstream.cancelled == []


async def test_a_renewal_that_fails_leaves_the_old_answer_and_is_tried_again(shop: Shop) -> None:
    await shop.ask("a")
    await shop.pass_time(TTL + 1)
    shop.upstream.says = lambda _: failure()

    assert [await shop.ask("a"), await shop.ask("a")] == [[0], [0]]
    assert shop.upstream.batches == ["a", "a", "a"]


async def test_a_renewal_that_raises_is_logged_and_nobody_is_failed_by_it(shop: Shop) -> None:
    await shop.ask("a")
    await shop.pass_time(TTL + 1)
    shop.upstream.error = ValueError()

    assert await shop.ask("a") == [0]
    assert [event["event"] for event in shop.events()] == ["source.batch_failed"]


async def test_leaving_ends_the_renewals_that_run(clock: ManualClock, shops: OpenShop) -> None:
    shop = await shops(source_settings())
    await shop.ask("a")
    await shop.pass_time(TTL + 1)
    shop.upstream.held = True
    await shop.ask("a")

    await shop.cached.__aexit__(None, None, None)
    await clock.settle()

    assert shop.upstream.cancelled == [1]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_that_a_user_is_unknown_is_kept_for_its_own_time(shop: Shop) -> None:
    shop.upstream.says = lambda _: None
    await shop.ask("a")
    await shop.pass_time(UNKNOWN)
    assert await shop.ask("a") == [None]
    assert shop.upstream.batches == ["a"]

    await shop.pass_time(0.001)
    shop.upstream.says = None

    assert await shop.ask("a") == [0]


async def test_that_a_user_is_unknown_does_not_cover_a_failure(shop: Shop) -> None:
    shop.upstream.says = lambda _: None
    await shop.ask("a")
    await shop.pass_time(UNKNOWN + 1)
    shop.upstream.says = lambda _: failure()

    assert await shop.ask("a") == [UNAVAILABLE]


async def test_a_user_who_is_unknown_now_is_not_answered_from_before(shop: Shop) -> None:
    await shop.ask("a")
    await shop.pass_time(TTL + BEHIND + 1)
    shop.upstream.says = lambda _: None
    await shop.ask("a")
    await shop.pass_time(UNKNOWN + 1)
    shop.upstream.says = lambda _: failure()

    assert await shop.ask("a") == [UNAVAILABLE]


async def test_a_failure_is_never_kept(shop: Shop) -> None:
    shop.upstream.says = lambda key: failure() if key == "a" else None
    assert await shop.ask("ab") == [UNAVAILABLE, None]
    shop.upstream.says = None

    assert await shop.ask("ab") == [0, None]
    assert shop.upstream.batches == ["ab", "a"]


@pytest.mark.parametrize("code", SOURCE_CODES)
@pytest.mark.parametrize("contract", ["stale_ok", "optional", "required"])
async def test_an_old_record_covers_a_failure_if_the_contract_says_so_but_no_rejection(
    shops: OpenShop, code: Code, contract: str
) -> None:
    shop = await shops(source_settings(contract))
    await shop.ask("a")
    await shop.pass_time(TTL + BEHIND + IF_ERROR)
    shop.upstream.says = lambda _: failure(code)

    caller, context = await shop.begin("ab")

    covered = contract == "stale_ok" and code is not Code.SOURCE_REJECTED
    assert told(caller.result()) == [0 if covered else code.value, code.value]
    trace = shop.requests.trace_of(context)
    assert trace.stale == (TTL + BEHIND + IF_ERROR if covered else None)
    assert trace.code is code


async def test_a_record_that_grew_too_old_while_the_source_was_asked_covers_nothing(
    shop: Shop,
) -> None:
    await shop.ask("a")
    await shop.pass_time(TTL + BEHIND + IF_ERROR - 1)
    shop.upstream.held = True
    shop.upstream.says = lambda _: failure()
    caller, context = await shop.begin("a")

    await shop.pass_time(1.001)
    shop.upstream.let_go()
    await shop.clock.settle()

    assert told(caller.result()) == [UNAVAILABLE]
    assert shop.requests.trace_of(context).stale is None


async def test_a_good_answer_is_preferred_to_an_old_one(shop: Shop) -> None:
    await shop.ask("a")
    await shop.pass_time(TTL + BEHIND + 1)

    caller, context = await shop.begin("a")

    assert told(caller.result()) == [1]
    assert shop.requests.trace_of(context).stale is None


def damaged(key: UserId) -> Said:
    """Answer with a record whose version does not fit."""
    return DamagedRecord(PersonRecord(id=key, identity="new"), {"version": failure()})


async def test_a_damaged_record_is_not_kept(shop: Shop) -> None:
    shop.upstream.says = damaged

    first, _ = await shop.begin("a")
    second, _ = await shop.begin("a")

    assert first.result() == second.result() == [damaged(UserId("a"))]
    assert shop.upstream.batches == ["a", "a"]


async def test_an_old_record_gives_the_damaged_fields_of_a_new_one(shop: Shop) -> None:
    await shop.ask("a")
    await shop.pass_time(TTL + BEHIND + 1)
    shop.upstream.says = damaged

    caller, context = await shop.begin("a")

    assert caller.result() == [PersonRecord(id="a", identity="new", version=0)]
    assert shop.requests.trace_of(context).stale == TTL + BEHIND + 1


async def test_the_trace_tells_the_age_of_the_oldest_answer_that_was_used(shop: Shop) -> None:
    await shop.ask("a")
    await shop.pass_time(3.0)
    await shop.ask("b")
    await shop.pass_time(TTL + 1)

    caller, context = await shop.begin("ab")
    await shop.requests.fetch(shop.cached.enqueue(ids("b"), context), ids("b"), context)

    assert told(caller.result()) == [0, 1]
    assert shop.requests.trace_of(context).stale == TTL + 4


async def test_the_trace_counts_every_user_and_no_call_for_those_who_were_kept(
    shop: Shop,
) -> None:
    await shop.ask("a")
    await shop.pass_time(TTL + 1)
    await shop.ask("b")

    _, of_kept = await shop.begin("b")
    _, of_all = await shop.begin("abcd")

    assert (shop.requests.trace_of(of_kept).keys, shop.requests.trace_of(of_kept).calls) == (1, 0)
    assert shop.requests.trace_of(of_kept).status == "ok"
    assert (shop.requests.trace_of(of_all).keys, shop.requests.trace_of(of_all).calls) == (4, 1)


async def test_who_runs_out_of_time_gets_an_old_record_where_there_is_one(shop: Shop) -> None:
    await shop.ask("a")
    await shop.pass_time(TTL + BEHIND + 1)
    shop.upstream.held = True
    hasty, context = await shop.begin("ab", seconds=1.0)
    patient, _ = await shop.begin("ab", seconds=4.0)

    await shop.pass_time(0.75)
    assert told(hasty.result()) == [0, TIMEOUT]
    assert shop.requests.trace_of(context).stale == TTL + BEHIND + 1.75
    shop.upstream.let_go()
    await shop.clock.settle()

    assert told(patient.result()) == [1, 2]
    assert shop.upstream.batches == ["a", "ab"]


async def test_what_a_batch_brings_after_its_caller_has_gone_is_kept(shop: Shop) -> None:
    shop.upstream.held = True
    caller, _ = await shop.begin("a", seconds=1.0)
    other, _ = await shop.begin("a", seconds=1.5)
    await shop.pass_time(0.75)
    shop.upstream.let_go()
    await shop.clock.settle()

    assert told(caller.result()) == [TIMEOUT]
    assert told(other.result()) == [0]
    assert await shop.ask("a") == [0]


async def test_what_the_cache_does_is_counted(shop: Shop) -> None:
    cached = shop.cached
    shop.upstream.says = lambda key: (
        None if key == "u" else PersonRecord(id=key, identity="", version=0)
    )
    await shop.ask("abu")
    assert (cached.hits, cached.stale_hits, cached.misses, cached.scheduler.shared) == (0, 0, 3, 0)

    await shop.ask("abu")
    assert (cached.hits, cached.stale_hits, cached.misses, cached.scheduler.shared) == (3, 0, 3, 0)

    await shop.pass_time(TTL + 1)
    await shop.ask("ab")
    assert (cached.hits, cached.stale_hits, cached.misses, cached.scheduler.shared) == (3, 2, 3, 0)

    await shop.pass_time(TTL + BEHIND + 1)
    shop.upstream.held = True
    shop.upstream.says = lambda _: failure()
    await shop.begin("ac")
    await shop.begin("a")
    shop.upstream.let_go()
    await shop.clock.settle()
    assert (cached.hits, cached.stale_hits, cached.misses, cached.scheduler.shared) == (3, 4, 6, 1)


AFTER = st.sampled_from([0, 0, 1, 2, 3, 9])
"""How many turns the event loop takes after something; 9 stands for all that it can."""

USERS = st.lists(st.sampled_from(ids("abc")), unique=True, min_size=1)

WORDS: st.SearchStrategy[list[Word]] = st.sampled_from(
    [["record"], ["record"], ["failed"], ["unknown"], ["bug"], ["record", "failed", "rejected"]]
)
"""What the upstream answers of the first, second and third user."""


class CacheAndModel(RuleBasedStateMachine):
    """A cached source among callers who come, give up and are answered in any order.

    Several things happen without a turn of the event loop between: so a cancellation meets an
    answer, a deadline another one, and so on.
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
        self.crowd = Crowd(source_settings(contract, unknown_ttl=1.0, **ages))
        self.loop.run_until_complete(self.crowd.cached.__aenter__())

    @rule(
        identity=st.sampled_from(["ann", "ann", "bob"]),
        users=USERS,
        seconds=st.sampled_from([None, RESERVE + 0.25, 1.0, 3.0, 60.0]),
        after=AFTER,
    )
    def come(self, identity: str, users: list[UserId], seconds: float | None, after: int) -> None:
        self.do(after, lambda: self.crowd.come(identity, users, seconds))

    @rule(which=st.integers(0, 5), after=AFTER)
    def give_up(self, which: int, after: int) -> None:
        self.do(after, lambda: self.crowd.give_up(which))

    @rule(
        which=st.integers(0, 5),
        words=WORDS,
        after=AFTER,
    )
    def answer(self, which: int, words: list[Word], after: int) -> None:
        self.do(after, lambda: self.crowd.answer(which, words))

    @rule(seconds=st.sampled_from([0.25, 0.75, 1.0, 2.0, 5.0]), after=AFTER)
    def pass_time(self, seconds: float, after: int) -> None:
        self.do(after, lambda: self.crowd.clock.advance(seconds))

    @rule(users=USERS, words=WORDS, seconds=st.sampled_from([0.0, 1.0, 2.0, 3.0, 6.0, 7.0, 8.0]))
    def ask(self, users: list[UserId], words: list[Word], seconds: float) -> None:
        self.do(9, lambda: self.crowd.come("ann", users, None))
        self.do(9, lambda: self.crowd.answer(-1, words))
        self.do(9, lambda: self.crowd.clock.advance(seconds))

    def do(self, after: int, what: Callable[[], None]) -> None:
        """Let something happen with all that has not happened yet, and the loop run after it."""
        self.todo.append(what)
        if after:
            self.loop.run_until_complete(self.happen(after))

    async def happen(self, after: int) -> None:
        """Let happen what is lined up."""
        todo, self.todo = self.todo, []
        for do in todo:
            do()
        if after > 3:
            await self.crowd.settle()
            return
        for _ in range(after):
            await asyncio.sleep(0)

    def teardown(self) -> None:
        async def end() -> None:
            await self.happen(0)
            await self.crowd.end(early=self.early)

        try:
            self.loop.run_until_complete(end())
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()  # only where the test has failed
            self.loop.close()


def test_whatever_happens_everybody_gets_what_a_plain_model_says() -> None:
    run_state_machine_as_test(
        CacheAndModel,
        settings=settings(max_examples=examples(70), stateful_step_count=50, deadline=None),
    )


class Partly(Upstream):
    """An upstream that answers with no more fields than it is asked for.

    Attributes:
        asked: The fields that each call asked for.
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
class Counter:
    """A shop whose source answers in parts."""

    shop: Shop
    upstream: Partly

    async def ask(self, fields: str | None, keys: str = "a") -> list[Mapping[str, object] | str]:
        """Ask for some fields; give those of each record, or a failure's code."""
        caller, _ = await self.shop.begin(keys, fields=fields)
        return [
            one.code.value
            if isinstance(one, SourceFailure)
            else {}
            if one is None
            else values_of(one)
            for one in caller.result()
        ]


@pytest.fixture
async def counter(shops: OpenShop) -> Counter:
    """Give such a shop."""
    upstream = Partly()
    return Counter(await shops(source_settings(), upstream=upstream), upstream)


async def test_an_entry_is_an_answer_for_the_fields_that_it_has(counter: Counter) -> None:
    await counter.ask("identity version")

    assert await counter.ask("version") == [{"id": "a", "identity": "", "version": 0}]
    assert await counter.ask("") == [{"id": "a", "identity": "", "version": 0}]
    assert counter.upstream.asked == ["identity version"]


async def test_a_whole_entry_is_an_answer_for_all_and_a_partial_one_is_none_for_all(
    counter: Counter,
) -> None:
    await counter.ask("version")
    await counter.ask(None)
    await counter.ask("identity version")

    assert counter.upstream.asked == ["version", None]


async def test_what_an_entry_lacks_is_fetched_and_joins_what_it_has(counter: Counter) -> None:
    await counter.ask("version")
    await counter.shop.pass_time(TTL / 2)
    await counter.ask("identity")

    assert await counter.ask("identity version") == [{"id": "a", "identity": "", "version": 0}]
    assert counter.upstream.asked == ["version", "identity"]


async def test_what_was_joined_is_as_old_as_its_oldest_part(counter: Counter) -> None:
    await counter.ask("version")
    await counter.shop.pass_time(TTL / 2)
    await counter.ask("identity")
    await counter.shop.pass_time(TTL / 2 + 1)

    _, context = await counter.shop.begin("a", fields="identity")

    assert counter.shop.requests.trace_of(context).stale == TTL + 1


async def test_what_comes_joins_nothing_old(counter: Counter) -> None:
    await counter.ask("version")
    await counter.shop.pass_time(TTL + 1)
    await counter.ask("identity")

    await counter.ask("version")

    assert counter.upstream.asked == ["version", "identity", "version"]


async def test_an_old_entry_stands_in_only_for_the_fields_that_it_has(counter: Counter) -> None:
    await counter.ask("version")
    await counter.shop.pass_time(TTL + BEHIND + 1)
    counter.upstream.says = lambda _: failure()

    assert await counter.ask("version") == [{"id": "a", "version": 0}]
    assert await counter.ask("identity") == [UNAVAILABLE]


async def test_an_unknown_user_is_unknown_in_all_fields(counter: Counter) -> None:
    counter.upstream.says = lambda _: None

    assert await counter.ask("version") == [{}]
    assert await counter.ask("identity") == [{}]
    assert await counter.ask(None) == [{}]
    assert counter.upstream.asked == ["version"]


async def test_a_user_who_is_unknown_now_has_no_fields_of_before(counter: Counter) -> None:
    await counter.ask("version")
    counter.upstream.says = lambda _: None
    await counter.ask("identity")

    assert await counter.ask("version") == [{}]
