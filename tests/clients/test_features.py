"""The features of clients in the table of docs/guides/frontend.md, cell by cell."""

from pathlib import Path
from typing import Any

import pytest

from app.cli.demo_callers import DemoCallers
from app.server.graphiql.build import NodePrograms
from app.settings.field_schema import settings_in
from app.settings.models import Settings
from tests.clients.client_programs import ApolloClient, ClientProgram, Fetch, Options, Relay, Urql
from tests.clients.conftest import INSTALL
from tests.fakes import FakeServices, failing, invoice, settings_for_fakes, user_id

pytestmark = pytest.mark.timeout(INSTALL + 60)

EVERY = [ApolloClient, Urql, Relay, Fetch]
USERS = """query PageQuery($ids: [ID!]!) {
  users(ids: $ids) { __typename id username plan billingStatus }
}"""
NAME = "query PageQuery($id: ID!) { user(id: $id) { __typename id username } }"
INVOICES = """query PageQuery($id: ID!, $after: String) { user(id: $id) { __typename id
  invoices(first: 2, after: $after) {
    edges { cursor node { __typename id number } } pageInfo { hasNextPage endCursor } } } }"""
IDS = {"ids": [user_id(1), user_id(2)]}
ID = {"id": user_id(1)}


@pytest.fixture
def services(services: FakeServices) -> FakeServices:
    """Give services that know two users, one of which has five invoices."""
    services.know(1, 2)
    services.billing.invoices[user_id(1)] = [invoice(number) for number in range(5, 0, -1)]
    return services


def names_and_plans(users: Any) -> list[tuple[str, object]]:  # noqa: ANN401 # data of a client
    """List names and plans."""
    return [(one["username"], one["plan"]) for one in users]


@pytest.mark.parametrize("client", EVERY)
async def test_a_client_keeps_the_data_beside_an_error(
    node: NodePrograms, services: FakeServices, tmp_path: Path, client: type[ClientProgram]
) -> None:
    services.billing.behaviour = failing(503)

    result = await client(node, services, tmp_path).send(USERS, Options(IDS))

    assert names_and_plans(result.data["users"]) == [("user1", None), ("user2", None)]
    assert {one.code for one in result.errors} == {"SOURCE_UNAVAILABLE"}
    assert len(result.errors) == 4


async def test_apollo_client_discards_the_data_by_default(
    node: NodePrograms, services: FakeServices, tmp_path: Path
) -> None:
    services.billing.behaviour = failing(503)
    default = Options(IDS, error_policy="none")

    result = await ApolloClient(node, services, tmp_path).send(USERS, default)

    assert result.data is None
    assert {one.code for one in result.errors} == {"SOURCE_UNAVAILABLE"}


@pytest.mark.parametrize("client", EVERY)
async def test_a_client_requests_one_error_for_each_source(
    node: NodePrograms, services: FakeServices, tmp_path: Path, client: type[ClientProgram]
) -> None:
    services.billing.behaviour = failing(503)

    result = await client(node, services, tmp_path).send(USERS, Options(IDS, grouped=True))

    [error] = result.errors
    assert (error.path, error.code) == ("users", "SOURCE_UNAVAILABLE")
    assert error.paths == ["users.*.plan", "users.*.billingStatus"]
    assert names_and_plans(result.data["users"]) == [("user1", None), ("user2", None)]


@pytest.mark.parametrize("client", EVERY)
async def test_a_client_sends_the_hash_of_a_trusted_document(
    node: NodePrograms, services: FakeServices, tmp_path: Path, client: type[ClientProgram]
) -> None:
    result = await client(node, services, tmp_path).send(NAME, Options(ID, hashed=True))

    assert result.errors == []
    assert result.data["user"]["username"] == "user1"
    assert [one.document for one in result.sent] == [False]


@pytest.mark.parametrize("client", EVERY)
async def test_a_client_sends_its_token(
    node: NodePrograms, services: FakeServices, tmp_path: Path, client: type[ClientProgram]
) -> None:
    callers = DemoCallers((user_id(1), user_id(2)))
    program = client(node, services, tmp_path, callers=callers)
    token = callers.tokens[0].text

    result = await program.send(
        "query PageQuery { me { __typename id username } }", Options({}, token=token)
    )

    assert result.errors == []
    assert result.data["me"]["username"] == "user1"


def cacheable() -> Settings:
    """Make settings with which caches store names for a minute."""
    control = {"scope": "public", "fields": {"username": 60}}
    return Settings.model_validate({**settings_in(settings_for_fakes()), "cache_control": control})


@pytest.mark.parametrize("client", EVERY)
async def test_a_client_gets_a_trusted_document_by_get_with_an_etag(
    node: NodePrograms, services: FakeServices, tmp_path: Path, client: type[ClientProgram]
) -> None:
    program = client(node, services, tmp_path, cacheable())

    result = await program.send(NAME, Options(ID, hashed=True, get=True))

    assert result.errors == []
    assert result.data["user"]["username"] == "user1"
    [sent] = result.sent
    assert (sent.method, sent.document, sent.status) == ("GET", False, 200)
    assert sent.etag


async def test_an_unchanged_response_is_304(
    node: NodePrograms, services: FakeServices, tmp_path: Path
) -> None:
    program = Fetch(node, services, tmp_path, cacheable())

    result = await program.send(NAME, Options(ID, hashed=True, get=True, again=True))

    assert [one.status for one in result.sent] == [200, 304]


@pytest.mark.parametrize("client", [ApolloClient, Urql, Fetch])  # Relay has its own test
async def test_a_client_adds_the_next_page_of_a_list(
    node: NodePrograms, services: FakeServices, tmp_path: Path, client: type[ClientProgram]
) -> None:
    result = await client(node, services, tmp_path).send(INVOICES, Options(ID, after=True))

    invoices = [one["node"]["number"] for one in result.data["user"]["invoices"]["edges"]]
    assert invoices == ["2026-0005", "2026-0004", "2026-0003", "2026-0002"]
