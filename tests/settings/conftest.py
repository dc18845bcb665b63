"""Fixtures of the tests of settings: an environment without variables, and a way to write files."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the variables and files of the machine from the settings."""
    for name in list(os.environ):
        if name.upper().startswith("GATEWAY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write() -> Write:
    """Return a function that writes the configuration file, ``gateway.toml``."""

    def written(text: str) -> Path:
        path = Path("gateway.toml")
        path.write_text(text, encoding="utf-8")
        return path

    return written
