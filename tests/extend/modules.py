"""Python modules of operators, written into a folder of the test."""

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

from app.settings.field_schema import settings_in
from app.settings.models import Settings
from tests.fakes import settings_for_fakes

_NUMBERS = count(1)

HEAD = """
from app.extend.v1 import *
"""
"""The first lines of a module."""


@dataclass(frozen=True)
class ModuleFolder:
    """A folder with modules.

    Attributes:
        path: The folder.
    """

    path: Path

    def write(self, text: str) -> str:
        """Write a module with a unique name, and return its place for settings."""
        name = f"acme_{next(_NUMBERS)}"
        (self.path / f"{name}.py").write_text(HEAD + text, encoding="utf-8")
        return f"{self.path.as_posix()}/{name}"


def imported(place: str) -> ModuleType:
    """Find a module that the gateway has imported."""
    return sys.modules[place.rpartition("/")[2]]


@contextmanager
def path_kept() -> Generator[None]:
    """Restore Python's path and remove the imported modules at the end."""
    path, known = [*sys.path], {*sys.modules}
    yield
    sys.path[:] = path
    for name in {*sys.modules} - known:
        if name.startswith("acme"):
            del sys.modules[name]


def settings_with(place: str, tables: Mapping[str, Any] | None = None) -> Settings:
    """Make settings for the fakes, with a module and other tables."""
    more = dict(tables or {})
    schema = {**more.pop("schema", {}), "module": place}
    sources = {**settings_in(settings_for_fakes())["sources"], **more.pop("sources", {})}
    made = {**settings_in(settings_for_fakes()), **more, "sources": sources, "schema": schema}
    return Settings.model_validate(made)
