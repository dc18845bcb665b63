"""Compiled operations: fields that read several endpoints of a source, and memory."""

import gc
import weakref
from collections.abc import Mapping

from graphql import OperationDefinitionNode, parse
from graphql.execution.values import VariableValues

from app.auth.policies import EVERYBODY, Policies
from app.execution.keys import InputLimits
from app.execution.plan import RootSelection
from app.execution.planner import Planner
from app.execution.schema import build_schema
from app.execution.source_reads import SourceReads
from app.fastpath.compiled import Compiler
from app.fastpath.user_writer import UserWriter
from app.sources.base import Record
from app.sources.records import BILLING
from app.sources.records_in_parts import partial
from tests.fakes import account_row, json_response, settings_for_fakes


def record_of(field: str) -> Record:
    """Make the record of a user from one endpoint."""
    body = json_response(account_row(1)).content
    return partial(BILLING, {field}).record.model_validate_json(body)


READS: Mapping[str, tuple[str, ...]] = {
    "plan": ("billing.one", "billing.two"),
    "renewsAt": ("billing.two",),
}


def compiled(text: str) -> tuple[RootSelection, UserWriter]:
    """Plan and compile the only root field of the only operation of a document."""
    schema = build_schema()
    document = parse(text)
    [operation] = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    limits, none = InputLimits.from_settings(settings_for_fakes()), VariableValues({}, {})
    planner = Planner(schema.core, SourceReads(reads=READS, existence="profile"), limits)
    rights = Policies(schema.definition.policies).rights(EVERYBODY)
    [root] = planner.select(document, operation, none, rights)
    [written] = Compiler(schema).compile([root], none).roots.values()
    assert written.others is not None
    return root, written.others


def test_a_field_that_reads_two_endpoints_reads_their_records_as_one_record() -> None:
    root, writer = compiled('{ user(id: "a") { plan } }')

    assert root.others is not None
    assert root.others.needs.sources == ("billing.one", "billing.two")
    assert [field.sources for field in writer.fields] == [("billing.one", "billing.two")]
    assert writer.write_user("a", record_of("status"), record_of("plan")) == {"plan": "pro"}
    assert writer.write_user("a", record_of("status"), None) == {"plan": None}
    assert writer.write_user("a", None, record_of("plan")) == {"plan": None}


def test_a_dropped_compiled_operation_is_freed_without_garbage_collection() -> None:
    gc.disable()  # a server runs it rarely, and compiles each new document
    try:
        root, writer = compiled('{ user(id: "a") { plan renewsAt } }')
        functions = [weakref.ref(one) for one in (writer.write_user, writer.write_known)]

        del root, writer

        assert [one() for one in functions] == [None, None]
    finally:
        gc.enable()
