"""The built site in a real browser: search works, and no page asks another host."""

import shutil

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from tests.docs.pages import ROOT
from tests.examples.serving import serving
from tests.server.graphiql.browsing import open_page, running_browser

SITE = ROOT / "build" / "site"
PAGES = ("", "tutorial/your-own-user/", "reference/settings/", "explanation/architecture/")

pytestmark = pytest.mark.browser


@pytest.fixture
def chromium() -> str:
    """Find the browser; without it, or without the site (`make docs`), there is nothing to test."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None or not (SITE / "index.html").exists():
        pytest.skip("there is no chromium, or no site: make docs")
    return found


async def test_a_reader_searches_and_no_other_host_is_asked(chromium: str) -> None:
    application = Starlette(routes=[Mount("/", StaticFiles(directory=SITE, html=True))])
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
