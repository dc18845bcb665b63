"""The probe of a list: the request that the gateway sends, and the verdict about its settings."""

from collections.abc import Mapping

import httpx
import pytest

from app.probe.probe import ProbeResult, probe
from app.probe.report import checks_text, trial_text
from app.probe.verdict import MAX_ITEMS, Redaction, SourceCheck, check_of
from app.settings.models import Settings
from app.settings.source import SourceSettings
from tests.fakes import FakeServices, Handler, json_response, settings_for_fakes, user_id
from tests.key_from import linked, linked_row
from tests.sources.lists.service import BY_NAME, STYLES, ListService, PagingStyle, row

USER = user_id(1)
CHECK_PAGES = "check how pages continue"


def settings(own: object) -> Settings:
    """Make settings with a list of invoices."""
    whole = settings_for_fakes()
    values = {"base_url": whole.sources["billing"].base_url, "lists": {"invoices": own}}
    changed = {"billing": SourceSettings.model_validate(values)}
    return whole.model_copy(update={"sources": {**whole.sources, **changed}})


def services_with(answer: Handler | None) -> FakeServices:
    """Make services that know a user, and a billing service with a handler for its list."""
    services = FakeServices()
    services.know(1)

    def billing(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/accounts":
            return services.billing.answer(request)
        assert answer is not None
        response = answer(request)
        assert isinstance(response, httpx.Response)
        return response

    services.others["billing"] = billing
    return services


async def probe_list(
    answer: Handler, own: object, *, user: str = USER
) -> tuple[ProbeResult, SourceCheck]:
    """Probe the list of a user, and return the result and its check."""
    used, services = settings(own), services_with(answer)
    [probed] = await probe(used, [user], sources=["billing"], transports=services.transport)
    [listed] = probed.lists
    check = check_of(listed, used.sources["billing"], Redaction(used), expected=True)
    return listed, check


@pytest.mark.parametrize("style", STYLES, ids=str)
async def test_a_good_list_is_shown_with_its_first_items_fields_and_types(
    style: PagingStyle,
) -> None:
    listed, check = await probe_list(ListService(style, list(range(30))), style.list_settings())

    assert check.well, check.wrong
    assert (check.source, check.items, check.found, check.asked) == ("billing.invoices", 20, 1, 1)
    assert [exchange.url.partition("?")[0] for exchange in listed.exchanges] == [
        "http://billing/list"
    ]
    assert [row.key for row in check.rows] == ["0", "1", "2", "3", "4"]
    assert len(check.rows) == MAX_ITEMS
    assert [(one.name, one.expression, one.value, one.type) for one in check.rows[3].fields] == [
        ("number", "join('-', ['N', to_string(ident)])", "N-3", "text"),
        ("status", "lower(state)", "paid", "text"),
        ("issuedAt", "unix_seconds(at)", "2026-01-01T00:00:03Z", "time"),
        ("total", "money_minor(cents, currency)", {"amount": 3, "currency": "EUR"}, "object"),
    ]


@pytest.mark.parametrize("number", [0, 1])
async def test_a_list_of_no_item_or_one_item_is_good(number: int) -> None:
    style = STYLES[0]

    _, check = await probe_list(ListService(style, list(range(number))), style.list_settings())

    assert check.well
    assert check.items == number


async def test_a_missing_route_is_reported_and_not_an_empty_list() -> None:
    own = {"path": "/v2/bills", "parameter": "owner"}

    _, check = await probe_list(lambda _: json_response({}, 404), own)

    assert not check.well
    assert (check.reachable, check.authenticated, check.understood) == (True, True, False)
    assert any("status 404" in sentence for sentence in check.wrong)


async def test_an_unknown_user_of_a_list_is_reported() -> None:
    _, check = await probe_list(lambda _: json_response({}, 404), {"path": "/of/{key}/bills"})

    assert not check.well
    assert check.found == 0
    [sentence] = check.wrong
    assert sentence.startswith("the service does not know the user there")


async def test_a_malformed_item_is_reported_with_its_field_and_the_reason() -> None:
    rows = [row(number) for number in range(9)]
    rows[7] = {**row(7), "at": "soon"}
    own = STYLES[0].list_settings()

    _, check = await probe_list(lambda _: json_response({"data": rows}), own)

    assert not check.well
    assert any(sentence.startswith("data.7.issuedAt: ") for sentence in check.wrong)
    [wrong] = [one for one in check.rows if one.wrong is not None]
    assert wrong.key == "7"
    assert [one.name for one in wrong.fields if one.wrong is not None] == ["issuedAt"]


async def test_the_other_fields_of_a_malformed_item_have_types() -> None:
    rows = [row(1), {**row(2), "cents": "many"}]
    own = STYLES[0].list_settings()

    _, check = await probe_list(lambda _: json_response({"data": rows}), own)

    right, wrong = check.rows
    assert [one.type for one in right.fields] == ["text", "text", "time", "object"]
    assert [one.type for one in wrong.fields] == ["text", "text", "time", None]


WRONG_PAGES = [
    # The cursor is in another place, so that each page looks like the last one.
    ("next_cursor", {"next_cursor": ["meta", "nxt"]}, "the list ends after 1 of 20 items"),
    ("next_url", {"next_url": ["next"]}, "the list ends after 1 of 20 items"),
    ("a cursor in a header", {"next_header": "Next"}, "the list ends after 1 of 20 items"),
    # The parameter has another name, so that each page is the first one.
    ("next_cursor", {"cursor_parameter": "cursor"}, "read before"),
    ("row and has_more, from 0", {"cursor_parameter": "from"}, "the item itself on it"),
    ("row and has_more, from 0", {"row_cursor": ["cents"], "cursor_parameter": "x"}, "on it"),
    ("offset and total, from 0", {"offset_parameter": "skip"}, "read before"),
]


@pytest.mark.parametrize(("name", "change", "expected"), WRONG_PAGES)
async def test_wrong_settings_of_how_pages_continue_are_reported(
    name: str, change: Mapping[str, object], expected: str
) -> None:
    style = BY_NAME[name]
    own = {**style.list_settings().model_dump(), **change}

    _, check = await probe_list(ListService(style, list(range(30))), own)

    assert not check.well
    assert any(expected in sentence for sentence in check.wrong), check.wrong


@pytest.mark.parametrize(
    ("number", "change", "noted"),
    [
        (15, {"next_cursor": ["meta", "nxt"], "page_size_parameter": None}, True),
        (15, {"page_size_parameter": None}, True),
        (30, {"page_size_parameter": None}, False),
        (15, {}, False),
    ],
)
async def test_a_page_that_may_be_the_last_is_noted_if_shorter_pages_are_impossible(
    number: int, change: Mapping[str, object], *, noted: bool
) -> None:
    style = BY_NAME["next_cursor"]
    own = {**style.list_settings().model_dump(), **change}

    listed, check = await probe_list(ListService(style, list(range(number))), own)

    assert check.well, check.wrong
    assert bool(listed.unchecked) is noted
    notes = [one for one in check.notes if "does not say that more follow" in one]
    assert [CHECK_PAGES in one for one in notes] == [True] * noted


async def test_a_list_is_requested_with_the_keys_of_another_source() -> None:
    parents = {"billing": "profile"}
    services = services_with(lambda _: json_response({"data": [row(1)]}))
    services.profile.rows[USER] = linked_row("profile", 1, parents)
    services.billing.rows["billing-1"] = linked_row("billing", 1, parents)
    used = linked(settings(STYLES[0].list_settings()), parents)

    [probed] = await probe(used, [USER], sources=["billing"], transports=services.transport)

    [listed] = probed.lists
    assert [httpx.URL(one.url).params["owner"] for one in listed.exchanges] == ["billing-1"]
    assert listed.ids == [USER]


async def test_a_list_is_requested_for_the_first_known_user() -> None:
    style = STYLES[0]
    service = ListService(style, [1])
    services = services_with(service)
    used = settings(style.list_settings())
    users = [user_id(7), USER]

    [probed] = await probe(used, users, sources=["billing"], transports=services.transport)

    [listed] = probed.lists
    assert listed.ids == [USER]


async def test_a_list_is_not_requested_without_a_known_user() -> None:
    service = ListService(STYLES[0], [1])

    listed, check = await probe_list(service, STYLES[0].list_settings(), user=user_id(7))

    assert not listed.exchanges
    assert service.calls == 0
    assert not check.called
    assert check.well
    [_, line] = checks_text([check], width=100).splitlines()
    assert line.split() == ["billing.invoices", "not", "called", "-", "-", "-", "0", "ms"]


async def test_a_trial_shows_request_response_and_first_items() -> None:
    style = STYLES[0]
    listed, check = await probe_list(ListService(style, list(range(30))), style.list_settings())

    text = trial_text(listed, check, Redaction(settings_for_fakes()), width=100, lines=10)

    assert f"GET http://billing/list?owner={USER}&size=20\n" in text
    assert "\nStatus 200 after" in text
    assert "\nbilling.invoices, 4\n" in text
    assert "\nbilling.invoices, 5\n" not in text
    assert "\n… and 15 items more\n" in text
    assert text.splitlines()[-1].startswith(
        f"billing.invoices has 20 items on the first page of {USER}, in "
    )


async def test_a_list_that_the_service_does_not_have_is_not_requested() -> None:
    used = settings_for_fakes()
    billing = used.sources["billing"].model_copy(update={"without_lists": ("invoices",)})
    sources = {**used.sources, "billing": billing}
    used = used.model_copy(update={"sources": sources})

    [probed] = await probe(
        used, [USER], sources=["billing"], transports=services_with(None).transport
    )

    assert not probed.lists
