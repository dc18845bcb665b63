"""What urql sends by default, and with the options that the refusal and the guide name."""

import json
from pathlib import Path

import pytest

import app
from app.server.graphiql.build import NodePrograms
from app.settings.models import Settings
from tests.clients.asking import ClientResult
from tests.clients.conftest import FOLDER, INSTALL, at_address
from tests.fakes import FakeServices, settings_for_fakes, user_id
from tests.npm import running

pytestmark = pytest.mark.timeout(INSTALL + 60)

GUIDE = (Path(app.__file__).parents[1] / "docs/guides/frontend.md").read_text(encoding="utf-8")
QUERY = f'query Page {{ user(id: "{user_id(1)}") {{ username }} }}'
ANSWER = {"user": {"username": "user1"}}


async def ask(
    node: NodePrograms, services: FakeServices, options: object, settings: Settings | None = None
) -> ClientResult:
    """Ask a gateway by a client with options."""
    services.know(1)
    arguments = (QUERY, json.dumps(options))
    async with (
        at_address(services, settings or settings_for_fakes()) as address,
        running(node, FOLDER, "urql.mjs", address.url, *arguments) as line,
    ):
        return ClientResult.model_validate_json(line)


async def test_by_default_it_sends_get_and_the_refusal_says_what_to_set(
    node: NodePrograms, services: FakeServices
) -> None:
    result = await ask(node, services, {})

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
async def test_with_these_options_it_is_answered(
    node: NodePrograms, services: FakeServices, options: object
) -> None:
    result = await ask(node, services, options)

    assert (result.data, result.errors) == (ANSWER, [])


async def test_a_gateway_without_the_prevention_answers_it_as_it_is(
    node: NodePrograms, services: FakeServices
) -> None:
    settings = settings_for_fakes(csrf_prevention=False)

    assert (await ask(node, services, {}, settings)).data == ANSWER
