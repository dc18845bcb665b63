"""Slow or failing users do not harm others: shared calls are no worse than separate calls.

The same requests are simulated twice, with shared calls and without. The source is slow for some
users and fails for some others. All of it runs on a manual clock.
"""

import asyncio
import io
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.errors import SourceFailure
from app.observability.logs import make_log
from app.observability.telemetry import Telemetry
from app.resilience.breaker import BreakerState
from app.resilience.clock import Deadline
from app.resilience.pipeline import ResiliencePipeline
from app.settings.models import LogSettings
from app.settings.resilience import (
    BreakerSettings,
    CoalesceSettings,
    DeadlineSettings,
    RetrySettings,
)
from app.settings.source import SourceSettings
from app.sources.base import RequestContext, UserId
from app.sources.batch import wait_for_batches
from app.sources.batch_scheduler import BatchScheduler, Sharing
from app.sources.client import open_service
from app.sources.records import PROFILE, ProfileRecord
from app.sources.rest import RestSource
from app.sources.telemetry import SourceTelemetry
from tests.clock import ManualClock
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import (
    FakeServices,
    FakeTransport,
    calm_source,
    profile_row,
    settings_for_fakes,
    user_id,
)
from tests.properties import examples

USUAL = 0.008
"""Seconds that the source takes for all other users."""

TIMEOUT = 2.0

CALM: Mapping[str, Any] = {}

STRICT: Mapping[str, Any] = {"breaker": BreakerSettings(), "retry": RetrySettings()}

MAX_WAIT = 0.1

MAX_DELAY = 2 * MAX_WAIT + 8 * USUAL
"""By how many seconds sharing may delay a request: gathering, and a batch that is divided."""

NEVER = BreakerSettings(min_calls=100_000)


@dataclass(frozen=True)
class Arrival:
    """A request.

    Attributes:
        at: The time of its arrival, in seconds.
        users: The users that it wants.
        odd: Whether it wants a slow or a fatal user.
    """

    at: float
    users: tuple[int, ...]
    odd: bool = False


@dataclass(frozen=True)
class Outcome:
    """The outcome of a request.

    Attributes:
        failed: How many of its users failed.
        seconds: Its duration.
    """

    failed: int
    seconds: float


@dataclass
class Service:
    """A service that is slow for some users, and that fails as a whole for some others.

    Attributes:
        clock: The time.
        slow: How many seconds it takes for a user.
        fatal: The status with which a call with this user fails.
        down: Whether it fails for all users.
        calls: The users of each call.
        running: The calls that run now.
        most: The greatest number of calls with a slow user that ran at the same time.
        failed: How many calls have failed.
    """

    clock: ManualClock
    slow: Mapping[int, float] = field(default_factory=dict[int, float])
    fatal: Mapping[int, int] = field(default_factory=dict[int, int])
    down: bool = False
    calls: list[list[int]] = field(default_factory=list[list[int]])
    running: list[list[int]] = field(default_factory=list[list[int]])
    most: int = 0
    failed: int = 0

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        users = [int(key[-12:]) for key in request.url.params.get_list("id")]
        self.calls.append(users)
        self.running.append(users)
        slow = sum(not self.slow.keys().isdisjoint(call) for call in self.running)
        self.most = max(self.most, slow)
        try:
            await self.clock.sleep(max([USUAL, *[self.slow.get(user, 0) for user in users]]))
        finally:
            self.running.remove(users)
        statuses = [self.fatal[user] for user in users if user in self.fatal]
        if statuses or self.down:
            self.failed += 1
            return httpx.Response(statuses[0] if statuses else 500)
        return httpx.Response(200, content=orjson.dumps([profile_row(user) for user in users]))


