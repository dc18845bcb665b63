"""The generated pages, by their files."""

from collections.abc import Mapping
from pathlib import Path

from tests.docs.generated.cli import cli_page
from tests.docs.generated.file import file_page
from tests.docs.generated.http import http_page
from tests.docs.generated.schema import schema_page
from tests.docs.pages import DOCS

FOLDER = DOCS / "reference"


async def generated_pages() -> Mapping[Path, str]:
    """Write the pages that no other command writes.

    Returns:
        The text of each file.
    """
    return {
        FOLDER / "cli.md": cli_page(),
        FOLDER / "file.md": file_page(),
        FOLDER / "http.md": await http_page(),
        FOLDER / "schema.md": schema_page(),
    }
