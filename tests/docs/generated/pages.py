"""The generated pages, by their files."""

from collections.abc import Mapping
from pathlib import Path

from app.cli.errors import table_of_codes, typescript_of_codes
from tests.docs.generated.cli import cli_page
from tests.docs.generated.file import file_page
from tests.docs.generated.http import http_page
from tests.docs.generated.log_events import log_events_page
from tests.docs.generated.metrics import metrics_page
from tests.docs.generated.schema import schema_page
from tests.docs.generated.settings import settings_page
from tests.docs.pages import DOCS

FOLDER = DOCS / "reference"
LOG_EVENTS = DOCS / "operations" / "log-events.md"
METRICS = DOCS / "operations" / "metrics.md"


async def generated_pages() -> Mapping[Path, str]:
    """Write all pages of the reference that are written from the code, and a list for programs.

    Returns:
        The text of each file.
    """
    return {
        DOCS / "clients" / "error-codes.ts": typescript_of_codes(),
        LOG_EVENTS: log_events_page(LOG_EVENTS.read_text(encoding="utf-8")),
        METRICS: metrics_page(METRICS.read_text(encoding="utf-8")),
        FOLDER / "cli.md": cli_page(),
        FOLDER / "errors.md": table_of_codes(),
        FOLDER / "file.md": file_page(),
        FOLDER / "http.md": await http_page(),
        FOLDER / "schema.md": schema_page(),
        FOLDER / "settings.md": settings_page(),
    }