@dataclass
class Simulation:
    """A source and its requests.

    Attributes:
        service: The service behind it.
        batches: The batches to it.
        guard: The resilience pipeline of its calls.
        outcomes: The outcome of each request.
        log: What was logged.
    """

    service: Service
    scheduler: BatchScheduler[ProfileRecord]
    guard: ResiliencePipeline
    log: io.StringIO
    outcomes: dict[Arrival, Outcome] = field(default_factory=dict[Arrival, Outcome])

    async def send(self, arrival: Arrival) -> None:
        """Run a request."""
        clock = self.service.clock
        began = clock.monotonic()
        call = RequestContext(f"r{arrival.at}", deadline=Deadline(began + 5.0, clock))
        keys = [UserId(user_id(user)) for user in arrival.users]
        pending = self.scheduler.enqueue(keys, call)
        await wait_for_batches(pending.pending)
        results = pending.collect().results
        failed = 0
        for key in keys:
            result = results[key]
            if isinstance(result, SourceFailure):
                failed += 1
            else:
                assert isinstance(result, ProfileRecord)
                assert result.id == key
        self.outcomes[arrival] = Outcome(failed, clock.monotonic() - began)

    async def run(self, arrivals: Sequence[Arrival]) -> None:
        """Start requests at their times, and wait until all have ended."""
        async with asyncio.TaskGroup() as group:
            now = 0.0
            for arrival in sorted(arrivals, key=lambda one: one.at):
                if arrival.at > now:
                    await self.service.clock.sleep(arrival.at - now)
                    now = arrival.at
                group.create_task(self.send(arrival))

    def others(self) -> list[Outcome]:
        """List the outcomes of the requests for users who are neither slow nor fatal."""
        return [one for arrival, one in self.outcomes.items() if not arrival.odd]


@asynccontextmanager
async def opened(
    service: Service,
    *,
    sharing: Sharing = Sharing.BATCHES,
    **changes: Any,  # noqa: ANN401 # any setting
) -> AsyncGenerator[Simulation]:
    """Open the source with its whole resilience pipeline."""
    source_settings: SourceSettings = calm_source(
        base_url="http://profile", timeout=TIMEOUT, **changes
    )
    log = io.StringIO()
    logger = make_log(LogSettings(level="debug", format="json"), stream=log)
    async with open_service(
        "profile",
        source_settings,
        lambda _: FakeTransport(service.answer),
        deadlines=DeadlineSettings(),
        clock=service.clock,
        chance=lambda: 0.5,
        log=logger,
        telemetry=Telemetry(),
    ) as client:
        source = RestSource(PROFILE, client, logger)
        batches: BatchScheduler[ProfileRecord] = BatchScheduler(
            "profile",
            source.fetch_many,
            sharing=sharing,
            settings=source_settings,
            deadlines=DeadlineSettings(),
            clock=service.clock,
            log=logger,
            telemetry=SourceTelemetry(Telemetry()),
            congested=client.is_congested,
        )
        async with batches:
            yield Simulation(service, batches, client.pipeline, log)


async def simulated(
    arrivals: Sequence[Arrival],
    service: Service,
    *,
    sharing: Sharing,
    **changes: Any,  # noqa: ANN401 # any setting
) -> Simulation:
    """Run a simulation to its end; no call is left."""
    async with opened(service, sharing=sharing, **changes) as simulation:
        await service.clock.run(simulation.run(arrivals))
        assert simulation.scheduler.in_flight == 0
    assert len(simulation.outcomes) == len(arrivals)
    return simulation


def every(seconds: float, users: Sequence[int], *, of: int, odd: bool) -> list[Arrival]:
    """Make ``of`` requests for the users in turn, one every ``seconds``."""
    return [
        Arrival(number * seconds, (users[number % len(users)],), odd=odd) for number in range(of)
    ]


async def test_twenty_slow_users_do_not_harm_other_users() -> None:
    slow = range(20)
    arrivals = every(0.1 / 20, slow, of=600, odd=True)  # one request for each every 100 ms
    arrivals += [Arrival(0.001 + 0.02 * one, (100 + one,)) for one in range(150)]

    simulation = await simulated(
        arrivals, Service(ManualClock(), dict.fromkeys(slow, 60.0)), sharing=Sharing.BATCHES
    )

    others = simulation.others()
    assert sum(one.failed for one in others) == 0
    assert max(one.seconds for one in others) <= MAX_DELAY
    assert sorted(one.seconds for one in others)[75] == pytest.approx(USUAL)


