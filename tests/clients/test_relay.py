"""Relay's compiler accepts a list in pages, and Relay's runtime reads two pages of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from app.server.graphiql.build import NodePrograms
from app.settings.field_schema import settings_in
from app.settings.models import Settings
from tests.clients.conftest import FOLDER, INSTALL, at_address
from tests.clients.relay_compiler import compiled
from tests.fakes import FakeServices, invoice, settings_for_fakes, user_id
from tests.npm import running
from tests.ways import ALSO_BY_FILE, Ways

pytestmark = pytest.mark.timeout(INSTALL + 60)

PAGE = """
import { graphql } from "relay-runtime";

graphql`
  fragment Invoices_user on %(type)s
  @argumentDefinitions(count: { type: "Int", defaultValue: 2 }, cursor: { type: "String" })
  @refetchable(queryName: "InvoicesPageQuery") {
    invoices(first: $count, after: $cursor) @connection(key: "Invoices_user_invoices") {
      edges { node { id number } }
    }
  }
`;

graphql`
  query PageQuery($id: ID!) {
    user: %(one)s(id: $id) { displayName ...Invoices_user }
  }
`;
"""


class SentQuery(BaseModel):
    """A query that Relay sent."""

    name: str
    variables: Mapping[str, Any]


class RelayPages(BaseModel):
    """The content of Relay's store."""

    first: list[str] = Field(description="The numbers of the invoices after the first page.")
    second: list[str] = Field(description="The numbers after the second page.")
    more: bool = Field(description="Whether Relay knows of another page.")
    sent: list[SentQuery] = Field(description="The requests that it sent.")


def employees() -> Settings:
    """Make settings with another name for the type of users."""
    tables = {"schema": {"type": "Employee", "plural": "staff"}}
    return Settings.model_validate({**settings_in(settings_for_fakes()), **tables})


async def two_pages(
    node: NodePrograms, services: FakeServices, folder: Path, settings: Settings
) -> RelayPages:
    """Compile the page, and read two pages of two invoices each, of five."""
    services.know(1)
    services.billing.invoices[user_id(1)] = [invoice(number) for number in range(5, 0, -1)]
    artifacts, complaint = compiled(node, folder, settings, page=PAGE)
    assert not complaint
    async with (
        at_address(services, settings) as address,
        running(node, FOLDER, "relay.mjs", address.url, str(artifacts), user_id(1)) as line,
    ):
        return RelayPages.model_validate_json(line)


@pytest.mark.parametrize("ways", ALSO_BY_FILE, ids=str)
async def test_a_list_is_read_in_pages_of_two(
    node: NodePrograms, services: FakeServices, tmp_path: Path, ways: Ways
) -> None:
    pages = await two_pages(node, services, tmp_path, ways.of(settings_for_fakes()))

    assert pages.first == ["2026-0005", "2026-0004"]
    assert pages.second == ["2026-0005", "2026-0004", "2026-0003", "2026-0002"]
    assert pages.more
    assert [one.name for one in pages.sent] == ["PageQuery", "InvoicesPageQuery"]
    assert pages.sent[1].variables["id"] == user_id(1)


async def test_a_list_of_a_renamed_type_is_read_in_pages_of_two(
    node: NodePrograms, services: FakeServices, tmp_path: Path
) -> None:
    assert len((await two_pages(node, services, tmp_path, employees())).second) == 4


def test_the_compiler_refuses_a_list_in_pages_without_the_node_field(
    node: NodePrograms, tmp_path: Path
) -> None:
    tables = {"schema": {"node": False}}
    settings = Settings.model_validate({**settings_in(settings_for_fakes()), **tables})

    _, complaint = compiled(node, tmp_path, settings, page=PAGE)

    assert "@refetchable" in complaint


LOGIN_PAGE = """
import { graphql } from "relay-runtime";

graphql`
  query PageQuery($id: ID!) @throwOnFieldError { %(one)s(id: $id) { login displayName } }
`;
"""


def test_a_semantic_non_null_field_has_a_non_null_type_in_relay(
    node: NodePrograms, tmp_path: Path
) -> None:
    login = {"source": "profile", "value": "username", "description": "Its name.", "may": "public"}
    tables: Mapping[str, Any] = {
        "schema": {"drafts": {"semantic_non_null": True}},
        "user": {"login": {**login, "type": "String!"}},
    }
    settings = Settings.model_validate({**settings_in(settings_for_fakes()), **tables})

    artifacts, complaint = compiled(
        node, tmp_path, settings, page=LOGIN_PAGE, language="typescript"
    )

    assert not complaint
    types = (artifacts / "PageQuery.graphql.ts").read_text(encoding="utf-8")
    assert "readonly login: string;" in types
    assert "readonly displayName: string | null | undefined;" in types
