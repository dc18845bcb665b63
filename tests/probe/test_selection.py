"""The operation that requests all fields of a source."""

from app.execution.schema import build_schema
from app.probe.operations import fields_of, operation

SCHEMA = build_schema()


def test_fields_are_listed_by_their_source() -> None:
    found = fields_of(SCHEMA)

    assert list(found) == ["profile", "billing", "activity"]
    assert found["billing"] == ("plan", "billingStatus", "balance", "renewsAt")


def test_an_operation_selects_all_parts_of_its_fields() -> None:
    assert operation(SCHEMA, ("plan", "balance", "events")) == (
        "query Probe($ids: [ID!]!) { users(ids: $ids) {"
        " plan balance { amount currency } events { id type occurredAt } } }"
    )