SLOW, FATAL, OTHERS = range(20), range(20, 24), range(100, 130)


@st.composite
def arrival_lists(draw: st.DrawFn) -> list[Arrival]:
    """Draw the requests of a simulation."""
    odd = st.lists(st.sampled_from([*SLOW, *FATAL]), min_size=1, max_size=4, unique=True)
    well = st.lists(st.sampled_from(OTHERS), min_size=1, max_size=4, unique=True)
    arrivals: list[Arrival] = []
    for is_odd, users in ((True, odd), (False, well)):
        gap = draw(st.sampled_from([0.0, 0.002, 0.011, 0.05]))
        lists = draw(st.lists(users, min_size=1, max_size=12))
        for number in range(draw(st.integers(1, 40))):
            one = tuple(lists[number % len(lists)])
            arrivals.append(Arrival(number * gap, one, odd=is_odd))
    mixed = draw(st.lists(st.tuples(odd, well), max_size=3))
    arrivals += [Arrival(0.03, (*one, *two), odd=True) for one, two in mixed]
    return [*dict.fromkeys(arrivals)]


MANY_FAILURES = 5
"""If more than a fifth of the calls fail, users who share keys may reach the rate of the circuit
breaker sooner: a request for two failing users makes one call, and two if each is in flight."""


@given(
    arrivals=arrival_lists(),
    seconds=st.sampled_from([0.05, 0.3, 1.5, 60.0]),
    status=st.sampled_from([400, 500, 502]),
    max_batches=st.integers(1, 16),
    full_at=st.integers(1, 20),
    max_calls=st.sampled_from([24, 64]),
    guards=st.sampled_from([CALM, STRICT]),
)
@settings(max_examples=examples(20), deadline=None)
async def test_shared_calls_cause_no_more_failures_for_others_than_separate_calls(
    *,
    arrivals: list[Arrival],
    seconds: float,
    status: int,
    max_batches: int,
    full_at: int,
    max_calls: int,
    guards: Mapping[str, Any],
) -> None:
    simulations: list[Simulation] = []
    for sharing in (Sharing.NOTHING, Sharing.BATCHES):
        service = Service(ManualClock(), dict.fromkeys(SLOW, seconds), dict.fromkeys(FATAL, status))
        coalesce = CoalesceSettings(max_batches=max_batches, full_at=full_at, max_wait=MAX_WAIT)
        simulations.append(
            await simulated(
                arrivals,
                service,
                sharing=sharing,
                coalesce=coalesce,
                max_calls=max_calls,
                **guards,
            )
        )
    apart, together = simulations
    failures = apart.service.failed * MANY_FAILURES
    assume(guards is not STRICT or failures <= len(apart.service.calls))

    for arrival in arrivals:
        if not arrival.odd:
            one, other = apart.outcomes[arrival], together.outcomes[arrival]
            assert other.failed <= one.failed
            if not one.failed:
                assert other.seconds <= max(o.seconds for o in apart.others()) + MAX_DELAY


async def test_a_batch_with_a_slow_user_is_divided_and_the_others_get_results() -> None:
    service = Service(ManualClock(), {1: 60.0})
    arrivals = [Arrival(0.0, (1,), odd=True), Arrival(0.0, (2, 3)), Arrival(0.0, (4,))]

    simulation = await simulated(arrivals, service, sharing=Sharing.BATCHES)

    assert service.calls == [[1, 2, 3, 4], [2, 3], [1], [4]]
    assert [one.failed for one in simulation.others()] == [0, 0]
    assert [one.seconds for one in simulation.others()] == pytest.approx([MAX_WAIT + USUAL] * 2)


