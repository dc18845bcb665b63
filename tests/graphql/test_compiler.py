"""Compiling fields that read several endpoints of a source."""

from collections.abc import Mapping

from graphql import OperationDefinitionNode, parse
from graphql.execution.values import VariableValues

from app.federation.plan import Planner
from app.graphql.caller import EVERYBODY
from app.graphql.compiler import Compiler
from app.graphql.rights import Policies
from app.graphql.schema import build_schema
from app.sources.base import Record
from app.sources.billing import BILLING
from app.sources.partial import partial
from tests.fakes import account_row, json_response


def said(field: str) -> Record:
    """Make what an endpoint says of a user."""
    body = json_response(account_row(1)).content
    return partial(BILLING, {field}).record.model_validate_json(body)


READS: Mapping[str, tuple[str, ...]] = {
    "plan": ("billing.one", "billing.two"),
    "renewsAt": ("billing.two",),
}


def test_a_field_that_reads_two_endpoints_reads_their_records_as_one() -> None:
    schema = build_schema()
    document = parse('{ user(id: "a") { plan } }')
    [operation] = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    compiler = Compiler(schema, Planner(reads=READS, existence="profile"))

    [root] = compiler.compile(
        document,
        operation,
        VariableValues({}, {}),
        Policies(schema.policies).rights(EVERYBODY),
    )

    assert root.others.plan.sources == ("billing.one", "billing.two")
    assert [field.sources for field in root.others.fields] == [("billing.one", "billing.two")]
    assert root.others.write_user("a", said("status"), said("plan")) == {"plan": "pro"}
    assert root.others.write_user("a", said("status"), None) == {"plan": None}
    assert root.others.write_user("a", None, said("plan")) == {"plan": None}
