"""One response of a list: signs of the end, signs of more items, and malformed items."""

import json
from collections.abc import Mapping

import httpx
import pytest

from app.errors import Code, SourceFailure
from app.sources.base import Page, PageRequest, Position, UserId
from app.sources.lists.pages import MAX_CALLS
from tests.fakes import Handler, failing, invoice, json_response
from tests.sources.lists.listing import CALL, Answer, answering, ask, listing, numbers_of, page_of
from tests.sources.lists.service import FIELDS, row

LIST = {"path": "/list", "parameter": "owner"}
KEYED = {"path": "/users/{key}/list"}
CURSOR = {**LIST, "rows": ["data"], "next_cursor": ["next"]}
SIZED = {**LIST, "page_size_parameter": "limit"}
SIGNED = {**LIST, "rows": ["data"], "has_more": ["more"]}


def cut_off(sign: str) -> str:
    """Write the message for a list that was cut off by a sign."""
    return f"the list was cut off, as told by {sign}, and the next page is not known"


async def asked(
    answer: Handler, own: Mapping[str, object], first: int = 20, after: Position | None = None
) -> Answer:
    """Ask for a page of a list with these settings; items are as in the default contract."""
    return await ask(answer, first, after, lists={"invoices": own})


async def failure(answer: Handler, own: Mapping[str, object], first: int = 20) -> SourceFailure:
    """Ask for a page that has to fail."""
    found = await asked(answer, own, first)
    assert isinstance(found, SourceFailure)
    return found


def items(*numbers: int) -> list[Mapping[str, object]]:
    """Make items as in the default contract."""
    return [invoice(number) for number in numbers]


def with_headers(value: object, status: int = 200, **headers: str) -> Handler:
    """Make a service that returns a response with headers."""

    def answer(_: httpx.Request) -> httpx.Response:
        response = json_response(value, status)
        response.headers.update({name.replace("_", "-"): text for name, text in headers.items()})
        return response

    return answer


async def test_items_are_read_by_expressions_and_a_whole_number_can_be_the_id() -> None:
    found = await asked(answering([row(7)]), {**LIST, "fields": FIELDS})

    [item] = page_of(found).items
    assert item.item.model_dump(mode="json") == {
        "id": "7",
        "number": "N-7",
        "status": "paid",
        "issued_at": "2026-01-01T00:00:07Z",
        "total": {"amount": 7, "currency": "EUR"},
    }


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"ident": None}, "data.1.id: expected text, got nothing"),
        ({"ident": [1]}, "data.1.id: expected text, got something else"),
        ({"at": "soon"}, "data.1.issuedAt: text that is no number"),
        ({"at": None}, "data.1.issuedAt: Field required"),
        ({"cents": "1.5"}, "data.1.total: "),
        ({"state": 7}, "data.1.status: a number where text has to be"),
    ],
)
async def test_one_malformed_or_missing_value_fails_the_page_and_is_located(
    changed: Mapping[str, object], detail: str
) -> None:
    body = {"data": [row(1), {**row(2), **changed}]}

    found = await failure(answering(body), {**CURSOR, "fields": FIELDS})

    assert found.code is Code.SOURCE_MALFORMED
    assert not found.retryable
    assert found.detail.startswith(detail)


@pytest.mark.parametrize("item", [None, 7, "text", [], [1]])
async def test_an_item_that_is_not_an_object_fails_the_page(item: object) -> None:
    found = await failure(answering({"data": [item]}), {**CURSOR, "fields": FIELDS})

    assert found.code is Code.SOURCE_MALFORMED


@pytest.mark.parametrize("end", [{}, {"next": None}, {"next": ""}, {"next": 0}, {"next": False}])
async def test_a_list_ends_when_the_next_cursor_is_missing_or_empty(
    end: Mapping[str, object],
) -> None:
    found = await asked(answering({"data": items(1), **end}), CURSOR)

    assert numbers_of(page_of(found)) == [1]
    assert not page_of(found).has_next


