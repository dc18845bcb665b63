"""Two lists of a user: the cursors of one are not those of the other."""

import httpx
import pytest

from app.settings.field_schema import settings_in
from app.settings.models import Settings
from tests.conftest import OpenGateway
from tests.fakes import FakeServices, invoice, json_response, settings_for_fakes, user_id
from tests.ways import BOTH, Ways

REFUNDS = """
query($id: ID!, $first: String, $second: String) {
  user(id: $id) {
    invoices(first: 1, after: $first) { edges { cursor node { id } } }
    refunds(first: 1, after: $second) { edges { cursor node { id } } }
  }
}
"""


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Have each test run in both ways."""
    both: Ways = request.param
    return both


async def test_a_cursor_leads_nowhere_in_another_list_of_the_same_user(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    services.billing.invoices[user_id(1)] = [invoice(2), invoice(1)]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/refunds":
            return services.billing.answer(request)
        start = int(request.url.params.get("cursor", "0"))
        following = str(start + 1) if start < 3 else None
        return json_response({"items": [{"id": f"r{start}"}], "nextCursor": following})

    services.others["billing"] = answer
    refunds = {
        "source": "billing",
        "type": "Refund",
        "connection": True,
        "may": "public",
        "description": "The user's refunds.",
    }
    key = {"type": "ID!", "description": "The id of the refund."}
    types = {"Refund": {"description": "A refund.", "fields": {"id": key}}}
    tables = {**settings_in(settings_for_fakes()), "user": {"refunds": refunds}, "types": types}
    async with open_gateway(Settings.model_validate(tables)) as gateway:
        pages = (await gateway.query(REFUNDS, id=user_id(1))).data["user"]
        cursors = {name: pages[name]["edges"][0]["cursor"] for name in ("invoices", "refunds")}
        own, other = cursors["invoices"], cursors["refunds"]
        right = await gateway.query(REFUNDS, id=user_id(1), first=own, second=other)
        wrong = await gateway.query(REFUNDS, id=user_id(1), first=other, second=own)

    assert [right.data["user"][name]["edges"][0]["node"]["id"] for name in cursors] == [
        "inv-1",
        "r1",
    ]
    assert wrong.data == {"user": {"invoices": None, "refunds": None}}
    assert [(error["message"], error["extensions"]["code"]) for error in wrong.errors] == [
        (f"after is a cursor of another list: expected one of {name}", "BAD_USER_INPUT")
        for name in cursors
    ]
