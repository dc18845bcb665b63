"""Pages that several requests need at the same time are fetched once."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from app.settings.resilience import CoalesceSettings, DeadlineSettings
from app.sources.base import PageRequest, UserId
from app.sources.lists.coalescing import CoalescedPages
from tests.clock import ManualClock
from tests.conftest import GatewayClient, GatewayReply, OpenGateway
from tests.fakes import (
    FakeServices,
    calm_source,
    failing,
    invoice,
    json_response,
    settings_for_fakes,
    user_id,
)
from tests.sources.lists.listing import CALL, listing

NUMBERS = {"edges": [{"node": {"number": "2026-0002"}}, {"node": {"number": "2026-0001"}}]}


@dataclass
class Invoices:
    """The calls for invoices, which wait until the test opens a gate.

    Attributes:
        asked: The user of each call, in the order of the calls.
        gate: Open for all calls that come or wait.
    """

    asked: list[str] = field(default_factory=list[str])
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def before(self, request: httpx.Request) -> None:
        """Note a call for invoices, and wait for the gate."""
        if request.url.path == "/invoices":
            self.asked.append(request.url.params["userId"])
            await self.gate.wait()


@pytest.fixture
def invoices(services: FakeServices) -> Invoices:
    """Return two users with two invoices each; the calls for invoices wait."""
    held = Invoices()
    services.know(1, 2)
    for number in (1, 2):
        services.billing.invoices[user_id(number)] = [invoice(2), invoice(1)]
    services.before = held.before
    return held


def query(*users: int, first: int = 5) -> str:
    """Write a query for the invoices of users."""
    ids = ", ".join(f'"{user_id(number)}"' for number in users)
    return (
        f"{{ users(ids: [{ids}])"
        f" {{ invoices(first: {first}) {{ edges {{ node {{ number }} }} }} }} }}"
    )


@asynccontextmanager
async def asking(
    gateway: GatewayClient, clock: ManualClock, *queries: str, **headers: str
) -> AsyncGenerator[list[asyncio.Task[GatewayReply]]]:
    """Send queries one after the other; each continues as far as the waiting calls allow."""
    async with asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[GatewayReply]] = []
        for each in queries:
            tasks.append(group.create_task(gateway.query_as(headers, each)))
            await clock.settle()
        yield tasks


async def test_a_page_in_flight_is_fetched_once_for_all_requests(
    open_gateway: OpenGateway, clock: ManualClock, invoices: Invoices
) -> None:
    async with open_gateway(settings_for_fakes()) as gateway:
        queries = (query(1), query(2, 1), query(1, first=3), query(1))
        async with asking(gateway, clock, *queries) as tasks:
            # A page of another size is another page.
            assert invoices.asked == [user_id(1), user_id(2), user_id(1)]
            invoices.gate.set()
        answers = [task.result().data["users"] for task in tasks]
        await gateway.query(query(1))
        lines = [one for one in gateway.events("source.fetch") if one["path"] == "/invoices"]

    whole = {"invoices": NUMBERS}
    assert answers == [[whole], [whole, whole], [whole], [whole]]
    assert len(invoices.asked) == 4, "a page is fetched again after its call has ended"
    assert [line.get("shared_by") for line in lines] == [3, None, None, None]
    assert lines[0]["requests"][0] == lines[0]["request_id"]


async def test_without_coalescing_each_request_fetches_its_own_page(
    open_gateway: OpenGateway, clock: ManualClock, invoices: Invoices
) -> None:
    settings = settings_for_fakes()
    apart = calm_source(base_url="http://billing", coalesce=CoalesceSettings(enabled=False))
    settings = settings.model_copy(update={"sources": {**settings.sources, "billing": apart}})
    async with (
        open_gateway(settings) as gateway,
        asking(gateway, clock, query(1), query(1)) as tasks,
    ):
        assert invoices.asked == [user_id(1)] * 2
        invoices.gate.set()

    assert all(task.result().data for task in tasks)


async def test_a_waiting_request_fetches_the_page_when_the_other_is_cancelled(
    open_gateway: OpenGateway, clock: ManualClock, invoices: Invoices
) -> None:
    async with (
        open_gateway(settings_for_fakes()) as gateway,
        asking(gateway, clock, query(1, 2), query(2, 1), query(1, 2)) as tasks,
    ):
        assert len(invoices.asked) == 2
        tasks[0].cancel()
        await clock.settle()
        assert len(invoices.asked) == 4, "one of the two that wait fetches both pages"
        invoices.gate.set()

    assert tasks[0].cancelled()
    whole = {"invoices": NUMBERS}
    assert [task.result().body for task in tasks[1:]] == [{"data": {"users": [whole] * 2}}] * 2


async def test_a_cancelled_waiting_request_does_not_affect_the_others(
    open_gateway: OpenGateway, clock: ManualClock, invoices: Invoices
) -> None:
    async with (
        open_gateway(settings_for_fakes()) as gateway,
        asking(gateway, clock, query(1), query(1), query(1)) as tasks,
    ):
        tasks[1].cancel()
        await clock.settle()
        assert len(invoices.asked) == 1
        invoices.gate.set()

    assert [task.cancelled() for task in tasks] == [False, True, False]
    assert tasks[0].result().body == tasks[2].result().body


async def test_a_short_deadline_ends_only_the_call_of_its_own_request(
    open_gateway: OpenGateway, clock: ManualClock, invoices: Invoices
) -> None:
    async with open_gateway(settings_for_fakes()) as gateway, asyncio.TaskGroup() as group:
        short = group.create_task(gateway.query_as({"X-Request-Timeout": "500ms"}, query(1)))
        await clock.settle()
        long = group.create_task(gateway.query(query(1)))
        await clock.settle()
        assert len(invoices.asked) == 1
        clock.advance(0.5)
        await clock.settle()
        assert short.done()
        assert len(invoices.asked) == 2, "the other request has more time"
        invoices.gate.set()

    assert short.result().codes == {"users.0.invoices": "SOURCE_TIMEOUT"}
    assert long.result().body == {"data": {"users": [{"invoices": NUMBERS}]}}


async def test_a_call_that_times_out_is_not_repeated_for_a_request_without_time(
    open_gateway: OpenGateway, clock: ManualClock, invoices: Invoices
) -> None:
    settings = settings_for_fakes()
    async with (
        open_gateway(settings) as gateway,
        asking(gateway, clock, query(1), query(1)) as tasks,
    ):
        clock.advance(settings.sources["billing"].page_timeout)
        await clock.settle()
        assert all(task.done() for task in tasks)

    assert len(invoices.asked) == 1
    codes = {"users.0.invoices": "SOURCE_TIMEOUT"}
    assert [task.result().codes for task in tasks] == [codes, codes]


async def test_a_request_waits_for_a_shared_call_only_until_its_own_deadline(
    open_gateway: OpenGateway, clock: ManualClock, invoices: Invoices
) -> None:
    async with open_gateway(settings_for_fakes()) as gateway, asyncio.TaskGroup() as group:
        long = group.create_task(gateway.query(query(1)))
        await clock.settle()
        short = group.create_task(gateway.query_as({"X-Request-Timeout": "500ms"}, query(1)))
        await clock.settle()
        clock.advance(0.5)
        await clock.settle()
        assert short.done()
        assert not long.done()
        invoices.gate.set()

    assert len(invoices.asked) == 1
    assert short.result().codes == {"users.0.invoices": "SOURCE_TIMEOUT"}
    assert long.result().body == {"data": {"users": [{"invoices": NUMBERS}]}}


async def test_a_failed_call_fails_all_requests_that_wait_for_it(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock, invoices: Invoices
) -> None:
    async with (
        open_gateway(settings_for_fakes()) as gateway,
        asking(gateway, clock, query(1), query(1)) as tasks,
    ):
        services.billing.behaviour = failing(503)
        invoices.gate.set()

    assert len(invoices.asked) == 1
    codes: Mapping[str, str] = {"users.0.invoices": "SOURCE_UNAVAILABLE"}
    assert [task.result().codes for task in tasks] == [codes, codes]


async def test_no_request_joins_a_call_that_began_before_an_invalidation(
    clock: ManualClock,
) -> None:
    asked: list[str] = []
    gate = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["userId"])
        await gate.wait()
        return json_response({"items": [invoice(len(asked))]})

    async with listing(answer, clock=clock) as pages, asyncio.TaskGroup() as group:
        settings = calm_source(base_url="http://billing")
        coalesced = CoalescedPages(pages, settings, deadlines=DeadlineSettings(), clock=clock)
        requests = [PageRequest(UserId(user), 5) for user in ("a", "b")]

        def ask() -> None:
            group.create_task(coalesced.fetch_pages(requests, CALL))

        ask()
        await clock.settle()
        coalesced.forget(lambda user: user == "a")
        ask()
        await clock.settle()
        assert asked == ["a", "b", "a"]
        gate.set()
