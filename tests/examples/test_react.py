"""The React example, built by its README and run in a real browser over the demo."""

import itertools
import os
import re
import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect
from pydantic import BaseModel, Field

from app.server.graphiql.build import NodePrograms
from tests.clients.conftest import FOLDER as CLIENTS
from tests.examples.react import FOLDER, INSTALL, Built, Switches, build, gateway_at, served_site
from tests.examples.serving import free_port
from tests.npm import node_with
from tests.server.graphiql.browsing import BrowserReports, open_page, running_browser, running_demo

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(INSTALL + 120),
    pytest.mark.asyncio(loop_scope="module"),
]

NAMES = ["Fernanda Araújo", "Larissa Araújo"]
SHOWN = 50
SLOW_MS = 45_000.0  # on a machine with other work


@pytest.fixture(scope="module")
def node() -> NodePrograms:
    """Give Node with the packages of the example."""
    return node_with(FOLDER, search_path="", install=INSTALL)


@pytest.fixture(scope="module")
def port() -> int:
    """Give the port of the gateway, which is written into the page."""
    return free_port()


@pytest.fixture(scope="module")
def built(node: NodePrograms, port: int, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the example once."""
    address = {"VITE_GATEWAY_URL": f"http://127.0.0.1:{port}/graphql"}
    made = build(node, tmp_path_factory.mktemp("react"), address)
    assert not made.complaint
    return made


@pytest.fixture(scope="module")
def chromium() -> str:
    """Give the path of Chromium. Without it the test is skipped; on CI it fails."""
    if found := shutil.which("chromium") or shutil.which("chromium-browser"):
        return found
    reason = "there is no chromium on the PATH"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncGenerator[Browser]:
    """Run one browser for all pages; each page has its own profile."""
    async with running_browser(chromium) as running:
        yield running


@dataclass(frozen=True)
class Visit:
    """A page in a browser, over a gateway.

    Attributes:
        page: The page.
        seen: The reports of the browser.
        switches: The switches of the services.
        address: The address of the page.
    """

    page: Page
    seen: BrowserReports
    switches: Switches
    address: str

    @property
    def rows(self) -> Locator:
        """The rows of users."""
        return self.page.get_by_role("table", name="Users").locator("tbody tr")

    async def shows(self, source: str, text: str) -> None:
        """Wait until the page shows a text for a source."""
        states = self.page.locator(".sources")
        await expect(states).to_contain_text(f"{source} {text}", timeout=SLOW_MS)

    async def is_complete(self) -> None:
        """Wait until all data of all users is shown."""
        await expect(self.rows).to_have_count(SHOWN, timeout=SLOW_MS)
        for source in ("Profile", "Billing", "Activity"):
            await self.shows(source, "up to date")


@pytest_asyncio.fixture(loop_scope="module")
async def visit(built: Built, browser: Browser, port: int) -> AsyncGenerator[Visit]:
    """Run a gateway and a browser, which has not opened the page yet."""
    async with (
        gateway_at(port) as switches,
        served_site(built) as address,
        open_page(browser) as (page, seen),
    ):
        yield Visit(page, seen, switches, address)


async def test_names_are_shown_first_and_deferred_parts_when_they_arrive(visit: Visit) -> None:
    visit.switches.billing.free.clear()
    visit.switches.activity.free.clear()
    first = visit.rows.first

    await visit.page.goto(visit.address)
    await expect(first).to_contain_text(NAMES[0], timeout=SLOW_MS)
    await expect(visit.rows).to_have_count(SHOWN)
    await visit.shows("Billing", "loading")
    await visit.shows("Activity", "loading")
    await expect(first.locator(".skeleton")).to_have_count(4)
    await expect(visit.page.get_by_role("table", name="Users")).to_have_attribute(
        "aria-busy", "true"
    )
    visit.switches.activity.free.set()
    await visit.shows("Activity", "up to date")
    await expect(first).to_contain_text("Apr 19, 2026")
    await expect(first.locator(".skeleton")).to_have_count(3)
    never_seen = visit.rows.filter(has_text=NAMES[1])
    await expect(never_seen).to_contain_text("None")
    visit.switches.billing.free.set()
    await visit.is_complete()

    await expect(first).to_contain_text("Pro")
    await expect(first).to_contain_text("Active")
    await expect(first).to_contain_text("R$0.00")
    await expect(visit.page.locator(".skeleton")).to_have_count(0)
    await expect(visit.page.get_by_role("table", name="Users")).to_have_attribute(
        "aria-busy", "false"
    )
    assert visit.seen.complaints == []


async def test_a_source_that_is_down_is_shown_beside_the_data(
    visit: Visit,
) -> None:
    visit.switches.billing.status = 503

    await visit.page.goto(visit.address)
    await visit.shows("Billing", "unavailable")
    await expect(visit.rows).to_have_count(SHOWN)
    for name in NAMES:
        row = visit.rows.filter(has_text=name)
        await expect(row).to_contain_text("Billing is unavailable")
    await expect(visit.rows.first).to_contain_text("Apr 19, 2026")
    notice = visit.page.get_by_role("status")
    await expect(notice).to_contain_text("The billing source is unavailable.")
    await expect(notice).to_contain_text("missing for 50 of 50 users")
    visit.switches.billing.status = None
    visit.switches.billing.free.clear()
    await notice.get_by_role("button", name="Try again").press("Enter")
    await visit.shows("Billing", "loading")
    await visit.shows("Profile", "up to date")
    await expect(visit.rows.first.locator(".skeleton")).to_have_count(3)
    visit.switches.billing.free.set()
    await visit.is_complete()

    await expect(visit.rows.first).to_contain_text("Pro")
    await expect(notice).to_be_empty()
    assert visit.seen.complaints == []


async def test_only_the_names_are_missing_without_profile(visit: Visit) -> None:
    visit.switches.profile.status = 503

    await visit.page.goto(visit.address)
    await visit.shows("Profile", "unavailable")
    await visit.shows("Billing", "up to date")

    await expect(visit.rows).to_have_count(SHOWN)
    await expect(visit.rows.first).to_contain_text("Profile is unavailable")
    await expect(visit.rows.first).to_contain_text("Pro")


async def test_a_failed_deferred_part_does_not_wait_for_the_other(visit: Visit) -> None:
    visit.switches.billing.status = 503
    visit.switches.activity.free.clear()

    await visit.page.goto(visit.address)
    await expect(visit.rows.first).to_contain_text("Billing is unavailable", timeout=SLOW_MS)
    await visit.shows("Activity", "loading")
    visit.switches.activity.free.set()

    await visit.shows("Activity", "up to date")
    await visit.shows("Billing", "unavailable")


async def test_invoices_are_shown_in_pages_and_kept_when_a_page_fails(visit: Visit) -> None:
    await visit.page.goto(visit.address)
    await visit.is_complete()
    button = visit.page.get_by_role("button", name=f"Invoices of {NAMES[0]}")
    await button.press("Enter")
    dialog = visit.page.get_by_role("dialog", name=f"Invoices of {NAMES[0]}")
    invoices = dialog.locator("tbody tr")
    more = dialog.get_by_role("button", name="Show more")
    await expect(invoices).to_have_count(5, timeout=SLOW_MS)
    visit.switches.billing.status = 503
    await more.press("Enter")
    await expect(dialog.get_by_role("status")).to_contain_text("The billing source is unavailable.")
    await expect(invoices).to_have_count(5)
    visit.switches.billing.status = None
    await more.press("Enter")
    await expect(invoices).to_have_count(10, timeout=SLOW_MS)
    await expect(dialog.get_by_role("status")).to_be_empty()
    numbers = await invoices.locator("th").all_inner_texts()
    while await more.is_visible():
        count = await invoices.count()
        await more.press("Enter")
        await expect(invoices.nth(count)).to_be_visible(timeout=SLOW_MS)
        await expect(dialog.get_by_role("status")).to_be_empty()
    await visit.page.keyboard.press("Escape")

    assert numbers == sorted(set(numbers), reverse=True)
    await expect(dialog).to_be_hidden()
    await expect(button).to_be_focused()
    assert visit.seen.complaints == []


async def test_unknown_users_are_left_out_and_an_empty_list_is_explained(visit: Visit) -> None:
    known, unknown = (f"00000000-0000-4000-8000-{number:012d}" for number in (3, 999_999))

    await visit.page.goto(f"{visit.address}?ids={unknown},{known}")
    await expect(visit.rows).to_have_count(1, timeout=SLOW_MS)
    await expect(visit.rows).to_contain_text(NAMES[1])
    await visit.page.goto(f"{visit.address}?ids={unknown}")

    await expect(visit.page.get_by_text("There are no users with these ids.")).to_be_visible()


async def test_a_failed_request_is_explained(visit: Visit) -> None:
    await visit.page.goto(f"{visit.address}?ids=not%20an%20id%21")
    alert = visit.page.get_by_role("alert")

    await expect(alert).to_contain_text("The users cannot be shown.", timeout=SLOW_MS)
    await expect(alert).to_contain_text("id")
    await expect(alert.get_by_role("button")).to_have_count(0)


async def test_an_unreachable_gateway_is_shown_and_can_be_retried(
    built: Built, browser: Browser, port: int
) -> None:
    async with served_site(built) as address, open_page(browser) as (page, _):
        await page.goto(address)
        alert = page.get_by_role("alert")
        await expect(alert).to_contain_text("The gateway could not be asked", timeout=SLOW_MS)
        async with gateway_at(port):
            await alert.get_by_role("button", name="Try again").press("Enter")
            await expect(page.locator("tbody tr")).to_have_count(SHOWN, timeout=SLOW_MS)


class Violation(BaseModel):
    """A rule of accessibility that the page breaks."""

    id: str = Field(description="The rule.")
    help: str = Field(description="The expected form.")


async def test_the_page_is_accessible_in_each_width_and_theme(visit: Visit) -> None:
    node_with(CLIENTS, search_path="", install=INSTALL)
    visit.switches.billing.status = 503
    visit.switches.activity.free.clear()
    page = visit.page
    await page.goto(visit.address)
    await visit.shows("Billing", "unavailable")

    assert await violations(page) == []
    visit.switches.activity.free.set()
    visit.switches.billing.status = None
    await visit.shows("Activity", "up to date")
    await page.get_by_role("button", name="Try again").click()
    await visit.is_complete()
    assert await violations(page) == []
    await page.get_by_role("button", name=f"Invoices of {NAMES[0]}").click()
    await expect(page.get_by_role("dialog").locator("tbody tr")).to_have_count(5, timeout=SLOW_MS)
    assert await violations(page) == []
    assert visit.seen.complaints == []


THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


async def violations(page: Page) -> list[tuple[int, str, Violation]]:
    """Check the page by axe in each width and theme, and check that it fits in the window."""
    await page.add_script_tag(path=CLIENTS / "node_modules/axe-core/axe.min.js")
    found: list[tuple[int, str, Violation]] = []
    for width, theme in itertools.product((1440, 390), THEMES):
        await page.set_viewport_size({"width": width, "height": 844})
        # An animation changes the colours while they are measured.
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth"), width
        broken = await page.evaluate("axe.run().then(({ violations }) => violations)")
        found += [(width, theme, Violation.model_validate(one)) for one in broken]
    return found


async def test_the_page_works_over_the_demo_as_in_its_readme(
    built: Built, browser: Browser, port: int
) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    [arguments] = re.findall(r'^make demo ARGS="(.*)"$', readme, flags=re.MULTILINE)
    async with (
        running_demo("--port", str(port), "--ports", "0,0,0", *arguments.split()) as gateway,
        served_site(built) as address,
        open_page(browser) as (page, seen),
    ):
        assert gateway == f"http://127.0.0.1:{port}/graphql"
        await page.goto(address)
        rows = page.locator("tbody tr")
        await expect(rows).to_have_count(SHOWN, timeout=SLOW_MS)
        await expect(page.locator(".sources")).to_contain_text("Billing up to date")
        await expect(page.locator(".sources")).to_contain_text("Activity up to date")
        await expect(rows.first).to_contain_text("Pro")
        assert seen.complaints == []


async def test_the_page_sends_hashes_to_a_gateway_with_trusted_documents(
    node: NodePrograms, browser: Browser, port: int, tmp_path: Path
) -> None:
    hashes = {
        "VITE_GATEWAY_URL": f"http://127.0.0.1:{port}/graphql",
        "VITE_TRUSTED_DOCUMENTS": "true",
    }
    built = build(node, tmp_path, hashes)
    assert not built.complaint
    trusted = {
        "GATEWAY_TRUSTED__PATH": str(built.manifest),
        "GATEWAY_TRUSTED__MODE": "only",
    }
    sent: list[str] = []
    async with (
        gateway_at(port, trusted) as switches,
        served_site(built) as address,
        open_page(browser) as (page, seen),
    ):
        page.on("request", lambda request: sent.append(request.post_data or ""))
        switches.billing.free.clear()
        await page.goto(address)
        await expect(page.locator("tbody tr")).to_have_count(SHOWN, timeout=SLOW_MS)
        await expect(page.locator(".sources")).to_contain_text("Billing loading")
        switches.billing.free.set()
        await expect(page.locator(".sources")).to_contain_text("Billing up to date")
        await page.get_by_role("button", name=f"Invoices of {NAMES[0]}").click()
        invoices = page.get_by_role("dialog").locator("tbody tr")
        await expect(invoices).to_have_count(5, timeout=SLOW_MS)
        assert seen.complaints == []
    assert any("sha256Hash" in body for body in sent)
    assert not any('"query"' in body for body in sent)
