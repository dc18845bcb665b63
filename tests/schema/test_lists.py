"""Invoices of services with other APIs over HTTP, in each way of execution."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from app.settings.models import Settings
from app.settings.source import SourceSettings
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import (
    FakeServices,
    Handler,
    json_response,
    profile_row,
    settings_for_fakes,
    user_id,
)
from tests.key_from import linked, linked_row
from tests.sources.lists.service import FIRST_DAY, STYLES, ListService, PagingStyle, row
from tests.ways import ALSO_BY_FILE, Ways

QUERY = """
query($id: ID!, $first: Int, $after: String) {
  user(id: $id) {
    plan
    invoices(first: $first, after: $after) {
      edges { cursor node { id number status issuedAt total { amount currency } } }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
}
"""


@pytest.fixture(params=ALSO_BY_FILE, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run each test in these ways."""
    both: Ways = request.param
    return both


def with_list(own: object, **billing: object) -> Settings:
    """Make settings with a configured list of invoices."""
    settings = settings_for_fakes()
    known = settings.sources["billing"]
    changed = known.model_dump(mode="python") | {"lists": {"invoices": own}, **billing}
    sources = {"billing": SourceSettings.model_validate(changed)}
    return settings.model_copy(update={"sources": {**settings.sources, **sources}})


def serve(services: FakeServices, answer: Handler) -> list[httpx.Request]:
    """Answer all requests to billing that are not for accounts, and record them."""
    asked: list[httpx.Request] = []

    def billing(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/accounts":
            return services.billing.answer(request)
        asked.append(request)
        response = answer(request)
        assert isinstance(response, httpx.Response)
        return response

    services.others["billing"] = billing
    return asked


def expected(number: int) -> Mapping[str, object]:
    """Make the expected item of a response."""
    seconds = FIRST_DAY + number
    assert seconds < FIRST_DAY + 60
    return {
        "id": str(number),
        "number": f"N-{number}",
        "status": "paid",
        "issuedAt": f"2026-01-01T00:00:{number:02d}Z",
        "total": {"amount": number, "currency": "EUR"},
    }


async def page(gateway: GatewayClient, **variables: object) -> Mapping[str, Any]:
    """Query a page without errors."""
    reply = await gateway.query(QUERY, id=user_id(1), **variables)
    assert not reply.errors, reply.errors
    found: Mapping[str, Any] = reply.data["user"]["invoices"]
    return found


@pytest.mark.parametrize("style", STYLES, ids=str)
@pytest.mark.parametrize("first", [3, 20])
async def test_a_client_reads_all_pages_by_cursors_in_each_paging_style(
    open_gateway: OpenGateway, services: FakeServices, style: PagingStyle, first: int
) -> None:
    services.know(1)
    service = ListService(style, list(range(20)), most=7)
    serve(services, service)
    most = 7 if "total" in style.signs else 100
    async with open_gateway(with_list(style.list_settings(most=most).model_dump())) as gateway:
        nodes: list[Mapping[str, object]] = []
        after: str | None = None
        for number in range(30):
            found = await page(gateway, first=first, after=after)
            nodes += [edge["node"] for edge in found["edges"]]
            info = found["pageInfo"]
            assert info["hasPreviousPage"] is (number > 0)
            if not info["hasNextPage"]:
                break
            after = info["endCursor"]

    assert nodes == [expected(number) for number in range(20)]


@pytest.mark.parametrize("style", STYLES, ids=str)
async def test_a_page_of_another_size_may_start_after_any_edge(
    open_gateway: OpenGateway, services: FakeServices, style: PagingStyle
) -> None:
    services.know(1)
    serve(services, ListService(style, list(range(20))))
    async with open_gateway(with_list(style.list_settings().model_dump())) as gateway:
        before = await page(gateway, first=10)
        found = await page(gateway, first=3, after=before["edges"][4]["cursor"])

    assert [edge["node"]["id"] for edge in found["edges"]] == ["5", "6", "7"]
    assert found["pageInfo"]["hasNextPage"]


async def test_a_list_is_requested_by_the_keys_of_another_source(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    parents = {"billing": "profile"}
    services.profile.rows[user_id(1)] = linked_row("profile", 1, parents)
    services.billing.rows["billing-1"] = linked_row("billing", 1, parents)
    asked = serve(services, lambda _: json_response([row(1)]))
    own = {"path": "/customers/{key}/bills", "fields": STYLES[0].list_settings().fields}

    async with open_gateway(linked(with_list(own), parents)) as gateway:
        found = await page(gateway)

    assert [edge["node"]["id"] for edge in found["edges"]] == ["1"]
    assert [request.url.path for request in asked] == ["/customers/billing-1/bills"]


@pytest.mark.parametrize(
    ("own", "code"),
    [
        ({"path": "/customers/{key}/bills"}, None),
        ({"path": "/customers/{key}/bills", "status": {"404": "failure"}}, "SOURCE_REJECTED"),
        ({"path": "/bills", "parameter": "customer"}, "SOURCE_REJECTED"),
        ({"path": "/bills", "parameter": "customer", "status": {"404": "absent"}}, None),
    ],
)
async def test_status_404_of_a_list_is_null_or_an_error_as_configured(
    open_gateway: OpenGateway,
    services: FakeServices,
    own: Mapping[str, object],
    code: str | None,
) -> None:
    services.know(1)
    serve(services, lambda _: json_response({"error": "not found"}, 404))

    async with open_gateway(with_list(own)) as gateway:
        reply = await gateway.query(QUERY, id=user_id(1))

    assert reply.data == {"user": {"plan": "pro", "invoices": None}}
    assert reply.codes == ({} if code is None else {"user.invoices": code})


async def test_a_malformed_item_fails_only_its_list(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    serve(services, lambda _: json_response({"data": [row(1), {**row(2), "at": None}]}))

    async with open_gateway(with_list(STYLES[0].list_settings().model_dump())) as gateway:
        reply = await gateway.query(QUERY, id=user_id(1))

    assert reply.data == {"user": {"plan": "pro", "invoices": None}}
    assert reply.codes == {"user.invoices": "SOURCE_MALFORMED"}
    [event] = gateway.events("source.odd_page")
    assert event["detail"] == "data.1.issuedAt: Field required"


async def test_explain_shows_the_request_of_a_list_as_it_is_sent(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    services.profile.rows[user_id(1)] = profile_row(1)
    asked = serve(services, lambda _: json_response({"data": [], "total": 0}))
    own = {
        "path": "/customers/{key}/bills",
        "parameters": {"expand": "total"},
        "page_size_parameter": "size",
        "rows": ["data"],
        "total": ["total"],
        "offset_parameter": "startIndex",
        "first_offset": 1,
    }
    settings = with_list(own).model_copy(update={"explain": True})

    async with open_gateway(settings) as gateway:
        explained = await gateway.query_as(
            {"X-Gateway-Explain": "1"}, QUERY, id=user_id(1), first=7
        )
        await gateway.query(QUERY, id=user_id(1), first=7)

    [billing] = [
        one
        for one in explained.body["extensions"]["explain"]["sources"]
        if one["name"] == "billing"
    ]
    [pages] = billing["pages"]
    sent = asked[0].url.raw_path.decode()
    assert pages["request"].replace("{key}", user_id(1)) == sent
    assert pages["list"] == "invoices"
    assert (pages["path"], pages["parameter"]) == ("/customers/{key}/bills", None)


async def test_a_list_in_without_lists_is_null_without_a_call(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    settings = settings_for_fakes()
    billing = settings.sources["billing"].model_copy(update={"without_lists": ("invoices",)})
    sources = {**settings.sources, "billing": billing}
    settings = settings.model_copy(update={"sources": sources, "explain": True})

    async with open_gateway(settings) as gateway:
        explained = await gateway.query_as({"X-Gateway-Explain": "1"}, QUERY, id=user_id(1))
        reply = await gateway.query(QUERY, id=user_id(1))

    assert reply.body == {"data": {"user": {"plan": "pro", "invoices": None}}}
    assert services.calls["billing"] == 1
    [source] = explained.body["extensions"]["explain"]["sources"]
    assert source["pages"] == []