async def test_a_slow_user_is_fetched_alone_until_it_is_fast_again() -> None:
    service = Service(ManualClock(), {1: 0.3})
    arrivals = [Arrival(at, (user,), odd=user == 1) for at in (0.0, 1.0, 2.0) for user in (1, 2, 3)]
    async with opened(service) as simulation:
        await service.clock.run(simulation.run(arrivals))
        assert service.calls == [[1, 2, 3], [1], [2], [3], [1], [2, 3], [1], [2, 3]]
        service.calls.clear()

        service.slow = {}
        await service.clock.run(
            simulation.run([Arrival(at, (1, 2), odd=True) for at in (4.0, 5.0)])
        )
        assert service.calls == [[1], [2], [1, 2]]


async def test_a_request_with_a_slow_user_is_halved_until_that_user_is_alone() -> None:
    service = Service(ManualClock(), {1: 0.3})
    well = Arrival(0.5, (100,))
    async with opened(service) as simulation:
        for at in range(4):
            odd = Arrival(at, (1, 2, 3, 4), odd=True)
            await service.clock.run(simulation.run([odd]))
            await service.clock.run(simulation.run([well]))
            simulation.outcomes.clear()

    assert [call for call in service.calls if call != [100]] == [
        [1, 2, 3, 4],
        *([1, 2], [3, 4]),
        *([1], [2], [3, 4]),
        *([1], [2, 3, 4]),
    ]


async def test_a_batch_of_several_requests_that_fails_for_one_user_is_divided() -> None:
    service = Service(ManualClock(), fatal={1: 500})
    arrivals = [Arrival(at, (user,), odd=user == 1) for at in (0.0, 1.0) for user in (1, 2, 3)]

    simulation = await simulated(arrivals, service, sharing=Sharing.BATCHES)

    assert service.calls == [[1, 2, 3], [1], [2], [3], [1], [2, 3]]
    assert {one.failed for one in simulation.others()} == {0}


async def test_a_user_of_an_overdue_batch_is_fetched_separately() -> None:
    service = Service(ManualClock(), {1: 60.0})
    arrivals = [
        Arrival(0.0, (1, 2), odd=True),
        Arrival(0.15, (2, 3)),
    ]

    simulation = await simulated(arrivals, service, sharing=Sharing.BATCHES)

    assert service.calls == [[1, 2], [2], [3]]
    assert [one.failed for one in simulation.others()] == [0]


async def test_a_stalled_event_loop_does_not_cause_more_calls() -> None:
    service = Service(ManualClock(), {1: 3 * MAX_WAIT, 2: 3 * MAX_WAIT})
    clock = service.clock
    async with opened(service) as simulation, asyncio.TaskGroup() as group:
        for users in ((1, 2), (2,)):
            group.create_task(simulation.send(Arrival(0.0, users)))
            await clock.settle()
        clock.stall(2 * MAX_WAIT)  # so the response may be there, but is not read yet
        group.create_task(simulation.send(Arrival(0.1, (2,))))
        await clock.settle()
        clock.stall(2 * MAX_WAIT)
        await clock.settle()
        await clock.run(simulation.send(Arrival(0.2, (1, 2))))

    assert service.calls == [[1, 2], [1, 2]]
    assert [one.failed for one in simulation.outcomes.values()] == [0, 0, 0, 0]


async def test_a_caller_that_joins_a_batch_gets_a_separate_call_when_it_is_overdue() -> None:
    service = Service(ManualClock(), {1: 60.0})

    simulation = await simulated(
        [Arrival(0.0, (1, 2), odd=True), Arrival(0.05, (2,))], service, sharing=Sharing.BATCHES
    )

    assert service.calls == [[1, 2], [2]]
    (other,) = simulation.others()
    assert other.failed == 0
    assert other.seconds == pytest.approx(MAX_WAIT - 0.05 + USUAL)


