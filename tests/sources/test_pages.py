"""Pages of any size, from any position, out of a service's pages."""

import asyncio
import io
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Code, SourceError
from app.observability.logs import make_log
from app.settings import LogSettings
from app.shapes.resilience import DeadlineSettings
from app.sources.base import Call, Page, PageRequest, Position, PositionGone, UserId
from app.sources.billing import INVOICES, InvoiceRecord
from app.sources.client import open_service
from app.sources.pages import MAX_CALLS, RestPages
from tests.clock import ManualClock
from tests.fakes import calm_source, failing, invoice, json_response

CALL = Call("request-1")
USER = UserId("u1")

Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]
Answer = Page[InvoiceRecord] | SourceError | PositionGone | None


@dataclass
class Upstream:
    """A paged service, whose cursor names the last item of the page before.

    Attributes:
        numbers: Its invoices.
        most: The most items of a page of it.
        obeys: Whether it looks at ``limit`` at all.
        late: Whether it notices only on an empty page that the list has ended.
        calls: How often it was asked.
        limits: What it was asked for.
    """

    numbers: list[int]
    most: int = 100
    obeys: bool = True
    late: bool = False
    calls: int = 0
    limits: list[int] = field(default_factory=list[int])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer with a page."""
        self.calls += 1
        parameters = request.url.params
        self.limits.append(int(parameters["limit"]))
        start = 0
        if "cursor" in parameters:
            start = self.numbers.index(int(parameters["cursor"].removeprefix("behind "))) + 1
        size = min(self.most, self.limits[-1]) if self.obeys else self.most
        page = self.numbers[start : start + size]
        more = start + size < len(self.numbers) or (self.late and bool(page))
        following = f"behind {page[-1]}" if more else None
        return json_response({"items": [invoice(n) for n in page], "nextCursor": following})


@asynccontextmanager
async def listing(
    handler: Handler, *, max_concurrent_pages: int = 10
) -> AsyncGenerator[RestPages[InvoiceRecord]]:
    """Open the list over a fake."""
    async with open_service(
        "billing",
        calm_source(base_url="http://billing", max_concurrent_pages=max_concurrent_pages),
        lambda _: httpx.MockTransport(handler),  # type: ignore[arg-type] # it takes either kind
        deadlines=DeadlineSettings(),
        clock=ManualClock(),
        chance=lambda: 0.5,
        log=make_log(LogSettings(), "json", io.StringIO()),
    ) as client:
        yield RestPages(INVOICES, client)


async def ask(handler: Handler, first: int, after: Position | None = None) -> Answer:
    """Ask for one page."""
    async with listing(handler) as pages:
        [answer] = await pages.fetch_pages([PageRequest(USER, first, after)], CALL)
    return answer


def answering(value: object) -> Handler:
    """Make a service that always answers the same."""
    return lambda _: json_response(value)


def page_of(answer: Answer) -> Page[InvoiceRecord]:
    """Take an answer that has to be a page."""
    assert isinstance(answer, Page)
    return answer


def numbers_of(page: Page[InvoiceRecord]) -> list[int]:
    """Tell which invoices are on a page."""
    return [int(entry.item.id.removeprefix("inv-")) for entry in page.items]


async def code_of(handler: Handler, first: int, after: Position | None = None) -> Code:
    """Ask for one page that has to fail, and tell how."""
    answer = await ask(handler, first, after)
    assert isinstance(answer, SourceError)
    assert answer.source == "billing"
    return answer.code


async def walk(
    pages: RestPages[InvoiceRecord],
    sizes: Sequence[int],
    after: Position | None,
    edges: Sequence[int],
) -> tuple[list[int], bool]:
    """Read a list to its end, page by page.

    Args:
        pages: The list.
        sizes: How many items each page asks for, again and again.
        after: Where to start.
        edges: Behind which item of each page to go on, counted from its end, again and again.

    Returns:
        The items behind which the walk went on, and what the last page had; and what that page
        said of more.
    """
    found: list[int] = []
    for turn in range(1000):
        request = PageRequest(USER, sizes[turn % len(sizes)], after)
        page = page_of((await pages.fetch_pages([request], CALL))[0])
        numbers = numbers_of(page)
        assert len(numbers) <= request.first
        if not page.has_next:
            return found + numbers, page.has_next
        assert numbers, "a page that others follow has items"
        kept = max(1, len(numbers) - edges[turn % len(edges)])
        found += numbers[:kept]
        after = page.items[kept - 1].position
    raise AssertionError("the walk does not end")


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(0, 60),
    most=st.integers(1, 30),
    obeys=st.booleans(),
    late=st.booleans(),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    edges=st.lists(st.integers(0, 3), min_size=1, max_size=4),
)
async def test_any_walk_from_edge_to_edge_meets_every_item_once_in_order_and_ends(
    number: int, most: int, *, obeys: bool, late: bool, sizes: list[int], edges: list[int]
) -> None:
    upstream = Upstream(list(range(number)), most=most, obeys=obeys, late=late)
    async with listing(upstream) as pages:
        found, more = await walk(pages, sizes, None, edges)

    assert found == list(range(number))
    assert not more


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(1, 30),
    most=st.integers(1, 30),
    obeys=st.booleans(),
    size=st.integers(1, 30),
    again=st.integers(1, 30),
    data=st.data(),
)
async def test_from_any_edge_the_next_page_starts_right_behind_it_and_has_next_is_right(
    number: int, most: int, *, obeys: bool, size: int, again: int, data: st.DataObject
) -> None:
    upstream = Upstream(list(range(number)), most=most, obeys=obeys)
    async with listing(upstream) as pages:
        before = page_of((await pages.fetch_pages([PageRequest(USER, size)], CALL))[0])
        edge = data.draw(st.integers(0, len(before.items) - 1))
        request = PageRequest(USER, again, before.items[edge].position)
        page = page_of((await pages.fetch_pages([request], CALL))[0])

    assert before.has_next == (len(before.items) < number)
    assert numbers_of(page) == list(range(edge + 1, number))[: len(page.items)]
    assert page.has_next == (edge + 1 + len(page.items) < number)


@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(2, 30),
    sizes=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    edges=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    news=st.lists(st.integers(0, 3), min_size=1, max_size=4),
)
async def test_new_items_at_the_front_neither_repeat_nor_lose_any_when_going_on_from_an_edge(
    number: int, sizes: list[int], edges: list[int], news: list[int]
) -> None:
    upstream = Upstream(list(range(number)))
    arrivals = iter(range(1000, 2000))

    def growing(request: httpx.Request) -> httpx.Response:
        response = upstream(request)
        for _ in range(news[upstream.calls % len(news)]):
            upstream.numbers.insert(0, next(arrivals))
        return response

    async with listing(growing) as pages:
        found, more = await walk(pages, sizes, None, edges)

    assert found == list(range(number))
    assert not more


async def test_going_on_from_the_end_of_a_page_is_one_call_a_page() -> None:
    upstream = Upstream(list(range(50)))
    async with listing(upstream) as pages:
        after: Position | None = None
        for expected in (range(20), range(20, 40), range(40, 50)):
            page = page_of((await pages.fetch_pages([PageRequest(USER, 20, after)], CALL))[0])
            assert numbers_of(page) == list(expected)
            after = page.items[-1].position

    assert upstream.limits == [20, 20, 20]


async def test_a_page_that_is_longer_than_the_upstream_s_is_put_together() -> None:
    upstream = Upstream(list(range(50)), most=7)

    page = page_of(await ask(upstream, 20))

    assert numbers_of(page) == list(range(20))
    assert page.has_next
    assert upstream.limits == [20, 13, 6]


async def test_an_upstream_of_tiny_pages_gives_a_short_page_rather_than_many_calls() -> None:
    upstream = Upstream(list(range(50)), most=1)

    page = page_of(await ask(upstream, 20))

    assert numbers_of(page) == list(range(MAX_CALLS))
    assert page.has_next
    assert upstream.calls == MAX_CALLS


async def test_behind_the_last_item_there_is_an_empty_page_and_later_what_was_added_there() -> None:
    upstream = Upstream([1, 2])
    async with listing(upstream) as pages:
        last = page_of((await pages.fetch_pages([PageRequest(USER, 5)], CALL))[0]).items[-1]
        behind = PageRequest(USER, 5, last.position)
        end = page_of((await pages.fetch_pages([behind], CALL))[0])
        upstream.numbers.append(3)
        later = page_of((await pages.fetch_pages([behind], CALL))[0])

    assert end == Page((), has_next=False)
    assert numbers_of(later) == [3]


async def test_a_position_whose_item_is_gone_is_said_to_be_gone() -> None:
    upstream = Upstream([1, 2, 3])
    gone = Position(cursor=None, item="inv-9")

    assert await ask(upstream, 5, gone) == PositionGone()
    assert upstream.calls == 1


async def test_an_empty_list_is_an_empty_page() -> None:
    assert await ask(Upstream([]), 20) == Page((), has_next=False)


async def test_a_user_whom_billing_does_not_know_has_no_page() -> None:
    assert await ask(failing(404), 20) is None


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (failing(500), Code.SOURCE_UNAVAILABLE),
        (failing(403), Code.SOURCE_REJECTED),
        (failing(429), Code.SOURCE_OVERLOADED),
        (answering([]), Code.SOURCE_MALFORMED),
        (answering({"nextCursor": None}), Code.SOURCE_MALFORMED),
        (answering({"items": None}), Code.SOURCE_MALFORMED),
        (answering({"items": [], "nextCursor": 7}), Code.SOURCE_MALFORMED),
        (answering({"items": [{"id": "inv-1"}]}), Code.SOURCE_MALFORMED),
    ],
)
async def test_a_failure_is_a_value_with_its_code(handler: Handler, code: Code) -> None:
    assert await code_of(handler, 20) is code


async def test_a_failure_on_a_later_upstream_page_is_the_failure_of_the_whole() -> None:
    upstream = Upstream(list(range(50)), most=5)

    def failing_later(request: httpx.Request) -> httpx.Response:
        return failing(503)(request) if "cursor" in request.url.params else upstream(request)

    assert await code_of(failing_later, 20) is Code.SOURCE_UNAVAILABLE


@pytest.mark.parametrize("items", [0, 1, 3, 20, 100])
@pytest.mark.parametrize("after", [None, Position("same", None), Position("same", "inv-99")])
async def test_an_upstream_that_repeats_its_cursor_is_malformed_and_soon_left_alone(
    items: int, after: Position | None
) -> None:
    calls: list[httpx.Request] = []

    def repeating(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        page = [invoice(n) for n in range(min(items, int(request.url.params["limit"])))]
        return json_response({"items": page, "nextCursor": "same"})

    # A client that goes on from the last edge of each page it gets has to come to an end, too.
    answer = await ask(repeating, 20, after)
    while isinstance(answer, Page) and len(calls) < 100:
        answer = await ask(repeating, 20, answer.items[-1].position)

    assert isinstance(answer, SourceError)
    assert answer.code is Code.SOURCE_MALFORMED
    assert len(calls) <= 2 * MAX_CALLS


@pytest.mark.parametrize("after", [None, Position(None, "inv-9"), Position("c0", None)])
async def test_an_upstream_of_nothing_but_empty_pages_is_malformed_after_a_few_calls(
    after: Position | None,
) -> None:
    calls: list[httpx.Request] = []

    def empty(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return json_response({"items": [], "nextCursor": f"c{len(calls)}"})

    assert await code_of(empty, 20, after) is Code.SOURCE_MALFORMED
    assert len(calls) <= MAX_CALLS


async def test_answers_come_in_the_order_of_the_requests_and_fail_alone() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        user = request.url.params["userId"]
        if user == "down":
            return json_response({}, 503)
        return Upstream([int(user)])(request)

    async with listing(answer) as pages:
        users = [UserId(user) for user in ("3", "down", "1", "2")]
        answers = await pages.fetch_pages([PageRequest(user, 1) for user in users], CALL)

    assert isinstance(answers[1], SourceError)
    assert [numbers_of(page_of(answers[n])) for n in (0, 2, 3)] == [[3], [1], [2]]


@pytest.mark.parametrize(("bound", "requests"), [(1, 3), (3, 8), (10, 25)])
async def test_as_many_pages_as_the_setting_allows_are_fetched_at_once_and_never_more(
    bound: int, requests: int
) -> None:
    running = most = 0
    full = asyncio.Event()

    async def answer(_: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == bound:
            full.set()
        await full.wait()  # nobody is answered before the bound has been reached once
        await asyncio.sleep(0)
        running -= 1
        return json_response({"items": []})

    async with asyncio.timeout(5), listing(answer, max_concurrent_pages=bound) as pages:
        users = [UserId(str(number)) for number in range(requests)]
        answers = await pages.fetch_pages([PageRequest(user, 1) for user in users], CALL)

    assert most == bound
    assert answers == [Page((), has_next=False)] * requests
