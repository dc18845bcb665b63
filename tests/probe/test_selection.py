"""An operation that asks for all that a source has of users."""

from app.execution.schema import build_schema
from app.probe.operations import fields_of, operation

SCHEMA = build_schema()


def test_each_field_that_is_read_from_a_record_belongs_to_its_source() -> None:
    found = fields_of(SCHEMA)

    assert list(found) == ["profile", "billing", "activity"]
    assert found["billing"] == ("plan", "billingStatus", "balance", "renewsAt")


def test_fields_are_asked_for_whole() -> None:
    assert operation(SCHEMA, ("plan", "balance", "events")) == (
        "query Probe($ids: [ID!]!) { users(ids: $ids) {"
        " plan balance { amount currency } events { id type occurredAt } } }"
    )
