"""The page in a real browser, over the real demo, and each example both ways."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncGenerator
from typing import Literal
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from app.server.graphiql.build import FOLDER
from tests.examples.serving import serve_over_demo
from tests.server.graphiql.browsing import open_page, running_browser, running_demo
from tests.ways import BOTH, Ways

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]

EXAMPLES = ["OneUser", "FiftyUsers", "ProfileOnly", "InvoicePages", "MaybeBilling", "Entities"]
SLOW_MS = 45_000.0  # five megabytes of script, on a busy machine
SHOWN = {
    "GATEWAY_AUTH__MODE": "none",
    "GATEWAY_GRAPHIQL": "true",
    "GATEWAY_INTROSPECTION": "true",
    "GATEWAY_TRACE": "asked",
    "GATEWAY_EXPLAIN": "true",
}
DEADLINE = {"GATEWAY_DEADLINE__BUDGET": "1"}
USER_7 = "00000000-0000-4000-8000-000000000007"
USER_50 = "00000000-0000-4000-8000-000000000050"


@pytest.fixture(scope="module")
def chromium() -> str:
    """The path of the machine's Chromium. Without one the test is skipped; on CI it fails."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    built = (FOLDER / "dist" / "manifest.json").exists()
    if found and built:
        return found
    reason = "GraphiQL is not built: make graphiql" if found else "there is no chromium on the PATH"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncGenerator[Browser]:
    """Run one browser for all pages; each page has its own profile."""
    async with running_browser(chromium) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo() -> AsyncGenerator[str]:
    """Run the demo, and return its address; no test changes it."""
    async with running_demo() as address:
        yield address


async def test_a_user_explores_the_demo_without_requests_to_other_hosts(
    browser: Browser, demo: str
) -> None:
    async with open_page(browser) as (page, seen):
        await page.goto(demo)
        await expect(page).to_have_title("User gateway · GraphiQL")
        await expect(page.locator(".graphiql-tab-button")).to_have_text(EXAMPLES, timeout=SLOW_MS)
        await _type_and_run(page)
        await _read_the_documentation(page)
        await _open_the_explorer(page)
        await _reload_the_page(page)
        assert seen.hosts == {urlsplit(demo).netloc}
        assert seen.complaints == []


@pytest.mark.parametrize("ways", BOTH, ids=str)
async def test_every_example_runs_without_an_error(browser: Browser, ways: Ways) -> None:
    async with (
        serve_over_demo({**SHOWN, **ways.variables}) as address,
        open_page(browser) as (page, seen),
    ):
        await page.goto(address)
        for name in EXAMPLES:
            await page.get_by_role("tab", name=name).click()
            await _wait_for_query(page, f"query {name}")
            async with page.expect_response(address) as answered:
                await page.get_by_role("button", name="Execute query").click()
            answer = await (await answered.value).json()
            assert "errors" not in answer, name
            assert all(answer["data"].values()), name
            if name == "FiftyUsers":
                assert [user["id"] for user in answer["data"]["users"]][49:] == [USER_50]
        assert seen.complaints == []


