"""Example queries for a schema."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from graphql import parse, validate

import app
from app.cli.placeholders import sources_at
from app.execution.schema import build_schema, schema_for
from app.execution.source_fit import definition_in
from app.schema.default import DEFAULT_SCHEMA
from app.schema.definitions import SchemaDefinition
from app.schema.examples import example_queries
from app.settings.models import Settings
from tests.schema.configured.test_lookups import settings

EXAMPLES = Path(app.__file__).parents[1] / "examples"


def definition_of(name: str) -> SchemaDefinition:
    """Read the schema of an example folder."""
    made = definition_in(tomllib.loads((EXAMPLES / name / "gateway.toml").read_text("utf-8")))
    assert made is not None
    return made


SCHEMAS: Mapping[str, Any] = {
    "default": lambda: DEFAULT_SCHEMA,
    "demo": lambda: definition_of("demo"),
    "hr": lambda: definition_of("hr"),
    "shop": lambda: definition_of("shop"),
    "lookups": lambda: schema_for(settings())[0].definition,
    "nothing": lambda: (
        schema_for(
            Settings.model_validate(
                {
                    "schema": {"extends": "none"},
                    "sources": {
                        "hr": {
                            "base_url": "http://a",
                            "request": {"form": "each", "path": "/{key}"},
                        }
                    },
                }
            )
        )[0].definition
    ),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_example_query_is_valid_for_its_schema(name: str) -> None:
    definition: SchemaDefinition = SCHEMAS[name]()
    core = build_schema(definition).core

    queries = example_queries(definition)

    assert len(queries) >= 2
    for one in queries:
        assert validate(core, parse(one.query)) == []
        assert one.query.startswith(f"# {one.title}\nquery ")


def test_every_field_of_a_user_is_in_an_example_query() -> None:
    text = " ".join(one.query for one in example_queries(DEFAULT_SCHEMA))

    assert all(f" {one.name}" in text for one in DEFAULT_SCHEMA.fields)


def test_settings_without_changes_have_the_default_schema() -> None:
    made, _ = schema_for(Settings(sources=sources_at({})))

    assert made.definition == DEFAULT_SCHEMA