async def test_has_more_false_ends_a_list_although_a_next_page_is_named() -> None:
    body = {"data": items(1), "next": "x", "more": False}

    found = await asked(answering(body), {**CURSOR, "has_more": ["more"]})

    assert not page_of(found).has_next


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        ({"data": items(1), "more": False}, {"link": '</list?after=x>; rel="next"'}),
        ({"data": items(1), "more": False}, {"content_range": "items 0-0/5"}),
        ({"data": [], "more": True}, {"content_range": "items */5"}),
    ],
)
async def test_a_header_with_more_items_has_priority_over_a_body_without_more(
    value: object, headers: Mapping[str, str]
) -> None:
    own = {**SIGNED, "next_cursor": ["next"], "cursor_parameter": "after"}

    found = await asked(with_headers(value, 200, **headers), own, 5)

    assert isinstance(found, SourceFailure) or page_of(found).has_next


@pytest.mark.parametrize("own", [LIST, SIZED, CURSOR])
async def test_an_empty_first_page_with_a_positive_total_is_a_failure(
    own: Mapping[str, object],
) -> None:
    body: object = {"data": []} if "rows" in own else []

    found = await asked(with_headers(body, content_range="items */5"), own, 5)

    assert isinstance(found, SourceFailure)


@pytest.mark.parametrize(
    ("value", "own"),
    [
        ({"data": items(1), "more": True}, {**SIGNED, "next_cursor": ["next"]}),
        ({"data": [], "more": True}, {**SIGNED, "next_cursor": ["next"]}),
        (
            {"data": [], "more": True},
            {**SIGNED, "row_cursor": ["id"]},
        ),
        (
            {"data": [], "more": True},
            {**SIGNED, "offset_parameter": "o"},
        ),
    ],
)
async def test_more_items_that_cannot_be_requested_are_a_failure_and_no_end(
    value: object, own: Mapping[str, object]
) -> None:
    found = await failure(answering(value), own)

    assert found.code is Code.SOURCE_MALFORMED
    assert found.detail == cut_off("`has_more`")


async def test_a_full_page_is_returned_before_a_page_that_cannot_be_requested() -> None:
    answer = with_headers(items(1, 2), content_range="items 0-1/5")

    full = page_of(await asked(answer, LIST, 2))
    behind = await asked(answer, LIST, 2, full.items[-1].position)

    assert numbers_of(full) == [1, 2]
    assert full.has_next
    assert isinstance(behind, SourceFailure)


@pytest.mark.parametrize(
    ("answer", "last", "sign"),
    [
        (with_headers(items(1, 2), content_range="items 0-1/5"), "inv-2", "`Content-Range`"),
        (with_headers(items(1, 2), 206), "inv-2", "its status"),
        (with_headers(items(1, 2), link='</list?page=2>; rel="next"'), "inv-2", "a next page"),
        (answering(items(*range(100))), "inv-99", "100 items, as many as there may be"),
        (answering(items(*range(5_001))), "inv-4999", "more than 5,000 items in one answer"),
    ],
)
async def test_a_cut_off_response_is_never_taken_for_the_whole_list(
    answer: Handler, last: str, sign: str
) -> None:
    found = await asked(answer, SIZED, 5, Position(None, last))

    assert isinstance(found, SourceFailure)
    assert found.detail == cut_off(sign)


@pytest.mark.parametrize(
    "answer",
    [
        with_headers(items(1, 2), content_range="items 0-1/2"),
        with_headers(items(1, 2), 206, content_range="items 0-1/2"),
        with_headers(items(1, 2), content_range="bytes 0-1/999"),
        with_headers(items(1, 2), link='</list?page=1>; rel="prev"'),
        answering(items(1, 2)),
    ],
)
async def test_a_response_without_a_sign_of_more_is_the_whole_list(answer: Handler) -> None:
    found = page_of(await asked(answer, SIZED, 5))

    assert numbers_of(found) == [1, 2]
    assert not found.has_next


async def test_a_partial_response_without_the_next_cursor_is_cut_off() -> None:
    found = await failure(with_headers({"data": items(1)}, 206), CURSOR)

    assert found.code is Code.SOURCE_MALFORMED


