"""Shared by the tests of a first configuration file."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no variable and no file of the machine be seen."""
    for name in list(os.environ):
        if name.upper().startswith("GATEWAY"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
