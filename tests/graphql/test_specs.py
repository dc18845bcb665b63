"""The sources that ``User`` reads, found without the schema."""

from app.graphql.schema import build_schema
from app.graphql.specs import specs


def test_they_are_those_that_the_schema_reads() -> None:
    assert specs() == {
        reading.spec.name: reading.spec for reading in build_schema().readings.values()
    }
