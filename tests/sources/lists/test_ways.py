"""Lists in all paging styles: every item once, in order, to the end."""

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
    """Make the settings of a source with such a list; a whole list has no page size."""
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
        most, obeys = max(most, largest), True  # else the pages fail as too short
    service = ListService(style, list(range(number)), most=most, obeys=obeys)
    return service, lists(style, sized=sized, most=largest)


@every_style
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
async def test_reading_from_edge_to_edge_gives_every_item_once_and_in_order(
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
async def test_the_next_page_starts_right_after_any_edge(
    style: PagingStyle, data: st.DataObject
) -> None:
    service, own = data.draw(services(style, least=1))
    number = len(service.numbers)
    size, again = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    async with listing(service, lists=own) as pages:
        before = page_of((await pages.fetch_pages([PageRequest(USER, size)], CALL)).results[0])
        counted = service.calls < MAX_CALLS  # else ``has_next`` may be true at the end
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
async def test_new_items_at_the_front_cause_no_repeated_or_lost_items(
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
async def test_new_items_between_two_calls_of_a_page_cause_no_repeated_items(name: str) -> None:
    style = BY_NAME[name]
    service = ListService(style, list(range(20)), most=5)

    def growing(request: httpx.Request) -> httpx.Response:
        response = service(request)
        service.numbers.insert(0, 1000 + service.calls)
        return response

    page = page_of(await ask(growing, 12, lists=lists(style, most=5)))

    assert numbers_of(page) == list(range(12))
    assert page.has_next


async def test_a_repeated_item_after_a_new_one_does_not_end_the_page() -> None:
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
async def test_an_empty_list_is_an_empty_page_after_one_call(style: PagingStyle) -> None:
    service = ListService(style, [])

    page = page_of(await ask(service, 20, lists=lists(style)))

    assert (page.items, page.has_next) == ((), False)
    assert service.calls == 1


@every_style
async def test_a_full_page_with_more_items_needs_one_call(style: PagingStyle) -> None:
    service = ListService(style, list(range(250)))

    page = page_of(await ask(service, 20, lists=lists(style)))

    assert numbers_of(page) == list(range(20))
    assert page.has_next
    assert service.calls == 1


@every_style
async def test_the_end_needs_a_second_call_only_if_no_response_shows_it(
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
async def test_a_list_whose_service_fails_later_never_ends_early(
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
async def test_a_service_that_ignores_the_start_of_a_page_is_malformed(
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
async def test_a_position_without_a_number_is_gone_in_counted_pages(
    way: PagingWay, cursor: str
) -> None:
    style = BY_NAME["page, from 1" if way is PagingWay.PAGE else "offset, from 0"]
    service = ListService(style, list(range(9)))

    assert await ask(service, 5, Position(cursor, "3"), lists=lists(style)) == PositionGone()
    assert service.calls == 0


@every_style
async def test_a_position_whose_item_is_missing_is_reported_as_gone(style: PagingStyle) -> None:
    service = ListService(style, list(range(9)))

    assert await ask(service, 5, Position(None, "77"), lists=lists(style)) == PositionGone()


async def test_pages_that_are_too_short_for_the_total_fail() -> None:
    style = BY_NAME["page and total, from 1"]
    service = ListService(style, list(range(250)), most=50)

    answer = await ask(service, 20, lists=lists(style, most=100))

    assert isinstance(answer, SourceFailure)
    assert answer.code is Code.SOURCE_MALFORMED
    assert "max_page_size" in answer.detail
