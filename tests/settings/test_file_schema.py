"""The JSON Schema of the configuration file."""

import tomllib
from collections.abc import Callable
from functools import partial

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from app.errors import ConfigurationError
from app.settings.models import WrittenSettings
from app.settings.nested import Table, dotted
from app.settings.reference import DIALECT, file_schema
from app.settings.variables import Variable, variables_of
from tests.settings.conftest import Write
from tests.settings.loading import SERVICE, load, load_unchecked
from tests.settings.models import TestSettings
from tests.settings.schemas import properties_of, single_value_schema
from tests.settings.toml import toml

MODELS = [WrittenSettings, TestSettings]
OURS = file_schema(WrittenSettings)
OWN = file_schema(TestSettings)


def refused_places(schema: Table, text: str) -> list[str]:
    """List the places in a file that a schema refuses."""
    validator = Draft202012Validator(schema)
    found = validator.iter_errors(tomllib.loads(text))  # pyright: ignore[reportUnknownMemberType] # its stubs leave one open
    return sorted(dotted(tuple(error.absolute_path)) for error in found)


def first(schema: Table, *keys: str) -> Table:
    """Find the first schema of a setting."""
    return next(properties_of(schema, schema, keys))


@pytest.mark.parametrize("model", MODELS)
def test_the_schema_is_valid_and_names_its_draft(model: type[BaseModel]) -> None:
    schema = file_schema(model)

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("model", MODELS)
def test_the_schema_describes_every_setting(model: type[BaseModel]) -> None:
    schema = file_schema(model)

    for variable in variables_of(model):
        described = list(properties_of(schema, schema, variable.path))
        assert described, variable.name
        for one in described:
            assert one["description"], variable.name
            assert one["description"] in variable.description


def test_the_schema_has_the_default_of_each_setting() -> None:
    assert first(OURS, "port")["default"] == 8000
    assert first(OURS, "user_id_pattern")["default"].startswith("[0-9a-fA-F]")
    assert "default" not in first(OURS, "sources", "billing", "auth", "token")
    assert "default" not in first(OURS, "sources", "billing", "breaker")
    assert first(OWN, "services", "users", "rows")["default"] == ["items"]


@pytest.mark.parametrize("keys", [("auth", "mode"), ("sources", "billing", "auth", "kind")])
def test_the_tag_of_a_table_has_no_default(keys: tuple[str, ...]) -> None:
    assert all("default" not in one for one in properties_of(OURS, OURS, keys))


def test_settings_that_a_variable_may_set_are_optional_in_the_file() -> None:
    assert not refused_places(OURS, "")
    assert not refused_places(OURS, "[sources.billing]\ntimeout = 1")
    assert not refused_places(OWN, "[services.users]\nauth = { kind = 'basic' }\npaging = {}")
    assert refused_places(OWN, "[[services.users.rules]]") == ["services.users.rules#1"]


@pytest.mark.parametrize("value", ["{ env = 'A' }", "{ file = '/a' }"])
def test_a_reference_to_a_secret_is_accepted(value: str) -> None:
    assert not refused_places(
        OURS, f"[sources.billing]\nauth = {{ kind = 'bearer', token = {value} }}"
    )


@pytest.mark.parametrize(
    "value", ["'x'", "3", "{}", "{ env = '' }", "{ env = 'A', file = 'a' }", "{ value = 'a' }"]
)
def test_a_secret_itself_is_refused(value: str) -> None:
    reported = refused_places(
        OURS, f"[sources.billing]\nauth = {{ kind = 'bearer', token = {value} }}"
    )

    assert reported == ["sources.billing.auth"]


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("auth = { kind = 'basic', user = 'u', password.env = 'A' }", None),
        ("auth = { kind = 'none', user = 'u' }", "auth"),
        ("auth = { user = 'u' }", "auth"),
        ("auth = { kind = 'other' }", "auth"),
        ("rules = [{ status = 404 }, { status = 503, means = 'retry', token.env = 'A' }]", None),
        ("rules = [{ status = 404 }, { status = 99 }]", "rules#2.status"),
        ("fields = { a = 'b', 'c d' = 'e' }", None),
        ("fields = { a = 3 }", "fields.a"),
        ("headers = { a = 'b', c = { env = 'D' } }", None),
        ("headers = { a = 3 }", "headers.a"),
        ("limit = 3", None),
        ("limit = 'none'", None),
        ("limit = 'all'", "limit"),
        ("paging = { size = 3 }", None),
        ("paging = { size = 0 }", "paging.size"),
        ("pagin = { size = 3 }", ""),
        ("rows = ['a', 'b']", None),
        ("rows = 'a'", "rows"),
    ],
)
def test_tagged_tables_lists_and_free_names_are_checked(written: str, place: str | None) -> None:
    reported = refused_places(OWN, SERVICE + written)

    assert reported == ([] if place is None else [f"services.users.{place}".rstrip(".")])


CANDIDATES = [
    *(0, 1, -1, 7, 65, 1_001, 70_000, 10**8, 10**20),
    *(0.5, -0.5, 1.5, 3_600.5, 1e10 + 0.5, 0.0005),
    *("", "x", "info", "json", "asked", "required", "3", "true"),
    *(True, False, [], [1], {}, {"x": 1}),
]
JUDGED_BY_PYTHON = {"base_url", "existence", "module", "user_id_pattern", "username"}


def is_refused(loading: Callable[[], object]) -> bool:
    """Return whether settings are refused."""
    try:
        loading()
    except ConfigurationError:
        return True
    return False


@pytest.mark.parametrize(
    "variable",
    [
        one
        for one in variables_of(WrittenSettings)
        if single_value_schema(OURS, one) is not None
        and one.path[1:2]
        not in {("profile",), ("activity",)}  # their settings are those of billing
        and one.path[-1] not in JUDGED_BY_PYTHON
    ],
    ids=lambda one: one.name,
)
def test_the_schema_refuses_the_same_values_as_the_gateway(
    variable: Variable, write: Write
) -> None:
    for value in CANDIDATES:
        table: Table = {}
        inner = table
        for key in variable.path[:-1]:
            inner = inner.setdefault(key, {})
        inner[variable.path[-1]] = value
        for source in ("profile", "billing", "activity"):
            sources: Table = table.setdefault("sources", {})
            sources.setdefault(source, {}).setdefault("base_url", "http://x")
        text = toml(table)
        file = write(text)

        # The checks of all values together only add mistakes, and take the most time.
        refused = is_refused(partial(load_unchecked, file)) or is_refused(partial(load, file))
        assert refused == bool(refused_places(OURS, text)), text
