"""The page in a real browser: over the real demo, and each example in both ways."""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, Route, expect

from app.server.graphiql.build import FOLDER
from tests.examples.serving import serve_over_demo
from tests.server.graphiql.browsing import open_page, running_demo
from tests.ways import BOTH, Ways

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

EXAMPLES = ["OneUser", "FiftyUsers", "ProfileOnly", "InvoicePages", "MaybeBilling", "Entities"]
SLOW_MS = 45_000.0  # five megabytes of script, on a machine with other work
USER_7 = "00000000-0000-4000-8000-000000000007"
USER_50 = "00000000-0000-4000-8000-000000000050"


@pytest.fixture
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


async def test_a_person_explores_the_demo_and_no_other_host_is_asked(chromium: str) -> None:
    async with running_demo() as address, open_page(chromium) as (page, seen):
        await page.goto(address)
        await expect(page).to_have_title("User gateway · GraphiQL")
        await expect(page.locator(".graphiql-tab-button")).to_have_text(EXAMPLES, timeout=SLOW_MS)
        await _type_and_run(page)
        await _read_the_documentation(page)
        await _open_the_explorer(page)
        await _come_back(page)
        assert seen.hosts == {urlsplit(address).netloc}
        assert seen.complaints == []


@pytest.mark.parametrize("ways", BOTH, ids=str)
async def test_every_example_answers_without_an_error(
    chromium: str, tmp_path: Path, ways: Ways
) -> None:
    shown = {
        "GATEWAY_AUTH__MODE": "none",
        "GATEWAY_GRAPHIQL": "true",
        "GATEWAY_INTROSPECTION": "true",
        "GATEWAY_TRACE": "asked",
        "GATEWAY_EXPLAIN": "true",
    }
    async with (
        serve_over_demo(tmp_path, {**shown, **ways.variables}) as address,
        open_page(chromium) as (page, seen),
    ):
        await page.goto(address)
        for name in EXAMPLES:
            await page.get_by_role("tab", name=name).click()
            await _taken_in(page, f"query {name}")
            async with page.expect_response(address) as answered:
                await page.get_by_role("button", name="Execute query").click()
            answer = await (await answered.value).json()
            assert "errors" not in answer, name
            assert all(answer["data"].values()), name
            if name == "FiftyUsers":
                assert [user["id"] for user in answer["data"]["users"]][49:] == [USER_50]
        assert seen.complaints == []


async def test_the_stop_button_ends_the_request(chromium: str) -> None:
    async with running_demo() as address, open_page(chromium) as (page, _):
        await page.goto(address)
        await expect(page.locator(".graphiql-query-editor")).to_contain_text(
            "OneUser", timeout=SLOW_MS
        )
        await page.route("**/graphql", _never_answer)
        async with page.expect_event("requestfailed") as failed:
            await page.get_by_role("button", name="Execute query").click()
            await page.get_by_role("button", name="Stop query").click()
        assert (await failed.value).failure == "net::ERR_ABORTED"
        await expect(page.get_by_role("button", name="Execute query")).to_be_visible()


async def _type_and_run(page: Page) -> None:
    """Types a query into a new tab, key by key, and sees the answer."""
    await page.get_by_role("button", name="New tab").click()
    await page.locator(".graphiql-query-editor .monaco-editor").click()
    await page.keyboard.type(f'query Typed {{ user(id: "{USER_7}") {{ id username')
    await _taken_in(page, "query Typed")
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
    """Opens the explorer, which knows the query that was typed and what else may be asked."""
    await page.get_by_role("button", name="Show GraphiQL Explorer").click()
    explorer = page.locator(".graphiql-explorer-root")
    await expect(explorer.get_by_text("displayName")).to_be_visible()


async def _come_back(page: Page) -> None:
    """Loads the page again and finds all as it was."""
    # As a function: the page's policy forbids to evaluate a string.
    await page.wait_for_function("() => localStorage['graphiql:tabState'].includes('query Typed')")
    await page.reload()
    await expect(page.locator(".graphiql-tab-button")).to_have_text(
        [*EXAMPLES, "Typed"], timeout=SLOW_MS
    )
    await expect(page.locator(".graphiql-query-editor")).to_contain_text("Typed")


async def _taken_in(page: Page, text: str) -> None:
    """Waits until GraphiQL has read what its editor shows, a moment after it is there."""
    await page.wait_for_function("text => localStorage['graphiql:query']?.includes(text)", arg=text)


async def _never_answer(route: Route) -> None:
    """Leaves a request waiting."""
