"""The built site in a real browser: the search works, and no page loads from another host."""

import shutil
import subprocess
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from tests.docs.pages import DOCS, ROOT
from tests.examples.serving import serving
from tests.server.graphiql.browsing import open_page, running_browser

SITE = ROOT / "build" / "site"
TOOLS = ROOT / "build" / "docs-tools" / "bin" / "python"
BUILDER = ROOT / ".ci" / "site.py"
PAGES = ("", "tutorial/your-own-user/", "reference/settings/", "explanation/architecture/")

pytestmark = pytest.mark.browser


@pytest.fixture
def chromium() -> str:
    """Find the browser, or skip the test."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("there is no chromium")
    return found


@pytest.fixture
def site() -> Path:
    """Find the site, and build it again (two seconds) if it is older than its sources."""
    if not TOOLS.exists():
        pytest.skip("there are no tools for the site: make docs")
    if not _is_current():
        done = subprocess.run(  # noqa: S603 # programs of this repository
            (TOOLS, BUILDER), check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return SITE


def _is_current() -> bool:
    """Return whether the site is newer than all its sources."""
    built = SITE / "index.html"
    made_of = (ROOT / "zensical.toml", BUILDER, DOCS, *DOCS.rglob("*"))
    return built.exists() and built.stat().st_mtime > max(one.stat().st_mtime for one in made_of)


async def test_the_search_works_and_no_other_host_is_called(chromium: str, site: Path) -> None:
    application = Starlette(routes=[Mount("/", StaticFiles(directory=site, html=True))])
    async with (
        serving("site", application) as address,
        running_browser(chromium) as browser,
        open_page(browser) as (page, seen),
    ):
        for path in PAGES:
            await page.goto(f"{address}/{path}")
            assert await page.locator("h1").count() == 1
        await page.keyboard.press("Control+k")
        await page.keyboard.type("circuit breaker")
        await page.get_by_role("link", name="Partial answers").first.wait_for()

    assert seen.hosts == {address.removeprefix("http://")}
    assert seen.complaints == []