async def test_an_outage_opens_the_circuit_within_twice_the_calls_of_no_sharing() -> None:
    arrivals = [Arrival(0.01 * (number // 10), (number,)) for number in range(400)]
    made: list[int] = []
    for sharing in (Sharing.NOTHING, Sharing.BATCHES):
        service = Service(ManualClock(), down=True)
        await simulated(arrivals, service, sharing=sharing, **STRICT)
        made.append(len(service.calls))

    assert made[1] <= 2 * made[0] <= 40


async def test_a_failing_user_opens_no_circuit_while_others_succeed() -> None:
    service = Service(ManualClock(), fatal={1: 500})
    arrivals = every(0.02, [1], of=500, odd=True) + every(0.1, OTHERS, of=100, odd=False)

    simulation = await simulated(arrivals, service, sharing=Sharing.BATCHES, **STRICT)

    assert simulation.guard.state is BreakerState.CLOSED
    assert {one.failed for one in simulation.others()} == {0}


@pytest.mark.parametrize("users", [[1], [1, 2, 3]])
async def test_failures_open_the_circuit_if_no_other_user_succeeds(
    users: list[int],
) -> None:
    service = Service(ManualClock())
    async with opened(service, **STRICT) as simulation:
        await service.clock.run(simulation.run(every(0.1, users, of=10, odd=True)))
        service.down = True
        await service.clock.run(simulation.run(every(0.02, users, of=100, odd=True)))
        assert simulation.guard.state is BreakerState.OPEN


async def test_known_slow_users_get_only_a_share_of_the_calls() -> None:
    service = Service(ManualClock(), dict.fromkeys(range(60), 60.0))
    async with opened(service, max_calls=64) as simulation:
        first = [Arrival(0.0, (user,), odd=True) for user in range(60)]
        await service.clock.run(simulation.run([*first, *every(0.1, OTHERS, of=30, odd=False)]))
        service.most = 0
        again = [Arrival(5.0, (user,), odd=True) for user in range(60)]
        await service.clock.run(simulation.run([*again, *every(0.1, [99], of=80, odd=False)]))

    assert service.most == 16
    assert {one.failed for one in simulation.others()} == {0}


async def test_a_gathering_batch_is_sent_at_the_latest_after_max_wait() -> None:
    service = Service(ManualClock(), {1: 60.0, 2: 60.0})
    arrivals = [Arrival(0.0, (1,), odd=True), Arrival(0.01, (2,), odd=True)]
    arrivals += [Arrival(0.02, (3,)), Arrival(0.03, (4,)), Arrival(0.2, (5,))]

    simulation = await simulated(
        arrivals,
        service,
        sharing=Sharing.BATCHES,
        coalesce=CoalesceSettings(max_batches=2, max_wait=MAX_WAIT),
    )

    assert service.calls == [[1], [2], [3, 4], [5]]
    waited = [MAX_WAIT + USUAL, MAX_WAIT - 0.01 + USUAL, USUAL]
    assert [one.seconds for one in simulation.others()] == pytest.approx(waited)


async def test_other_requests_at_the_gateway_do_not_wait_for_slow_users(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock
) -> None:
    services.know(*range(1, 200))
    slow = range(1, 21)

    async def look_up(request: httpx.Request) -> None:
        if any(int(key[-12:]) in slow for key in request.url.params.get_list("id")):
            await clock.sleep(60.0)

    services.before = look_up
    took: list[float] = []

    async def show(gateway: GatewayClient, number: int) -> None:
        began = clock.seconds
        reply = await gateway.query(f'{{ user(id: "{user_id(number)}") {{ displayName }} }}')
        if number not in slow:
            assert reply.body == {"data": {"user": {"displayName": f"User {number}"}}}
            took.append(clock.seconds - began)

    async def crowd(gateway: GatewayClient) -> None:
        async with asyncio.TaskGroup() as group:
            for tenth in range(12):
                for number in (*slow, *range(30 + 5 * tenth, 35 + 5 * tenth)):
                    group.create_task(show(gateway, number))
                await clock.sleep(0.1)

    async with open_gateway(settings_for_fakes()) as gateway:
        await clock.run(crowd(gateway))

    assert len(took) == 60
    assert max(took) <= MAX_DELAY
