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


@cache
def example() -> Mapping[str, Any]:
    """Read the file that defines the default schema."""
    return tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))


def in_a_file(settings: Settings) -> Settings:
    """Have the schema be the one of the file, whose requests the fakes answer."""
    sources = {
        name: _with_request(one, example()["sources"][name])
        for name, one in settings.sources.items()
    }
    tables = {name: example()[name] for name in TABLES}
    made = Settings.model_validate({**settings_in(settings), **tables})
    return made.model_copy(update={"sources": sources})


def _with_request(source: SourceSettings, own: Mapping[str, Any]) -> SourceSettings:
    """Add the request and the key of the example to a source that has no request of its own."""
    if source.request is not None or source.endpoints:
        return source
    return SourceSettings.model_validate(
        {
            **settings_in(source),
            **{name: own[name] for name in ("request", "answer") if name in own},
        }
    )
