"""Paged lists whose pages come from a module."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.errors import ConfigurationError
from app.settings.models import Settings
from tests.callers import by_headers, headers_of
from tests.clock import ManualClock
from tests.conftest import GatewayClient, GatewayReply, OpenGateway
from tests.extend.modules import ModuleFolder, imported, settings_with
from tests.extend.test_mistakes import found
from tests.fakes import FakeServices, user_id
from tests.readiness import source_states
from tests.ways import BOTH, Ways

SHOP = """
import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Customer(Record):
    user: str
    name: str | None = None


class Order(Record):
    id: str
    total: int
    state: str | None = None


class Shop:
    def __init__(self) -> None:
        self.customers = {}
        self.orders = {}
        self.queries = []
        self.calls = []
        self.answer = None
        self.error = None
        self.gate = None
        self.longest = 1000
        self.running = 0
        self.most = 0

    async def fetch(self, keys, call):
        return {key: self.customers[key] for key in keys if key in self.customers}

    async def fetch_page(self, query, call):
        self.queries.append(query)
        self.calls.append(call)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.running -= 1
        if self.error is not None:
            raise self.error
        if self.answer is not None:
            return self.answer(query)
        if query.key not in self.orders:
            return None
        ids = [str(one["id"]) for one in self.orders[query.key]]
        if query.after is not None and query.after not in ids:
            return PositionGone()
        start = 0 if query.after is None else ids.index(query.after) + 1
        end = start + min(query.first, self.longest)
        following = ids[end - 1] if end < len(ids) else None
        return ListPage(self.orders[query.key][start:end], next=following)


SHOP = Shop()


@asynccontextmanager
async def opened() -> AsyncGenerator[ListSource]:
    yield SHOP


STATE = EnumDefinition("OrderState", "How far it is.", (EnumValue("SENT", None, ("sent",)),))
ORDER = ObjectDefinition(
    "Order",
    "What a user has bought.",
    (
        ObjectField("id", "ID!", "Identifies it.", "id"),
        ObjectField("total", "Int!", "In cents.", "total"),
        ObjectField("state", "OrderState", "How far it is.", "state"),
    ),
    Order,
)


def extension() -> Extension:
    return Extension(
        api="1.2",
        sources=[OwnSource("shop", Customer, "user", opened)],
        fields=[
            shows("customerName", "String", "shop", "Name.", may=PUBLIC, value="name"),
            lists("orders", "Order", "shop", "The orders.", may=PUBLIC),
        ],
        objects=[ORDER],
        enums=[STATE],
    )
"""

PAGES = """
async def pages(query, call):
    return await SHOP.fetch_page(query, call)