@pytest.mark.parametrize(
    "address",
    [
        "http://other.example/elsewhere?x=1&after=a%20b%2Bc",
        "/list?after=a%20b%2Bc",
        "?after=a+b%2Bc",
        "https://billing/list?owner=somebody&after=a%20b%2Bc#part",
    ],
)
@pytest.mark.parametrize("place", ["body", "Link", "Next-Page"])
async def test_only_the_cursor_of_the_next_page_url_is_used(address: str, place: str) -> None:
    asked_for: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked_for.append(request.url)
        first = "after" not in request.url.params
        body = {
            "data": items(1 if first else 2),
            "next": address if first and place == "body" else None,
        }
        headers = {}
        if first and place != "body":
            headers = {place: f'<{address}>; rel="next"' if place == "Link" else address}
        response = json_response(body)
        response.headers.update(headers)
        return response

    way = {"next_url": ["next"]} if place == "body" else {"next_header": place}
    found = await asked(answer, {**LIST, "rows": ["data"], "cursor_parameter": "after", **way}, 5)

    assert numbers_of(page_of(found)) == [1, 2]
    assert [str(url) for url in asked_for] == [
        "http://billing/list?owner=u1",
        "http://billing/list?owner=u1&after=a%20b%2Bc",
    ]


@pytest.mark.parametrize(
    "address", ["/list?page=2", "/list/2", "?after=", "http://[::1?after=x", "/list?after=%FF"]
)
async def test_a_next_page_url_without_the_cursor_is_a_failure_and_no_end(address: str) -> None:
    body = {"data": items(1), "next": address}

    found = await failure(
        answering(body),
        {**LIST, "rows": ["data"], "cursor_parameter": "after", "next_url": ["next"]},
    )

    assert found.detail == cut_off("a next page")


@pytest.mark.parametrize("cursor", [" ", "x" * 2_049, "\ud800", 1.5, True, [], {}])
async def test_an_invalid_cursor_is_malformed(cursor: object) -> None:
    body = json.dumps({"data": [{**invoice(1), "at": cursor}], "more": True}).encode()

    found = await failure(
        lambda _: httpx.Response(200, content=body), {**SIGNED, "row_cursor": ["at"]}
    )

    assert found.code is Code.SOURCE_MALFORMED


@pytest.mark.parametrize(
    "value",
    [{"data": 7}, {"data": {}}, {"data": "x"}, {}, [], {"rows": []}, {"data": [], "next": {}}],
)
async def test_a_response_of_another_shape_is_malformed(value: object) -> None:
    assert (await failure(answering(value), CURSOR)).code is Code.SOURCE_MALFORMED


async def test_null_is_an_empty_list_only_for_configured_rows() -> None:
    described = await asked(answering({"data": None}), CURSOR)
    default = await ask(answering({"items": None}), 20)

    assert described == Page((), has_next=False)
    assert isinstance(default, SourceFailure)


async def test_items_may_be_missing_if_the_total_is_zero() -> None:
    own = {**LIST, "rows": ["data"], "total": ["total"], "offset_parameter": "offset"}

    assert await asked(answering({"total": 0}), own) == Page((), has_next=False)
    assert (await failure(answering({"total": 1}), own)).code is Code.SOURCE_MALFORMED


STATUSES: list[tuple[Mapping[str, object], Mapping[str, str], int, Code | None]] = [
    (LIST, {}, 404, Code.SOURCE_REJECTED),
    (LIST, {"404": "absent"}, 404, None),
    (LIST, {"410": "absent"}, 404, Code.SOURCE_REJECTED),
    (LIST, {"410": "absent"}, 410, None),
    (KEYED, {}, 404, None),
    (KEYED, {"404": "failure"}, 404, Code.SOURCE_REJECTED),
    (KEYED, {"410": "absent"}, 404, None),
    (KEYED, {"404": "retry"}, 404, Code.SOURCE_UNAVAILABLE),
    (KEYED, {}, 410, Code.SOURCE_REJECTED),
    (KEYED, {}, 204, Code.SOURCE_MALFORMED),
]


@pytest.mark.parametrize(("own", "status", "answered", "code"), STATUSES)
async def test_404_means_unknown_user_by_the_path_or_by_the_settings_only(
    own: Mapping[str, object], status: Mapping[str, str], answered: int, code: Code | None
) -> None:
    found = await asked(failing(answered), {**own, "status": status})

    assert (found.code if isinstance(found, SourceFailure) else found) == code


