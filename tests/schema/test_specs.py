"""The sources that ``User`` reads, found without the schema."""

from app.execution.schema import build_schema
from app.schema.user import specs


def test_they_are_those_that_the_schema_reads() -> None:
    assert specs() == {
        reading.spec.name: reading.spec for reading in build_schema().source_fields.values()
    }
