"""The import of any document gives TOML that the settings accept, or refuses the document."""

import json
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from app.importing.document import OpenApiError, document_of
from app.importing.guess import SourceGuess
from app.importing.importer import guess_source
from app.importing.names import CONTAINERS, FIELDS
from app.importing.toml_text import source_toml
from app.schema.default import DEFAULT_SCHEMA
from app.settings.source import SourceSettings
from app.sources.base import SourceSpec
from app.sources.endpoints import misfits
from tests.importing.documents import (
    COUNT,
    NAMES,
    TEXT,
    TIME,
    Json,
    array,
    document,
    object_of,
    operation,
)
from tests.properties import examples

Schemas = st.SearchStrategy[object]

COMPONENTS = ("A", "B", "C", "D")
EVENT = ("id", "type", "created_at")

names = st.one_of(
    st.sampled_from(
        [*FIELDS, *sorted(CONTAINERS), "id", "userId", "deleted", "$ref", "properties", ""]
    ),
    st.text(max_size=8),
)
references = st.sampled_from(
    [*(f"#/components/schemas/{name}" for name in COMPONENTS * 4), "#/paths", "#/nothing", "a.yaml"]
)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
words = st.sampled_from(["active", "paid", "on-trial", "un paid", "past.due", "paused", "pa\nid"])
types = st.sampled_from(["string", "integer", "number", "boolean", "object", "array", "null", "x"])


def tables(
    required: Mapping[str, Schemas], optional: Mapping[str, Schemas]
) -> st.SearchStrategy[Json]:
    """Make objects with some members."""
    return st.fixed_dictionaries(dict(required), optional=dict(optional))


plain = tables(
    {},
    {
        "type": st.one_of(types, st.lists(types, max_size=3)),
        "format": st.sampled_from(["date-time", "date", "unix-time", "uri", "\n"]),
        "nullable": st.booleans(),
        "enum": st.lists(st.one_of(values, words), max_size=3),
        "const": values,
        "example": values,
        "description": st.text(max_size=20),
        "maximum": values,
        "maxItems": values,
    },
)
schemas = st.recursive(
    st.one_of(plain, tables({"$ref": references}, {"nullable": st.booleans()}), st.booleans()),
    lambda inner: st.one_of(
        tables({"properties": st.dictionaries(names, inner, max_size=5)}, {"required": values}),
        tables({"properties": st.dictionaries(names, inner, max_size=5)}, {}),
        tables({"items": inner}, {"type": types}),
        tables({"additionalProperties": inner}, {}),
        tables({"allOf": st.lists(inner, max_size=3)}, {"nullable": st.booleans()}),
        tables({"anyOf": st.lists(inner, max_size=3)}, {}),
        tables({"oneOf": st.lists(inner, max_size=3)}, {}),
    ),
    max_leaves=20,
)
rows = st.dictionaries(names, schemas, max_size=8).map(
    lambda properties: object_of({"id": {"type": "string"}, **properties})
)


@st.composite
def events(draw: st.DrawFn) -> Json:
    """Make a list of objects that may be events."""
    own = {name: draw(st.sampled_from([TEXT, COUNT, TIME])) for name in EVENT}
    return array(object_of({**draw(st.dictionaries(names, schemas, max_size=3)), **own}))


answers = st.one_of(
    rows,
    rows.map(lambda row: object_of({"data": row})),
    rows.map(array),
    schemas,
    events(),
    events().map(lambda listed: object_of({"events": listed})),
)
paths = st.sampled_from(
    [
        *("/customers/{id}", "/a/{customer}/b", "/{a}/{b}", "/x/{}", "/ü {id}", "x", "/events"),
        "/users/{id}/events",
    ]
)


styles = st.sampled_from(["form", "deepObject", "pipeDelimited", ""])
methods = st.sampled_from(["get", "get", "post"])
queries = tables(
    {"in": st.sampled_from(["query", "path", "header"]), "name": names, "schema": schemas},
    {"style": styles, "required": st.booleans(), "explode": st.booleans()},
)


@st.composite
def documents(draw: st.DrawFn) -> tuple[Json, str]:
    """Make a document with one path."""
    path = draw(paths)
    parameters = draw(st.lists(queries, max_size=3))
    body = draw(st.one_of(st.none(), schemas))
    answer = draw(answers)
    made = operation(object_of({}), parameters)
    media = {"application/json": {"schema": answer}}
    item = {**made, "responses": {"200": {"content": media}}}
    if body is not None:
        item["requestBody"] = {"content": {"application/json": {"schema": body}}}
    components = {name: draw(schemas) for name in COMPONENTS}
    version = draw(st.sampled_from(["3.0.3", "3.1.0"]))
    servers = draw(st.lists(st.one_of(st.text(max_size=8), st.just("https://a.b/c")), max_size=2))
    contents = document({path: {draw(methods): item}}, components, version, servers)
    return contents, path


def guessed(contents: Json, path: str, spec: SourceSpec[Any]) -> SourceGuess | None:
    """Guess a source; ``None`` if the document is refused."""
    try:
        return guess_source(document_of(json.dumps(contents).encode(), "openapi.json"), spec, path)
    except OpenApiError:
        return None


@settings(deadline=None, max_examples=examples(300))
@given(documents(), st.sampled_from(NAMES))
def test_any_document_gives_valid_settings_or_is_refused(
    made: tuple[Json, str], source: str
) -> None:
    spec = DEFAULT_SCHEMA.sources[source]
    guess = guessed(*made, spec)
    event("refused" if guess is None else "imported")
    if guess is None:
        return
    event(f"grouped: {guess.answer.settings.group is not None}")

    written = {"base_url": "http://x", **tomllib.loads(source_toml(guess))["sources"][source]}

    read = SourceSettings.model_validate_json(json.dumps(written), strict=True)
    # One row without a key for many users cannot work. The command reports this.
    is_reported = any("answer.many: " in warning for warning in guess.warnings)
    allowed = {("answer", "many")} if is_reported else set[tuple[str, ...]]()
    assert {mistake.keys for mistake in misfits(spec, read, {spec.name})} <= allowed


@settings(deadline=None, max_examples=examples(200))
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_bytes_that_are_not_a_document_are_refused(content: bytes) -> None:
    with pytest.raises(OpenApiError):
        document_of(content, "openapi.yaml")
