"""Lists of services that write pages in their own style: every item once, in order, to the end."""

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Code, SourceFailure
from app.settings.lists import PagingWay
from app.sources.base import PageRequest, Position, PositionGone
from app.sources.lists.pages import MAX_CALLS
from tests.properties import examples
from tests.sources.lists.listing import (
    CALL,
    USER,
    ask,
    listing,
    numbers_of,
    page_of,
    sent_back,
    walk,
    walk_until_it_fails,
)
from tests.sources.lists.service import BY_NAME, STYLES, ListService, PagingStyle

every_style = pytest.mark.parametrize("style", STYLES, ids=str)


def lists(style: PagingStyle, *, sized: bool = True, most: int = 100) -> dict[str, object]:
    """Make the settings of a source with such a list; one answer with all of it has no size."""
    sized = sized and style.place != "whole"
    return {"invoices": style.list_settings(sized=sized, most=most)}


@st.composite
def services(
    draw: st.DrawFn, style: PagingStyle, *, least: int = 0
) -> tuple[ListService, dict[str, object]]:
    """Draw a service, and the settings of its list."""
    number = draw(st.integers(least, 60))
    largest = draw(st.integers(1, 30))
    sized = "total" in style.signs or draw(st.booleans())
    most, obeys = draw(st.integers(1, 30)), draw(st.booleans())
    if style.place == "page" and "total" in style.signs:
        most, obeys = max(most, largest), True  # else it is told to be wrong
    service = ListService(style, list(range(number)), most=most, obeys=obeys)
    return service, lists(style, sized=sized, most=largest)


@every_style
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
async def test_any_walk_from_edge_to_edge_meets_every_item_once_in_order_and_ends(
    style: PagingStyle, data: st.DataObject
) -> None:
    service, own = data.draw(services(style))
    sizes = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    edges = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    async with listing(service, lists=own) as pages:
        found, more = await walk(pages, sizes, None, edges)

    assert found == service.numbers
    assert not more


@every_style
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
async def test_from_any_edge_the_next_page_starts_right_behind_it_and_has_next_is_right(
    style: PagingStyle, data: st.DataObject
) -> None:
    service, own = data.draw(services(style, least=1))
    number = len(service.numbers)
    size, again = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    async with listing(service, lists=own) as pages:
        before = page_of((await pages.fetch_pages([PageRequest(USER, size)], CALL)).results[0])
        counted = service.calls < MAX_CALLS  # else there may be nothing more
        edge = data.draw(st.integers(0, len(before.items) - 1))
        after = sent_back(before.items[edge].position)
        service.calls = 0
        request = PageRequest(USER, again, after)
        page = page_of((await pages.fetch_pages([request], CALL)).results[0])

    assert before.has_next == (len(before.items) < number) or not counted
    assert numbers_of(page) == list(range(edge + 1, number))[: len(page.items)]
    if service.calls < MAX_CALLS:
        assert page.has_next == (edge + 1 + len(page.items) < number)
        assert len(page.items) == min(again, number - edge - 1)
    else:
        assert page.has_next or edge + 1 + len(page.items) == number


@every_style
@settings(max_examples=examples(15), deadline=None)
@given(
    number=st.integers(2, 30),
    sizes=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    edges=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    news=st.lists(st.integers(0, 3), min_size=1, max_size=4),
)
async def test_new_items_at_the_front_neither_repeat_nor_lose_any_when_going_on_from_an_edge(
    style: PagingStyle, number: int, sizes: list[int], edges: list[int], news: list[int]
) -> None:
    service = ListService(style, list(range(number)))
    arrivals = iter(range(1000, 2000))

    async with listing(service, lists=lists(style)) as pages:
        found: list[int] = []
        after: Position | None = None
        for turn in range(100):
            request = PageRequest(USER, sizes[turn % len(sizes)], after)
            page = page_of((await pages.fetch_pages([request], CALL)).results[0])
            items = numbers_of(page)
            kept = max(1, len(items) - edges[turn % len(edges)]) if page.has_next else len(items)
            found += items[:kept]
            if not page.has_next:
                break
            after = sent_back(page.items[kept - 1].position)
            for _ in range(news[turn % len(news)]):
                service.numbers.insert(0, next(arrivals))

    assert found == list(range(number))


@pytest.mark.parametrize(
    "name",
    ["page, from 1", "page and has_more, from 1", "offset, from 0", "offset and has_more, from 0"],
)
async def test_items_that_come_while_a_page_is_put_together_are_not_there_twice(name: str) -> None:
    style = BY_NAME[name]
    service = ListService(style, list(range(20)), most=5)

    def growing(request: httpx.Request) -> httpx.Response:
        response = service(request)
        service.numbers.insert(0, 1000 + service.calls)
        return response

    page = page_of(await ask(growing, 12, lists=lists(style, most=5)))

    assert numbers_of(page) == list(range(12))
    assert page.has_next