def extension()"""

BY_FUNCTION = (
    SHOP.replace("def extension()", PAGES)
    .replace('orders.", may=PUBLIC', 'orders.", may=PUBLIC, pages=pages')
    .replace(
        "    yield SHOP",
        "    rows = Shop()\n    rows.fetch, rows.fetch_page = SHOP.fetch, None\n    yield rows",
    )
)
"""The same module with a function instead of the method."""

ONE, TWO = user_id(1), user_id(2)

QUERY = """
query($id: ID!, $first: Int, $after: String) {
  user(id: $id) {
    orders(first: $first, after: $after) {
      edges { cursor node { id total state __typename } }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
}
"""


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test in both ways."""
    ways: Ways = request.param
    return ways


def order(number: int, **changes: object) -> Mapping[str, object]:
    """Make an order."""
    return {"id": f"o{number}", "total": number, "state": "sent", **changes}


def settings(place: str, **shop: Any) -> Settings:  # noqa: ANN401 # any setting of a source
    """Make settings with changed limits of the module's source."""
    own = {"base_url": "http://module.invalid", "retry": {"max_retries": 0}, **shop}
    return settings_with(place, {"sources": {"shop": own}})


def page_of(reply: GatewayReply) -> Any:  # noqa: ANN401 # tests index into it
    """Return the page in an answer."""
    return reply.data["user"]["orders"]


def ids_in(reply: GatewayReply) -> Sequence[str]:
    """Return the ids of the items in an answer."""
    return [edge["node"]["id"] for edge in page_of(reply)["edges"]]


def known(place: str, count: int = 5) -> Any:  # noqa: ANN401 # an object of the module
    """Add a customer with some orders to the shop, and return the shop."""
    shop = imported(place).SHOP
    shop.customers = {ONE: {"name": "Ada"}}
    shop.orders = {ONE: [order(number) for number in range(1, count + 1)]}
    return shop


async def read_all(gateway: GatewayClient, first: int) -> Sequence[Sequence[str]]:
    """Read a list page by page, to its end."""
    pages: list[Sequence[str]] = []
    after: str | None = None
    while True:
        reply = await gateway.query(QUERY, id=ONE, first=first, after=after)
        assert not reply.errors
        pages.append(ids_in(reply))
        after = page_of(reply)["pageInfo"]["endCursor"]
        if not page_of(reply)["pageInfo"]["hasNextPage"]:
            return pages


@pytest.mark.parametrize("text", [SHOP, BY_FUNCTION], ids=["a method", "a function"])
async def test_a_page_of_a_module_is_returned_as_a_connection(
    folder: ModuleFolder, open_gateway: OpenGateway, text: str
) -> None:
    place = folder.write(text)

    async with open_gateway(settings(place)) as gateway:
        shop = known(place)
        reply = await gateway.query(QUERY, id=ONE, first=2)

    page = page_of(reply)
    nodes = [{**order(number), "state": "SENT", "__typename": "Order"} for number in (1, 2)]
    cursors = [edge["cursor"] for edge in page["edges"]]
    assert [edge["node"] for edge in page["edges"]] == nodes
    assert page["pageInfo"] == {
        "hasNextPage": True,
        "hasPreviousPage": False,
        "startCursor": cursors[0],
        "endCursor": cursors[1],
    }
    [query] = shop.queries
    assert (query.name, query.key, query.first, query.after) == ("orders", ONE, 2, None)
    assert shop.calls[0].seconds > 0


@pytest.mark.parametrize("longest", [1, 2, 1000])
@pytest.mark.parametrize("first", [1, 2, 3, 5, 6])
async def test_pages_of_any_size_have_each_item_once(
    folder: ModuleFolder, open_gateway: OpenGateway, first: int, longest: int
) -> None:
    place = folder.write(SHOP)

    async with open_gateway(settings(place)) as gateway:
        known(place).longest = longest
        pages = await read_all(gateway, first)

    assert [one for page in pages for one in page] == ["o1", "o2", "o3", "o4", "o5"]
    assert all(len(page) in {first, 5 % first, min(first, 5 * longest)} for page in pages)


async def test_a_page_may_start_after_any_item_of_an_earlier_page(
    folder: ModuleFolder, open_gateway: OpenGateway
) -> None:
    place = folder.write(SHOP)

    async with open_gateway(settings(place)) as gateway:
        known(place)
        first = await gateway.query(QUERY, id=ONE, first=3)
        after = page_of(first)["edges"][0]["cursor"]
        second = await gateway.query(QUERY, id=ONE, first=2, after=after)

    assert ids_in(second) == ["o2", "o3"]


async def test_only_the_existence_of_the_user_is_requested_before_a_page(
    folder: ModuleFolder, open_gateway: OpenGateway
) -> None:
    text = SHOP.replace('"user", opened)', '"user", opened, selects=True)').replace(
        "    async def fetch(self, keys, call):\n",
        "    async def fetch(self, keys, call):\n        self.calls.append(call)\n",
    )
    place = folder.write(text)

    async with open_gateway(settings(place)) as gateway:
        shop = known(place)
        reply = await gateway.query(QUERY, id=ONE, first=1)

    assert ids_in(reply) == ["o1"]
    assert next(call.fields for call in shop.calls) == frozenset()


async def test_a_list_is_requested_by_the_key_from_a_service(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1)
    place = folder.write(SHOP)
    key_from = {"source": "profile", "expression": "username"}

    async with open_gateway(settings(place, key_from=key_from)) as gateway:
        shop = imported(place).SHOP
        shop.customers, shop.orders = {"user1": {}}, {"user1": [order(1)]}
        reply = await gateway.query(QUERY, id=ONE, first=1)

    assert ids_in(reply) == ["o1"]
    assert [query.key for query in shop.queries] == ["user1"]


async def test_an_unknown_user_of_the_source_has_no_list_and_no_page_is_fetched(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(2)
    place = folder.write(SHOP)
    query = "query($id: ID!) { user(id: $id) { username orders { edges { cursor } } } }"

    async with open_gateway(settings(place)) as gateway:
        shop = known(place)
        stranger = await gateway.query(query, id=TWO)
        shop.orders = {}
        without = await gateway.query(QUERY, id=ONE)

    assert stranger.body == {"data": {"user": {"username": "user2", "orders": None}}}
    assert without.body == {"data": {"user": {"orders": None}}}
    assert [one.key for one in shop.queries] == [ONE]


WRONG_PAGES: Mapping[str, tuple[str, str]] = {
    "no page": ("3", "a page is int: expected a ListPage"),
    "a dict": ("{}", "a page is dict: expected a ListPage"),
    "no list": ("ListPage('ab', next=None)", "items are str: expected a list"),
    "too many items": (
        "ListPage([{'id': str(n), 'total': n} for n in range(21)], next=None)",
        "expected 20 items at most, got 21",
    ),
    "no item": ("ListPage([3], next=None)", "0: an item: TypeError"),
    "a value of another kind": (
        "ListPage([{'id': 'a', 'total': 1}, {'id': 'b', 'total': '1'}], next=None)",
        "1: total: Input should be a valid integer",
    ),
    "a value that the type does not allow": (
        "ListPage([{'id': 'a', 'total': 2**31}], next=None)",
        "0: the value is int: expected Int",
    ),
    "a word that the enum lacks": (
        "ListPage([{'id': 'a', 'total': 1, 'state': 'lost'}], next=None)",
        "0: the value is str: expected OrderState",
    ),
    "an item without its key": ("ListPage([{'total': 1}], next=None)", "0: id: Field required"),
    "a next that is not text": ("ListPage([], next=3)", "next is int: expected text"),
    "an empty next": ("ListPage([], next='')", "expected a cursor of 1 to 2,048 characters, got 0"),
    "a next that is too long": ("ListPage([], next='x' * 2049)", "got 2,049"),
    "the same page again": (
        "ListPage([{'id': 'a', 'total': 1}], next='a')",
        "the next page is one that was read before",
    ),
    "empty pages without end": (
        "ListPage([], next=f'{query.after}x')",
        "5 pages without the item looked for, or empty",
    ),
    "no position, for the first page": ("PositionGone()", "PositionGone for the first page"),
}


@pytest.mark.parametrize("kind", WRONG_PAGES)
async def test_an_invalid_page_is_a_malformed_response(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway, kind: str
) -> None:
    services.know(1)
    text, detail = WRONG_PAGES[kind]
    place = folder.write(f"{SHOP}\n\ndef answer(query):\n    return {text}\n")
    query = "query($id: ID!) { user(id: $id) { username orders { edges { node { id } } } } }"

    async with open_gateway(settings(place)) as gateway:
        known(place).answer = imported(place).answer
        reply = await gateway.query(query, id=ONE)
        warnings = [*gateway.events("source.odd_page"), *gateway.events("source.fetch")]

    assert reply.data == {"user": {"username": "user1", "orders": None}}
    assert reply.codes == {"user.orders": "SOURCE_MALFORMED"}
    assert any(detail in one.get("detail", "") for one in warnings)


FAILURES: Mapping[str, str] = {
    "TimeoutError()": "SOURCE_TIMEOUT",
    "OSError('secret')": "SOURCE_UNAVAILABLE",
    "ReadFailure(FailureCode.REJECTED, 'secret')": "SOURCE_REJECTED",
    "ReadFailure(FailureCode.MALFORMED, 'secret')": "SOURCE_MALFORMED",
    "ReadFailure(FailureCode.TIMEOUT)": "SOURCE_TIMEOUT",
    "ReadFailure(FailureCode.UNAVAILABLE)": "SOURCE_UNAVAILABLE",
    "ReadFailure(FailureCode.OVERLOADED)": "SOURCE_OVERLOADED",
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failed_page_fails_only_its_field(
    folder: ModuleFolder, open_gateway: OpenGateway, failure: str
) -> None:
    place = folder.write(f"{SHOP}\n\ndef failure():\n    return {failure}\n")
    query = "query($id: ID!) { user(id: $id) { customerName orders { edges { cursor } } } }"

    async with open_gateway(settings(place, pacing={"enabled": False})) as gateway:
        shop, made = known(place), imported(place).failure()
        if isinstance(made, Exception):
            shop.error = made
        else:

            def answer(_: object) -> object:
                return made

            shop.answer = answer
        reply = await gateway.query(query, id=ONE)

    assert reply.data == {"user": {"customerName": "Ada", "orders": None}}
    assert reply.codes == {"user.orders": FAILURES[failure]}
    assert "secret" not in reply.response.text


async def test_a_position_that_is_gone_is_an_error_of_the_client(
    folder: ModuleFolder, open_gateway: OpenGateway
) -> None:
    place = folder.write(SHOP)

    async with open_gateway(settings(place)) as gateway:
        shop = known(place)
        first = await gateway.query(QUERY, id=ONE, first=2)
        shop.orders[ONE] = shop.orders[ONE][2:]
        cursor = page_of(first)["pageInfo"]["endCursor"]
        second = await gateway.query(QUERY, id=ONE, first=2, after=cursor)
        circuit = source_states(gateway.app)["shop"]["circuit"]

    assert second.codes == {"user.orders": "BAD_USER_INPUT"}
    assert circuit == "closed"


async def test_a_page_is_cancelled_after_its_timeout(
    folder: ModuleFolder, open_gateway: OpenGateway, clock: ManualClock
) -> None:
    place = folder.write(SHOP)

    async with open_gateway(settings(place, page_timeout=0.5)) as gateway:
        shop = known(place)
        shop.gate = imported(place).asyncio.Event()
        reply = await clock.run(gateway.query(QUERY, id=ONE))

    assert reply.codes == {"user.orders": "SOURCE_TIMEOUT"}
    assert 0 < shop.calls[0].seconds <= 0.5
    assert shop.running == 0


async def test_failed_pages_open_the_circuit_of_the_source(
    folder: ModuleFolder, open_gateway: OpenGateway
) -> None:
    place = folder.write(SHOP)

    async with open_gateway(settings(place, breaker={"min_calls": 4})) as gateway:
        known(place).error = OSError()
        replies = [await gateway.query(QUERY, id=ONE) for _ in range(12)]

    assert "SOURCE_CIRCUIT_OPEN" in replies[-1].codes.values()


async def test_at_most_max_concurrent_pages_are_fetched_at_the_same_time(
    folder: ModuleFolder, open_gateway: OpenGateway
) -> None:
    place = folder.write(SHOP)
    ids = [user_id(number) for number in range(1, 8)]
    query = "query($ids: [ID!]!) { users(ids: $ids) { orders(first: 1) { edges { cursor } } } }"

    async with open_gateway(settings(place, max_concurrent_pages=3)) as gateway:
        shop = imported(place).SHOP
        shop.customers = {key: {} for key in ids}
        shop.orders = {key: [order(1)] for key in ids}
        reply = await gateway.query(query, ids=ids)

    assert not reply.errors
    assert len(shop.queries) == 7
    assert shop.most == 3


@pytest.mark.parametrize("first", [0, 101])
async def test_first_outside_1_to_100_is_refused_without_a_call(
    folder: ModuleFolder, open_gateway: OpenGateway, first: int
) -> None:
    place = folder.write(SHOP)

    async with open_gateway(settings(place)) as gateway:
        shop = known(place)
        reply = await gateway.query(QUERY, id=ONE, first=first)

    assert reply.codes == {"user.orders": "BAD_USER_INPUT"}
    assert not shop.queries


async def test_a_policy_hides_a_list_and_no_page_is_fetched(
    folder: ModuleFolder, services: FakeServices, open_gateway: OpenGateway
) -> None:
    services.know(1)
    place = folder.write(SHOP.replace('orders.", may=PUBLIC', 'orders.", may=self_or("shop:read")'))
    query = "query($id: ID!) { user(id: $id) { username orders { edges { cursor } } } }"
    asked = [headers_of(None, "other"), headers_of(None, "shop:read"), headers_of(ONE)]

    async with open_gateway(settings(place), by_headers) as gateway:
        shop = known(place)
        replies = [await gateway.query_as(headers, query, id=ONE) for headers in asked]

    assert [one.codes for one in replies] == [{"user.orders": "FORBIDDEN"}, {}, {}]
    assert len(shop.queries) == 2


async def test_a_list_has_its_declared_cost_and_explained_calls(
    folder: ModuleFolder, open_gateway: OpenGateway
) -> None:
    place = folder.write(SHOP.replace('orders.", may=PUBLIC', 'orders.", may=PUBLIC, cost=50'))
    made = settings(place).model_copy(update={"explain": True})
    body = {"query": QUERY, "variables": {"id": ONE, "first": 3}}

    async with open_gateway(made) as gateway:
        shop = known(place)
        response = await gateway.client.post(
            "/graphql", json=body, headers={"X-Gateway-Explain": "1"}
        )
        explanation = response.json()["extensions"]["explain"]

    [source] = explanation["sources"]
    [pages] = source["pages"]
    assert explanation["cost"] > 50
    assert (source["name"], source["form"], source["calls"]) == ("shop", "module", 1)
    assert (pages["list"], pages["method"], pages["calls"]) == ("orders", "", 1)
    assert not shop.queries


async def test_a_list_in_without_lists_is_null_without_a_call(
    folder: ModuleFolder, open_gateway: OpenGateway
) -> None:
    place = folder.write(SHOP)

    async with open_gateway(settings(place, without_lists=["orders"])) as gateway:
        shop = known(place)
        reply = await gateway.query(QUERY, id=ONE)

    assert reply.body == {"data": {"user": {"orders": None}}}
    assert not shop.queries


async def test_a_source_without_the_method_for_pages_is_an_error_at_the_start(
    folder: ModuleFolder, open_gateway: OpenGateway
) -> None:
    place = folder.write(SHOP.replace("async def fetch_page", "async def fetch_orders"))
    name = place.rpartition("/")[2]

    with pytest.raises(ConfigurationError) as caught:
        async with open_gateway(settings(place)):
            pass

    assert str(caught.value) == (
        f"module {name}: what the source shop opens is Shop, which has no method fetch_page:"
        " expected it, for the list orders."
    )


WRONG = """
class Row(Record):
    user: str


class Thing(Record):
    id: str
    size: int | None = None


THING = ObjectDefinition("Thing", "T.", (ObjectField("id", "ID!", "I.", "id"),), Thing)
BARE = ObjectDefinition("Bare", "B.", (ObjectField("size", "Int", "S.", "size"),), Thing)
EDGE = ObjectDefinition("ThingEdge", "E.", (ObjectField("id", "ID!", "I.", "id"),), Thing)


async def fine(query, call): ...


async def short(query): ...


def plain(query, call): ...


def extension():
    def field(name, item="Thing", source="own", pages=fine):
        return lists(name, item, source, "D.", may=PUBLIC, pages=pages)

    return Extension(
        api="1.2",
        sources=[OwnSource("own", Row, "user", print)],
        fields=[
            field("a"),
            field("b", "[Thing!]"),
            field("c", "Thing!"),
            field("d", "String"),
            field("e", "Thin"),
            field("f", "Bare"),
            field("g", "OfTheFile"),
            field("h", source="profile"),
            field("i", source="nowhere"),
            field("j", pages=short),
            field("k", pages=plain),
            field("l", pages=3),
        ],
        objects=[THING, BARE, EDGE],
    )
"""

OF_THE_FILE = (
    '[types.OfTheFile]\ndescription = "T."\nfields.id = { type = "ID!", description = "I." }\n'
)


def test_all_mistakes_in_lists_of_a_module_are_reported_together(folder: ModuleFolder) -> None:
    item = "expected the object that an item is, without ! and []."
    assert found(folder, WRONG, OF_THE_FILE) == [
        "ThingEdge is a type of the schema already: expected another name.",
        f"b has the type [Thing!]: {item}",
        f"c has the type Thing!: {item}",
        f"d has the type String: {item}",
        "e has the type Thin, which is not known: did you mean Thing?",
        (
            "f has items of the type Bare, which has no field of type ID!: expected one, which"
            " identifies the items of a page."
        ),
        (
            "g has items of the type OfTheFile, which is one of the file: expected an object of"
            " the module."
        ),
        ("h is a list of profile: expected a source of this module, such as OwnSource makes."),
        (
            "i reads the source nowhere, which is not known: expected one of profile, billing,"
            " activity, own."
        ),
        "j has pages that do not take 2 values: expected a parameter for each of query, call.",
        "k has pages that are not async: expected async def, because pages are waited for.",
        "l has pages that are no function.",
    ]