@pytest.mark.parametrize(("own", "status"), [(KEYED, {}), (LIST, {"404": "absent"})])
async def test_404_for_a_later_page_is_always_a_failure(
    own: Mapping[str, object], status: Mapping[str, str]
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "cursor" in request.url.params:
            return failing(404)(request)
        return json_response({"data": items(1), "next": "x"})

    found = await failure(
        answer, {**own, "rows": ["data"], "next_cursor": ["next"], "status": status}
    )

    assert found.code is Code.SOURCE_REJECTED


@pytest.mark.parametrize("user", ["a/b", "..", "a\\b"])
async def test_a_key_that_the_path_cannot_contain_is_not_sent(user: str) -> None:
    asked_for: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked_for.append(request)
        return json_response([])

    async with listing(answer, lists={"invoices": KEYED}) as pages:
        [found] = (await pages.fetch_pages([PageRequest(UserId(user), 5)], CALL)).results

    assert isinstance(found, SourceFailure)
    assert found.code is Code.SOURCE_REJECTED
    assert not asked_for


async def test_a_request_has_fixed_parameters_headers_page_size_and_first_page() -> None:
    asked_for: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked_for.append(request)
        return json_response([])

    await asked(
        answer,
        {
            **KEYED,
            "parameters": {"sort": "-at", "expand": ["a", "b"]},
            "headers": {"Prefer": "count=exact"},
            "page_size_parameter": "page[size]",
            "max_page_size": 50,
            "page_parameter": "page[number]",
        },
    )

    [request] = asked_for
    assert request.url.raw_path == (
        b"/users/u1/list?sort=-at&expand=a&expand=b&page%5Bsize%5D=50&page%5Bnumber%5D=1"
    )
    assert request.headers["prefer"] == "count=exact"


@pytest.mark.parametrize("way", [{"page_parameter": "page"}, {"offset_parameter": "offset"}])
async def test_pages_without_new_items_fail_after_a_few_calls(way: Mapping[str, str]) -> None:
    calls: list[httpx.Request] = []

    def same(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return json_response({"data": items(1), "more": True})

    found = await failure(same, {**SIGNED, **way})

    assert found.detail == "the next page is one that was read before"
    assert len(calls) <= MAX_CALLS


async def test_words_replace_values_and_defaults_replace_missing_values() -> None:
    own = {
        **LIST,
        "fields": {**FIELDS, "number": "no", "total": "money_minor(number($headers.cents), 'EUR')"},
        "words": {"status": {"paid": "settled"}},
        "defaults": {"number": "(draft)"},
    }

    [item] = page_of(await asked(with_headers([row(1)], cents="250"), own)).items

    assert (item.item.number, item.item.status) == ("(draft)", "settled")
    assert item.item.total.amount == 250


@pytest.mark.parametrize(
    ("own", "target"),
    [
        ({**LIST, "value": "eq.{key}"}, b"/list?owner=eq.u1&size=100"),
        ({"path": "/list", "parameters": {"of": "user:{key}"}}, b"/list?of=user:u1&size=100"),
    ],
)
async def test_the_user_can_be_in_any_parameter_of_the_request(
    own: Mapping[str, object], target: bytes
) -> None:
    asked_for: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked_for.append(request)
        return json_response([])

    await asked(answer, {**own, "page_size_parameter": "size"}, 5)

    assert [request.url.raw_path for request in asked_for] == [target]


@pytest.mark.parametrize(("method", "own_method"), [("POST", {}), ("SEARCH", {"method": "SEARCH"})])
async def test_a_template_puts_the_page_parameters_into_the_body(
    method: str, own_method: Mapping[str, str]
) -> None:
    asked_for: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.raw_path) == (method, b"/search?v=2")
        asked_for.append(json.loads(request.content))
        first = len(asked_for) == 1
        return json_response({"data": items(1 if first else 2), "next": "c" if first else None})

    own = {
        "path": "/search",
        "parameters": {"v": "2"},
        "template": '{"filter": {"owner": "{key}"}, "sort": ["-at"]}',
        "rows": ["data"],
        "page_size_parameter": "limit",
        "next_cursor": ["next"],
        "cursor_parameter": "after",
        **own_method,
    }
    found = page_of(await asked(answer, own, 5))

    body = {"filter": {"owner": "u1"}, "sort": ["-at"]}
    assert asked_for == [{**body, "limit": 5}, {**body, "limit": 4, "after": "c"}]
    assert numbers_of(found) == [1, 2]
