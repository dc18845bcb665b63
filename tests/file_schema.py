"""The default schema as a file defines it, for tests that hold for every schema."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import app
from app.settings.field_schema import settings_in
from app.settings.models import Settings
from app.settings.source import SourceSettings

EXAMPLE = Path(app.__file__).parents[1] / "examples/demo/gateway.toml"
TABLES = ("schema", "user", "types", "enums")

PUBLIC_NAMES = {
    "display_name": "displayName",
    "avatar_url": "avatarUrl",
    "created_at": "createdAt",
    "status": "billingStatus",
    "renews_at": "renewsAt",
    "last_seen_at": "lastSeenAt",
    "login_count": "loginCount",
}
"""The fields of the default records whose names are not those of the schema."""

PUBLIC_NAMES_OF_ITEMS = {"issued_at": "issuedAt"}

KEYS = {"id", "user_id", "userId"}
"""The names of keys in the default records."""


@cache
def example() -> Mapping[str, Any]:
    """Read the file that defines the default schema."""
    return tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))


def in_a_file(settings: Settings) -> Settings:
    """Have the schema be the one of the file, whose requests the fakes answer."""
    sources = {
        name: _by_public_names(one, example()["sources"][name])
        for name, one in settings.sources.items()
    }
    tables = {name: example()[name] for name in TABLES}
    tables["user"] = {
        name: _read_by_source(one) if _reads(sources[one["source"]], name) else one
        for name, one in tables["user"].items()
        if _is_given(sources[one["source"]], name, one)
    }
    made = Settings.model_validate({**settings_in(settings), **tables})
    return made.model_copy(update={"sources": sources})


def _is_given(source: SourceSettings, name: str, field: Mapping[str, Any]) -> bool:
    """Return whether a source has a field: one with endpoints has the fields that these name."""
    named = [one.fields for one in source.endpoints.values()]
    return not named or "connection" in field or any(one is None or name in one for one in named)


def _reads(source: SourceSettings, name: str) -> bool:
    """Tell whether a source itself says how a field is read."""
    return bool(source.endpoints) or name in (source.fields or {})


def _read_by_source(field: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave the expression of a field to its source."""
    return {name: value for name, value in field.items() if name != "value"}


def _by_public_names(source: SourceSettings, own: Mapping[str, Any]) -> SourceSettings:
    """Name fields as the schema does, and say what is only known of the default contract."""
    made = _renamed(source.model_dump(), PUBLIC_NAMES)
    for name, one in made["endpoints"].items():
        endpoint = _renamed(one, PUBLIC_NAMES)
        made["endpoints"][name] = {**endpoint, "answer": _answer_with_key(endpoint, own)}
    for name, one in made["lists"].items():
        made["lists"][name] = _renamed(one, PUBLIC_NAMES_OF_ITEMS)
    if not source.endpoints:
        made["request"] = made["request"] or own["request"]
        made["answer"] = _answer_with_key(made, own)
    return SourceSettings.model_validate(made)


def _answer_with_key(source: Mapping[str, Any], own: Mapping[str, Any]) -> object:
    """Add the key of the default contract to the settings of an answer that has none."""
    given, key = source["answer"], own.get("answer")
    if given is None or key is None:
        return given or key
    by_place = given["match"] == "position"
    if by_place or given["key"] or given["by_key"] or KEYS & (source["fields"] or {}).keys():
        return given
    return {**given, **key}


def _renamed(settings: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Rename the fields in settings."""
    tables = {
        table: {names.get(name, name): value for name, value in settings[table].items()}
        for table in ("fields", "words", "defaults")
        if settings[table]
    }
    return {**settings, **tables}
