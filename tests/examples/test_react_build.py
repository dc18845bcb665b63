"""The build of the React example fails if the page does not fit the schema."""

from pathlib import Path

import pytest

from app.server.graphiql.build import NodePrograms
from tests.examples.react import FOLDER, INSTALL, ROOT, build
from tests.npm import node_with

pytestmark = pytest.mark.timeout(INSTALL + 120)


@pytest.fixture(scope="module")
def node() -> NodePrograms:
    """Give Node with the packages of the example."""
    return node_with(FOLDER, search_path="", install=INSTALL)


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("  plan: String @", "  tariff: String @", 'Cannot query field "plan"'),
        ("  amount: SafeInt!", "  amount: String!", "is not assignable to"),
        ("scalar SafeInt", "scalar SafeInt\n\nscalar BigInt", "BigInt"),
        ("  PAST_DUE\n", "  LATE\n", "PAST_DUE"),
    ],
    ids=["missing field", "other type", "unknown scalar", "other enum value"],
)
def test_the_build_fails_if_the_page_does_not_fit_the_schema(
    node: NodePrograms, tmp_path: Path, before: str, after: str, complaint: str
) -> None:
    schema = (ROOT / "schema.graphql").read_text(encoding="utf-8")
    assert before in schema

    assert complaint in build(node, tmp_path, {}, schema=schema.replace(before, after)).complaint
