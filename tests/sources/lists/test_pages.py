"""Pages of any size and from any position, made of the pages of a service."""

import asyncio
import io
import json
from dataclasses import dataclass, field

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.errors import Code, SourceFailure
from app.observability.logs import make_log
from app.resilience.clock import Deadline
from app.settings.models import LogSettings
from app.settings.resilience import BreakerSettings, PacingSettings
from app.sources.base import Page, PageRequest, Position, PositionGone, RequestContext, UserId
from app.sources.lists.pages import MAX_CALLS
from tests.clock import ManualClock
from tests.fakes import Handler, failing, invoice, json_response
from tests.properties import examples
from tests.sources.lists.listing import (
    CALL,
    USER,
    answering,
    ask,
    listing,
    numbers_of,
    page_of,
    walk,
    walk_until_it_fails,
)
from tests.sources.odd import ODD, with_member


@dataclass
class PagedUpstream:
    """A paged service, whose cursor names the last item of the page before.

    Attributes:
        numbers: Its invoices.
        most: The greatest number of items on a page.
        obeys: Whether it obeys ``limit``.
        late: Whether only an empty page shows the end of the list.
        calls: The number of calls.
        limits: The requested limits.
    """

    numbers: list[int]
    most: int = 100
    obeys: bool = True
    late: bool = False
    calls: int = 0
    limits: list[int] = field(default_factory=list[int])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Return a page."""
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


async def code_of(handler: Handler, first: int, after: Position | None = None) -> Code:
    """Ask for one page that has to fail; return the code of the failure."""
    answer = await ask(handler, first, after)
    assert isinstance(answer, SourceFailure)
    assert answer.source == "billing"
    return answer.code


@settings(max_examples=examples(60), deadline=None)
@given(
    number=st.integers(0, 60),
    most=st.integers(1, 30),
    obeys=st.booleans(),
    late=st.booleans(),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    edges=st.lists(st.integers(0, 3), min_size=1, max_size=4),
)
async def test_reading_from_edge_to_edge_gives_every_item_once_and_in_order(
    number: int, most: int, *, obeys: bool, late: bool, sizes: list[int], edges: list[int]
) -> None:
    upstream = PagedUpstream(list(range(number)), most=most, obeys=obeys, late=late)
    async with listing(upstream) as pages:
        found, more = await walk(pages, sizes, None, edges)

    assert found == list(range(number))
    assert not more


@settings(max_examples=examples(60), deadline=None)
@given(
    number=st.integers(1, 30),
    most=st.integers(1, 30),
    obeys=st.booleans(),
    size=st.integers(1, 30),
    again=st.integers(1, 30),
    data=st.data(),
)
async def test_the_next_page_starts_right_after_any_edge(
    number: int, most: int, *, obeys: bool, size: int, again: int, data: st.DataObject
) -> None:
    upstream = PagedUpstream(list(range(number)), most=most, obeys=obeys)
    async with listing(upstream) as pages:
        before = page_of((await pages.fetch_pages([PageRequest(USER, size)], CALL)).results[0])
        edge = data.draw(st.integers(0, len(before.items) - 1))
        request = PageRequest(USER, again, before.items[edge].position)
        page = page_of((await pages.fetch_pages([request], CALL)).results[0])

    assert before.has_next == (len(before.items) < number)
    assert numbers_of(page) == list(range(edge + 1, number))[: len(page.items)]
    assert page.has_next == (edge + 1 + len(page.items) < number)


@settings(max_examples=examples(40), deadline=None)
@given(
    number=st.integers(2, 30),
    sizes=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    edges=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    news=st.lists(st.integers(0, 3), min_size=1, max_size=4),
)
async def test_new_items_at_the_front_cause_no_repeated_or_lost_items(
    number: int, sizes: list[int], edges: list[int], news: list[int]
) -> None:
    upstream = PagedUpstream(list(range(number)))
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


async def test_each_page_after_the_end_of_the_last_page_needs_one_call() -> None:
    upstream = PagedUpstream(list(range(50)))
    async with listing(upstream) as pages:
        after: Position | None = None
        for expected in (range(20), range(20, 40), range(40, 50)):
            page = page_of(
                (await pages.fetch_pages([PageRequest(USER, 20, after)], CALL)).results[0]
            )
            assert numbers_of(page) == list(expected)
            after = page.items[-1].position

    assert upstream.limits == [20, 20, 20]


async def test_a_page_longer_than_those_of_the_upstream_is_made_of_several() -> None:
    upstream = PagedUpstream(list(range(50)), most=7)

    page = page_of(await ask(upstream, 20))

    assert numbers_of(page) == list(range(20))
    assert page.has_next
    assert upstream.limits == [20, 13, 6]


async def test_tiny_upstream_pages_give_a_short_page_and_not_many_calls() -> None:
    upstream = PagedUpstream(list(range(50)), most=1)

    page = page_of(await ask(upstream, 20))

    assert numbers_of(page) == list(range(MAX_CALLS))
    assert page.has_next
    assert upstream.calls == MAX_CALLS


async def test_the_page_after_the_last_item_is_empty_until_items_are_added() -> None:
    upstream = PagedUpstream([1, 2])
    async with listing(upstream) as pages:
        last = page_of((await pages.fetch_pages([PageRequest(USER, 5)], CALL)).results[0]).items[-1]
        behind = PageRequest(USER, 5, last.position)
        end = page_of((await pages.fetch_pages([behind], CALL)).results[0])
        upstream.numbers.append(3)
        later = page_of((await pages.fetch_pages([behind], CALL)).results[0])

    assert end == Page((), has_next=False)
    assert numbers_of(later) == [3]


async def test_a_position_whose_item_is_missing_is_reported_as_gone() -> None:
    upstream = PagedUpstream([1, 2, 3])
    gone = Position(cursor=None, item="inv-9")

    assert await ask(upstream, 5, gone) == PositionGone()
    assert upstream.calls == 1


async def test_an_empty_list_is_an_empty_page() -> None:
    assert await ask(PagedUpstream([]), 20) == Page((), has_next=False)


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (failing(500), Code.SOURCE_UNAVAILABLE),
        (failing(403), Code.SOURCE_REJECTED),
        (failing(404), Code.SOURCE_REJECTED),
        (failing(429), Code.SOURCE_OVERLOADED),
        (answering([]), Code.SOURCE_MALFORMED),
        (answering({"nextCursor": None}), Code.SOURCE_MALFORMED),
        (answering({"items": None}), Code.SOURCE_MALFORMED),
        (answering({"items": [], "nextCursor": 7}), Code.SOURCE_MALFORMED),
        (answering({"items": [{"id": "inv-1"}]}), Code.SOURCE_MALFORMED),
    ],
)
async def test_a_failure_is_returned_with_its_code(handler: Handler, code: Code) -> None:
    assert await code_of(handler, 20) is code


async def test_a_failure_on_a_later_upstream_page_fails_the_whole_page() -> None:
    upstream = PagedUpstream(list(range(50)), most=5)

    def failing_later(request: httpx.Request) -> httpx.Response:
        return failing(503)(request) if "cursor" in request.url.params else upstream(request)

    assert await code_of(failing_later, 20) is Code.SOURCE_UNAVAILABLE


@pytest.mark.parametrize("items", [0, 1, 3, 20, 100])
@pytest.mark.parametrize("after", [None, Position("same", None), Position("same", "inv-99")])
async def test_a_repeated_cursor_is_malformed_after_a_few_calls(
    items: int, after: Position | None
) -> None:
    calls: list[httpx.Request] = []

    def repeating(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        page = [invoice(n) for n in range(min(items, int(request.url.params["limit"])))]
        return json_response({"items": page, "nextCursor": "same"})

    # A client that continues after the last edge of each page has to come to an end, too.
    answer = await ask(repeating, 20, after)
    while isinstance(answer, Page) and len(calls) < 100:
        answer = await ask(repeating, 20, answer.items[-1].position)

    assert isinstance(answer, SourceFailure)
    assert answer.code is Code.SOURCE_MALFORMED
    assert len(calls) <= 2 * MAX_CALLS


@pytest.mark.parametrize("last", ["", " ", "\t\n", "\u00a0", None])
@pytest.mark.parametrize("sizes", [[1], [2], [3], [100]])
async def test_a_list_ends_when_the_next_cursor_is_empty(
    last: str | None, sizes: list[int]
) -> None:
    calls: list[str | None] = []

    def service(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.params.get("cursor"))
        second = request.url.params.get("cursor") == "second"
        items = [invoice(number) for number in ((3, 4) if second else (1, 2))]
        return json_response({"items": items, "nextCursor": last if second else "second"})

    async with listing(service) as pages:
        found, more = await walk(pages, sizes, None, [0])

    assert found == [1, 2, 3, 4]
    assert not more
    assert set(calls) == {None, "second"}


@settings(max_examples=examples(60), deadline=None)
@given(
    straight=st.integers(0, 9),
    around=st.integers(1, 9),
    items=st.integers(1, 3),
    size=st.integers(1, 8),
)
async def test_pages_in_a_circle_are_malformed_after_a_limited_number_of_calls(
    straight: int, around: int, items: int, size: int
) -> None:
    calls = 0

    def circling(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        page = int(request.url.params.get("cursor", "0"))
        following = page + 1 if page + 1 < straight + around else straight or 1
        numbers = range(page * items, (page + 1) * items)
        return json_response({"items": [invoice(n) for n in numbers], "nextCursor": str(following)})

    assert await walk_until_it_fails(circling, size) is Code.SOURCE_MALFORMED
    # Each upstream page may be read once for each of its items, and the circle three times.
    assert calls <= 4 * (straight + around + 1) * items + 4 * MAX_CALLS


@settings(max_examples=examples(30), deadline=None)
@given(number=st.integers(0, 300), most=st.integers(1, 40), size=st.integers(1, 40))
async def test_a_long_list_is_never_taken_for_a_circle(number: int, most: int, size: int) -> None:
    upstream = PagedUpstream(list(range(number)), most=most)

    assert await walk_until_it_fails(upstream, size) == list(range(number))


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", ["number", "issuedAt", "total", "id", "note"])
async def test_an_unreadable_item_fails_only_the_list_of_its_user(name: str, value: bytes) -> None:
    kept = {one: of_it for one, of_it in invoice(1).items() if one != name}
    odd = with_member(json.dumps(kept).encode(), name, value)
    good = json.dumps(invoice(2)).encode()

    def service(request: httpx.Request) -> httpx.Response:
        items = [good, odd] if request.url.params["userId"] == USER else [good]
        return httpx.Response(200, content=b'{"items": [' + b",".join(items) + b"]}")

    users = [*[USER] * 9, UserId("other")]
    async with listing(service, breaker=BreakerSettings(min_calls=3)) as pages:
        answers = [
            (await pages.fetch_pages([PageRequest(one, 5)], CALL)).results[0] for one in users
        ]

    if name == "note":
        assert [numbers_of(page_of(one)) for one in answers] == [*[[2, 1]] * 9, [2]]
        return
    for answer in answers[:-1]:
        assert isinstance(answer, SourceFailure)
        assert answer.code is Code.SOURCE_MALFORMED
        assert not answer.retryable
    assert numbers_of(page_of(answers[-1])) == [2]


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
async def test_other_members_of_a_page_may_have_any_value(value: bytes) -> None:
    body = with_member(json.dumps({"items": [invoice(1)]}).encode(), "links", value)
    cursor = with_member(json.dumps({"items": [invoice(1)]}).encode(), "nextCursor", value)

    assert numbers_of(page_of(await ask(lambda _: httpx.Response(200, content=body), 5))) == [1]
    assert await code_of(lambda _: httpx.Response(200, content=cursor), 5) is Code.SOURCE_MALFORMED


async def test_a_response_that_is_not_a_page_counts_for_the_circuit_breaker() -> None:
    calls: list[httpx.Request] = []

    def broken(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return json_response({"rows": []})

    async with listing(broken, breaker=BreakerSettings(min_calls=3)) as pages:
        for _ in range(9):
            await pages.fetch_pages([PageRequest(USER, 5)], CALL)

    assert len(calls) == 3


async def test_an_odd_page_is_logged_without_its_values() -> None:
    stream = io.StringIO()
    log = make_log(LogSettings(), "json", stream)
    body = json.dumps({"items": [{**invoice(1), "number": ["secret"]}]})
    async with listing(lambda _: httpx.Response(200, content=body), log=log) as pages:
        await pages.fetch_pages([PageRequest(USER, 5)], CALL)

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    [line] = [line for line in lines if line["event"] == "source.odd_page"]
    assert line["event"] == "source.odd_page"
    assert line["detail"] == "items.0.number: Input should be a valid string"
    assert (line["source"], line["path"], line["request_id"]) == (
        "billing",
        "/invoices",
        "request-1",
    )
    assert "secret" not in stream.getvalue()


@pytest.mark.parametrize("after", [None, Position(None, "inv-9"), Position("c0", None)])
async def test_endless_empty_pages_are_malformed_after_a_few_calls(
    after: Position | None,
) -> None:
    calls: list[httpx.Request] = []

    def empty(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return json_response({"items": [], "nextCursor": f"c{len(calls)}"})

    assert await code_of(empty, 20, after) is Code.SOURCE_MALFORMED
    assert len(calls) <= MAX_CALLS


async def test_results_have_the_order_of_the_requests_and_fail_separately() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        user = request.url.params["userId"]
        if user == "down":
            return json_response({}, 503)
        return PagedUpstream([int(user)])(request)

    async with listing(answer) as pages:
        users = [UserId(user) for user in ("3", "down", "1", "2")]
        fetched = await pages.fetch_pages([PageRequest(user, 1) for user in users], CALL)

    answers = fetched.results
    assert isinstance(answers[1], SourceFailure)
    assert [numbers_of(page_of(answers[n])) for n in (0, 2, 3)] == [[3], [1], [2]]


@pytest.mark.parametrize(("bound", "requests"), [(1, 3), (3, 8), (10, 25)])
async def test_concurrent_pages_reach_and_never_exceed_their_limit(
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
        await full.wait()  # no call gets a response before the limit was reached once
        await asyncio.sleep(0)
        running -= 1
        return json_response({"items": []})

    async with asyncio.timeout(5), listing(answer, max_concurrent_pages=bound) as pages:
        users = [UserId(str(number)) for number in range(requests)]
        fetched = await pages.fetch_pages([PageRequest(user, 1) for user in users], CALL)

    assert most == bound
    assert fetched.results == [Page((), has_next=False)] * requests


async def test_a_pause_for_the_pages_of_one_caller_does_not_delay_another_caller() -> None:
    clock, asked = ManualClock(), list[str]()

    def limit_first(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["authorization"])
        if asked[-1] == "Bearer first":
            return httpx.Response(429, headers={"Retry-After": "60"})
        return json_response({"items": [invoice(1)], "nextCursor": None})

    def caller(token: str) -> RequestContext:
        forwarded = (("authorization", f"Bearer {token}"),)
        return replace(CALL, deadline=Deadline(clock.monotonic() + 5, clock), forwarded=forwarded)

    async with listing(
        limit_first, clock=clock, auth={"kind": "forward"}, pacing=PacingSettings()
    ) as pages:
        answers = [
            (await pages.fetch_pages([PageRequest(USER, 1)], caller(token))).results
            for token in ("first", "second", "first")
        ]

    assert [isinstance(answer, Page) for [answer] in answers] == [False, True, False]
    assert asked == [
        "Bearer first",
        "Bearer second",
    ]  # the second call of the first caller is not sent
