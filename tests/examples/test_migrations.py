"""The guides for migration from another program (docs/how-to/): files, queries, responses."""

import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack

import pytest

from app.demo.services import demo_services
from tests.demo_data import demo_data
from tests.examples.conftest import OpenPage
from tests.examples.page import FOLDER, ExamplePage
from tests.examples.serving import free_port, serving

NAMES = ("migrate-from-apollo-server", "migrate-from-tailcall", "migrate-from-an-aggregator")
PAGES = [ExamplePage(name, FOLDER.parent / "how-to") for name in NAMES]


def query_of(page: ExamplePage) -> str:
    """Find the query of the clients."""
    [query] = re.findall(r"```graphql\n(query Page .*?)```", page.text, flags=re.DOTALL)
    return str(query)


def answers_of(page: ExamplePage) -> tuple[object, object]:
    """Find the response to the query, and the response while billing is down."""
    usual, down = re.findall(r"```json\n(.*?)```", page.text, flags=re.DOTALL)
    return json.loads(usual), json.loads(down)


@pytest.fixture
async def addresses() -> AsyncGenerator[Mapping[str, str]]:
    """Run the demo's services, and give the variables with their addresses."""
    async with AsyncExitStack() as stack:
        made = stack.enter_context(demo_services(demo_data()))
        served = {"profile": made.profile, "billing": made.billing, "activity": made.activity}
        yield {
            f"GATEWAY_SOURCES__{name.upper()}__BASE_URL": await stack.enter_async_context(
                serving(name, one)
            )
            for name, one in served.items()
        }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_the_query_of_a_guide_gets_the_responses_of_the_guide(
    page: ExamplePage, addresses: Mapping[str, str], open_page: OpenPage
) -> None:
    usual, down = answers_of(page)

    async with open_page(page, addresses) as gateway:
        assert (await gateway.query(query_of(page))).body == usual
    unreachable = {"GATEWAY_SOURCES__BILLING__BASE_URL": f"http://127.0.0.1:{free_port()}"}
    async with open_page(page, {**addresses, **unreachable}) as gateway:
        assert (await gateway.query(query_of(page))).body == down