async def test_a_new_item_behind_which_the_only_one_before_comes_again_ends_no_page() -> None:
    style = BY_NAME["offset, from 0"]
    service = ListService(style, list(range(20)), most=1)

    def growing(request: httpx.Request) -> httpx.Response:
        response = service(request)
        service.numbers.insert(0, 1000)
        service.most = 5
        return response

    page = page_of(await ask(growing, 3, lists=lists(style)))

    assert numbers_of(page) == [0, 1, 2]


@every_style
async def test_a_list_that_is_empty_is_an_empty_page_after_one_call(style: PagingStyle) -> None:
    service = ListService(style, [])

    page = page_of(await ask(service, 20, lists=lists(style)))

    assert (page.items, page.has_next) == ((), False)
    assert service.calls == 1


@every_style
async def test_one_call_is_enough_where_more_items_follow(style: PagingStyle) -> None:
    service = ListService(style, list(range(250)))

    page = page_of(await ask(service, 20, lists=lists(style)))

    assert numbers_of(page) == list(range(20))
    assert page.has_next
    assert service.calls == 1


@every_style
async def test_the_end_costs_a_second_call_only_where_no_answer_shows_it(
    style: PagingStyle,
) -> None:
    service = ListService(style, list(range(7)))

    page = page_of(await ask(service, 20, lists=lists(style)))

    assert numbers_of(page) == list(range(7))
    assert not page.has_next
    told = style.shown and style.name not in {"page and link, from 1", "offset and 206, from 0"}
    assert service.calls == (1 if told else 2)


@every_style
@settings(max_examples=examples(15), deadline=None)
@given(data=st.data())
async def test_a_list_whose_service_fails_on_the_way_never_ends_early(
    style: PagingStyle, data: st.DataObject
) -> None:
    service, own = data.draw(services(style, least=1))
    service.breaks_at = data.draw(st.integers(1, 4))
    service.failure = httpx.Response(data.draw(st.sampled_from([404, 410, 500, 503, 403])))
    size = data.draw(st.integers(1, 12))

    found = await walk_until_it_fails(service, size, lists=own)

    assert found == service.numbers or found in {Code.SOURCE_REJECTED, Code.SOURCE_UNAVAILABLE}


@every_style
@settings(max_examples=examples(25), deadline=None)
@given(
    number=st.integers(3, 60), most=st.integers(2, 20), size=st.integers(1, 12), sized=st.booleans()
)
async def test_a_service_that_ignores_where_a_page_begins_is_noticed_and_never_taken_for_the_end(
    style: PagingStyle, number: int, most: int, size: int, *, sized: bool
) -> None:
    service = ListService(style, list(range(number)), most=most, ignores=True)
    sized = sized or "total" in style.signs
    own = lists(style, sized=sized, most=20 if sized else 100)
    if style.place == "page" and "total" in style.signs:
        own = lists(style, most=most)

    found = await walk_until_it_fails(service, size, lists=own)

    assert found == service.numbers or found is Code.SOURCE_MALFORMED
    if most < number and style.place != "whole":
        assert found is Code.SOURCE_MALFORMED


@pytest.mark.parametrize("way", [way for way in PagingWay if way.counts])
@pytest.mark.parametrize("cursor", ["behind 3", "", "-1", "1e3", "٣", "9" * 30])
async def test_a_position_without_a_number_is_gone_where_pages_are_counted(
    way: PagingWay, cursor: str
) -> None:
    style = BY_NAME["page, from 1" if way is PagingWay.PAGE else "offset, from 0"]
    service = ListService(style, list(range(9)))

    assert await ask(service, 5, Position(cursor, "3"), lists=lists(style)) == PositionGone()
    assert service.calls == 0


@every_style
async def test_a_position_whose_item_is_gone_is_said_to_be_gone(style: PagingStyle) -> None:
    service = ListService(style, list(range(9)))

    assert await ask(service, 5, Position(None, "77"), lists=lists(style)) == PositionGone()


async def test_with_a_total_pages_that_are_shorter_than_they_may_be_fail_rather_than_end() -> None:
    style = BY_NAME["page and total, from 1"]
    service = ListService(style, list(range(250)), most=50)

    answer = await ask(service, 20, lists=lists(style, most=100))

    assert isinstance(answer, SourceFailure)
    assert answer.code is Code.SOURCE_MALFORMED
    assert "max_page_size" in answer.detail
