"""urql by default, and with the options that the refusal and the guide name."""

import json
from pathlib import Path

import pytest

import app
from app.server.graphiql.build import NodePrograms
from app.settings.models import Settings
from tests.clients.client_programs import ClientResult
from tests.clients.conftest import FOLDER, INSTALL, at_address
from tests.fakes import FakeServices, settings_for_fakes, user_id
from tests.npm import running

pytestmark = pytest.mark.timeout(INSTALL + 60)

GUIDE = (Path(app.__file__).parents[1] / "docs/guides/frontend.md").read_text(encoding="utf-8")
QUERY = f'query Page {{ user(id: "{user_id(1)}") {{ username }} }}'
ANSWER = {"user": {"username": "user1"}}


async def query_by_urql(
    node: NodePrograms, services: FakeServices, options: object, settings: Settings | None = None
) -> ClientResult:
    """Send a query by urql with options."""
    services.know(1)
    arguments = (QUERY, json.dumps(options))
    async with (
        at_address(services, settings or settings_for_fakes()) as address,
        running(node, FOLDER, "urql.mjs", address.url, *arguments) as line,
    ):
        return ClientResult.model_validate_json(line)


async def test_get_of_urql_is_refused_with_the_options_to_set(
    node: NodePrograms, services: FakeServices
) -> None:
    result = await query_by_urql(node, services, {})

    assert result.data is None
    [error] = result.errors
    assert error.code == "BAD_REQUEST"
    for option in (
        'fetchOptions: { headers: { "GraphQL-Require-Preflight": "1" } }',
        "preferGetMethod: false",
    ):
        assert option in error.message
        assert option in GUIDE


@pytest.mark.parametrize(
    "options",
    [
        {"preferGetMethod": False},
        {"fetchOptions": {"headers": {"GraphQL-Require-Preflight": "1"}}},
        {"fetchOptions": {"headers": {"X-Requested-With": "urql"}}},
        {"fetchOptions": {"headers": {"Authorization": "Bearer a.b.c"}}},
        {"fetchOptions": {"headers": {"Content-Type": "application/json"}}},
    ],
    ids=str,
)
async def test_urql_with_these_options_gets_data(
    node: NodePrograms, services: FakeServices, options: object
) -> None:
    result = await query_by_urql(node, services, options)

    assert (result.data, result.errors) == (ANSWER, [])


async def test_urql_without_options_gets_data_without_csrf_prevention(
    node: NodePrograms, services: FakeServices
) -> None:
    settings = settings_for_fakes(csrf_prevention=False)

    assert (await query_by_urql(node, services, {}, settings)).data == ANSWER
