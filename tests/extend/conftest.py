"""What tests of modules share."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.extend.modules import ModuleFolder, path_kept


@pytest.fixture
def folder(tmp_path: Path) -> Generator[ModuleFolder]:
    """Give a folder for modules, which Python forgets at the end."""
    with path_kept():
        yield ModuleFolder(tmp_path)
