"""Compiling operations: fields that read several endpoints of a source, and what is left of it."""

import gc
import weakref
from collections.abc import Mapping, Sequence

from graphql import OperationDefinitionNode, parse
from graphql.execution.values import VariableValues

from app.federation.plan import Planner
from app.graphql.caller import EVERYBODY
from app.graphql.compiler import Compiler, RootField
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


def compiled(text: str) -> Sequence[RootField]:
    """Compile the one operation of a document."""
    schema = build_schema()
    document = parse(text)
    [operation] = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    return Compiler(schema, Planner(reads=READS, existence="profile")).compile(
        document,
        operation,
        VariableValues({}, {}),
        Policies(schema.policies).rights(EVERYBODY),
    )


def test_a_field_that_reads_two_endpoints_reads_their_records_as_one() -> None:
    [root] = compiled('{ user(id: "a") { plan } }')

    assert root.others.plan.sources == ("billing.one", "billing.two")
    assert [field.sources for field in root.others.fields] == [("billing.one", "billing.two")]
    assert root.others.write_user("a", said("status"), said("plan")) == {"plan": "pro"}
    assert root.others.write_user("a", said("status"), None) == {"plan": None}
    assert root.others.write_user("a", None, said("plan")) == {"plan": None}


def test_what_is_compiled_needs_no_garbage_collector_when_it_is_dropped() -> None:
    gc.disable()  # it runs rarely in a server, and each new document is compiled
    try:
        [root] = compiled('{ user(id: "a") { plan renewsAt } }')
        functions = [weakref.ref(one) for one in (root.others.write_user, root.others.write_known)]

        del root

        assert [one() for one in functions] == [None, None]
    finally:
        gc.enable()
