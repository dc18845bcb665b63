"""Fixtures of the tests of modules."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.extend.modules import ModuleFolder, path_kept


@pytest.fixture
def folder(tmp_path: Path) -> Generator[ModuleFolder]:
    """Make a folder for modules, which are removed from Python's path at the end."""
    with path_kept():
        yield ModuleFolder(tmp_path)
