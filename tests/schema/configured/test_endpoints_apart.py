"""Fields whose source is an endpoint, together with keys in the rows of other sources."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from app.settings.field_schema import settings_in
from app.settings.models import Settings
from tests.conftest import OpenGateway
from tests.fakes import FakeServices, calm_source, json_response, settings_for_fakes, user_id
from tests.ways import BOTH, Ways

REQUEST: Mapping[str, Any] = {"form": "repeat", "parameter": "id"}
ENDPOINTS = {one: {"request": {**REQUEST, "path": f"/{one}"}} for one in ("names", "rest")}
TEXT = {"type": "String", "description": "A text.", "may": "public"}
USER = user_id(1)


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in both ways."""
    ways: Ways = request.param
    return ways


def settings(user: Mapping[str, Any], **sources: Mapping[str, Any]) -> Settings:
    """Make settings with a schema of some fields of a user."""
    made = {name: calm_source(base_url=f"http://{name}", **one) for name, one in sources.items()}
    base = settings_in(settings_for_fakes(sources=made))
    item = {"id": {"type": "ID!", "description": "A key."}}
    types = {"Item": {"description": "An item.", "fields": item}}
    return Settings.model_validate(
        {**base, "schema": {"extends": "none"}, "user": user, "types": types}
    )


class Rows:
    """Services whose rows are given by path.

    Attributes:
        rows: The row of each path.
        asked: The path and the keys of each call.
    """

    def __init__(self, services: FakeServices, rows: Mapping[str, Mapping[str, object]]) -> None:
        self.rows = rows
        self.asked: list[tuple[str, list[str]]] = []
        services.others = dict.fromkeys(("crm", "pay"), self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer with the row, for the key that is requested."""
        path, parameters = request.url.path, request.url.params
        if "limit" in parameters:
            self.asked.append((path, [parameters["userId"]]))
            return json_response({"items": [{"id": "item"}]})
        keys = parameters.get_list("id")
        self.asked.append((path, keys))
        return json_response([{"id": keys[0], **self.rows[path]}])


PAY = {
    "request": {**REQUEST, "path": "/accounts"},
    "key_from": {"source": "crm", "expression": "customer"},
}


@pytest.mark.parametrize("read", [["names", "rest"], ["rest"], ["rest", "names"]], ids="+".join)
async def test_the_keys_of_another_source_are_in_the_rows_of_the_first_endpoint(
    open_gateway: OpenGateway, services: FakeServices, read: list[str]
) -> None:
    rows = Rows(
        services, {"/names": {"customer": "c1"}, "/rest": {"city": "x"}, "/accounts": {"plan": "p"}}
    )
    fields = {f"field_{one}": {**TEXT, "source": f"crm.{one}"} for one in read}
    user = {**fields, "plan": {**TEXT, "source": "pay"}}
    async with open_gateway(settings(user, crm={"endpoints": ENDPOINTS}, pay=PAY)) as gateway:
        reply = await gateway.query(f'{{ user(id: "{USER}") {{ plan }} }}')

    assert reply.body == {"data": {"user": {"plan": "p"}}}
    assert rows.asked == [("/names", [USER]), ("/accounts", ["c1"])]


async def test_the_first_endpoint_has_the_keys_even_if_its_fields_are_separate(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    rows = Rows(
        services, {"/names": {"customer": "c1"}, "/rest": {"city": "x"}, "/accounts": {"plan": "p"}}
    )
    user = {
        "name": {**TEXT, "source": "crm.names"},
        "city": {**TEXT, "source": "crm"},
        "plan": {**TEXT, "source": "pay"},
    }
    rest = {**ENDPOINTS["rest"], "fields": {"city": "city"}}
    crm = {"endpoints": {**ENDPOINTS, "rest": rest}}
    async with open_gateway(settings(user, crm=crm, pay=PAY)) as gateway:
        reply = await gateway.query(f'{{ user(id: "{USER}") {{ plan city }} }}')

    assert reply.body == {"data": {"user": {"plan": "p", "city": "x"}}}
    assert sorted(rows.asked) == [("/accounts", ["c1"]), ("/names", [USER]), ("/rest", [USER])]


async def test_a_list_of_an_endpoint_is_requested_by_the_keys_of_its_source(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    rows = Rows(services, {"/accounts": {"customer": "c1"}, "/names": {}, "/rest": {}})
    user = {
        "plan": {**TEXT, "source": "pay"},
        "items": {**TEXT, "source": "crm.names", "type": "Item", "connection": True},
    }
    crm = {"endpoints": ENDPOINTS, "key_from": {**PAY["key_from"], "source": "pay"}}
    wanted = settings(user, crm=crm, pay={"request": PAY["request"]})
    async with open_gateway(wanted) as gateway:
        query = f'{{ user(id: "{USER}") {{ items {{ edges {{ node {{ id }} }} }} }} }}'
        reply = await gateway.query(query)

    assert reply.body == {"data": {"user": {"items": {"edges": [{"node": {"id": "item"}}]}}}}
    assert rows.asked == [("/accounts", [USER]), ("/names", ["c1"]), ("/items", ["c1"])]