async def test_the_stop_button_ends_the_request(browser: Browser, demo: str) -> None:
    async with open_page(browser) as (page, _):
        await page.goto(demo)
        await expect(page.locator(".graphiql-query-editor")).to_contain_text(
            "OneUser", timeout=SLOW_MS
        )
        await page.route("**/graphql", _never_answer)
        async with page.expect_event("requestfailed") as failed:
            await page.get_by_role("button", name="Execute query").click()
            await page.get_by_role("button", name="Stop query").click()
        assert (await failed.value).failure == "net::ERR_ABORTED"
        await expect(page.get_by_role("button", name="Execute query")).to_be_visible()


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
async def test_the_trace_panel_shows_the_plan_and_the_waterfall_of_a_run(
    browser: Browser, width: int, theme: Literal["light", "dark"]
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()

    async with (
        await asyncio.start_server(silent, "127.0.0.1", 0) as billing,
        serve_over_demo(
            {**SHOWN, **DEADLINE, "GATEWAY_SOURCES__BILLING__BASE_URL": _url(billing)}
        ) as address,
        open_page(browser) as (page, seen),
    ):
        await page.set_viewport_size({"width": width, "height": 844})
        await page.emulate_media(color_scheme=theme)
        await page.goto(address)
        await _wait_for_graphiql(page)
        await page.get_by_role("button", name="Show Trace").press("Enter")
        panel = page.get_by_role("region", name="Trace")
        plan = panel.get_by_role("list", name="Plan of OneUser")
        await expect(plan.get_by_role("list", name="Sources of step 1")).to_contain_text(
            "GET /accounts?userId=…"
        )
        await expect(plan).to_contain_text("fields: plan, billingStatus, balance")
        await expect(plan).to_contain_text("of the record: balance, plan, status")
        await panel.get_by_role("button", name="Run").press("Enter")

        await expect(panel.get_by_role("status")).to_contain_text("OneUser was answered in")
        table = panel.get_by_role("table", name="Waits and attempts at each source")
        await expect(
            table.get_by_role("row", name="billing ✕ failed SOURCE_TIMEOUT")
        ).to_be_visible()
        cut_short = table.get_by_role("row").filter(has_text="SOURCE_TIMEOUT").last
        await expect(cut_short.get_by_role("rowheader")).to_have_text("call 1, 1 key")
        await expect(cut_short.locator(".trace-mark")).to_be_attached()
        await expect(panel).to_contain_text(re.compile(r"Deadline at [\d,.]+ ms: the dashed line"))
        await expect(table.get_by_role("row", name="profile ✓ ok")).to_be_visible()
        # No content is wider than its container, and each pane is wide enough to read.
        wider = await page.evaluate(
            "() => [document.documentElement, document.querySelector('.graphiql-plugin')]"
            ".some(one => one.scrollWidth > one.clientWidth)"
        )
        assert not wider
        for pane in (".graphiql-query-editor", ".graphiql-response", ".graphiql-plugin"):
            box = await page.locator(pane).bounding_box()
            assert box is not None
            assert box["width"] > 300, pane
        assert seen.hosts == {urlsplit(address).netloc}
        assert seen.complaints == []


async def test_each_payload_is_shown_as_soon_as_it_arrives(browser: Browser) -> None:
    answer = asyncio.Event()
    patient = {
        "GATEWAY_DEADLINE__BUDGET": "60",
        "GATEWAY_SOURCES__BILLING__TIMEOUT": "60",
        "GATEWAY_SOURCES__BILLING__RETRY__MAX_RETRIES": "0",
    }

    async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await answer.wait()
        writer.write(b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with (
        await asyncio.start_server(held, "127.0.0.1", 0) as billing,
        serve_over_demo(
            {**SHOWN, **patient, "GATEWAY_SOURCES__BILLING__BASE_URL": _url(billing)}
        ) as address,
        open_page(browser) as (page, seen),
    ):
        await page.goto(address)
        await _wait_for_graphiql(page)
        await page.get_by_role("button", name="New tab").click()
        await page.locator(".graphiql-query-editor .monaco-editor").click()
        text = f'query Late {{ user(id: "{USER_7}") {{ username ... @defer {{ plan'
        await page.keyboard.type(text)
        await _wait_for_query(page, "query Late")
        await page.keyboard.press("Control+Enter")
        shown = page.locator(".result-window")
        await expect(shown).to_contain_text("username", timeout=SLOW_MS)
        await expect(shown).not_to_contain_text("plan")
        await expect(page.get_by_role("button", name="Stop query")).to_be_visible()
        answer.set()

        await expect(shown).to_contain_text("plan", timeout=SLOW_MS)
        await expect(shown).to_contain_text("SOURCE_UNAVAILABLE")
        await expect(page.get_by_role("button", name="Execute query")).to_be_visible()
        assert seen.complaints == []


async def test_the_trace_panel_is_missing_without_reports_and_plans(browser: Browser) -> None:
    hidden = {"GATEWAY_TRACE": "never", "GATEWAY_EXPLAIN": "false"}
    async with (
        serve_over_demo({**SHOWN, **hidden}) as address,
        open_page(browser) as (page, _),
    ):
        await page.goto(address)
        await _wait_for_graphiql(page)
        await expect(page.get_by_role("button", name="Show Documentation Explorer")).to_be_visible()
        await expect(page.get_by_role("button", name="Show Trace")).to_have_count(0)


async def test_federation_types_are_hidden_in_the_documentation_and_valid_in_the_editor(
    browser: Browser, demo: str
) -> None:
    async with open_page(browser) as (page, seen):
        await page.goto(demo)
        await _wait_for_graphiql(page)
        await page.get_by_role("button", name="Show Documentation Explorer").click()
        documentation = page.locator(".graphiql-doc-explorer")
        await expect(documentation.get_by_text("User", exact=True)).to_be_visible()
        for name in ("_Any", "_Entity", "_Service"):
            await expect(documentation.get_by_text(name, exact=True)).to_have_count(0)
        await documentation.get_by_text("Query", exact=True).click()
        await expect(documentation.get_by_text("users", exact=True)).to_be_visible()
        for name in ("_entities", "_service"):
            await expect(documentation.get_by_text(name)).to_have_count(0)

        await page.get_by_role("tab", name="Entities").click()
        await _wait_for_query(page, "query Entities")
        await page.locator(".graphiql-query-editor .monaco-editor").click()
        await page.keyboard.press("Control+End")
        await page.keyboard.type("{ nobody }")
        # The editor marks the mistake, so it has checked the text; the example has no marks.
        marks = page.locator(".graphiql-query-editor .squiggly-error")
        await expect(marks.first).to_be_attached()
        lines = await marks.evaluate_all(
            "(marks, top) => marks.map(mark => mark.getBoundingClientRect().top - top)",
            await page.locator(".graphiql-query-editor .view-line").first.evaluate(
                "line => line.getBoundingClientRect().top"
            ),
        )
        assert min(lines) > 100, lines
        assert seen.complaints == []


async def test_unedited_variables_are_kept_after_a_reload(browser: Browser, demo: str) -> None:
    async with open_page(browser) as (page, _):
        await page.goto(demo)
        for _visit in range(2):
            await _wait_for_graphiql(page)
            variables = page.get_by_role("region", name="Variables")
            await expect(variables).to_contain_text("00000000-0000-4000-8000-000000000001")
            await expect(page.locator(".graphiql-tab-button")).to_have_text(EXAMPLES)
            await page.wait_for_function("() => localStorage['graphiql:tabState'] !== undefined")
            await page.reload()


async def _type_and_run(page: Page) -> None:
    """Types a query into a new tab, key by key, and checks the response."""
    await page.get_by_role("button", name="New tab").click()
    await page.locator(".graphiql-query-editor .monaco-editor").click()
    await page.keyboard.type(f'query Typed {{ user(id: "{USER_7}") {{ id username')
    await _wait_for_query(page, "query Typed")
    await page.keyboard.press("Control+Enter")
    answer = page.locator(".result-window")
    await expect(answer).to_contain_text(USER_7, timeout=SLOW_MS)
    await expect(answer).to_contain_text("username")
    await expect(answer).not_to_contain_text("errors")


async def _read_the_documentation(page: Page) -> None:
    """Finds the type `User` in the documentation, and its fields there."""
    await page.get_by_role("button", name="Show Documentation Explorer").click()
    documentation = page.locator(".graphiql-doc-explorer")
    await documentation.get_by_text("User", exact=True).click()
    await expect(documentation.get_by_text("displayName")).to_be_visible()


async def _open_the_explorer(page: Page) -> None:
    """Opens the explorer, and checks that it shows the fields of the typed query."""
    await page.get_by_role("button", name="Show GraphiQL Explorer").click()
    explorer = page.locator(".graphiql-explorer-root")
    await expect(explorer.get_by_text("displayName")).to_be_visible()


async def _reload_the_page(page: Page) -> None:
    """Loads the page again, and checks that tabs and query are kept."""
    # A function, because the page's policy forbids to evaluate a string.
    await page.wait_for_function("() => localStorage['graphiql:tabState'].includes('query Typed')")
    await page.reload()
    await expect(page.locator(".graphiql-tab-button")).to_have_text(
        [*EXAMPLES, "Typed"], timeout=SLOW_MS
    )
    await expect(page.locator(".graphiql-query-editor")).to_contain_text("Typed")


def _url(server: asyncio.Server) -> str:
    """Returns the address of a server."""
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _wait_for_graphiql(page: Page) -> None:
    """Waits until GraphiQL shows the first example."""
    editor = page.locator(".graphiql-query-editor")
    await expect(editor).to_contain_text("OneUser", timeout=SLOW_MS)


async def _wait_for_query(page: Page, text: str) -> None:
    """Waits until GraphiQL has stored the text of its editor."""
    await page.wait_for_function("text => localStorage['graphiql:query']?.includes(text)", arg=text)


async def _never_answer(route: Route) -> None:
    """Leaves a request without a response."""
