"""Makes the pictures of the React example: `python -m tests.examples.pictures [FOLDER]`.

Without a folder, it makes the pictures of the documentation again, with that of GraphiQL's Trace.
"""

import asyncio
import itertools
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.async_api import Page

from app.demo.people import people
from tests.examples.react import (
    FOLDER,
    INSTALL,
    ROOT,
    Switches,
    build,
    gateway_at,
    served_site,
)
from tests.examples.serving import free_port
from tests.npm import node_with
from tests.server.graphiql.browsing import open_page, running_browser, running_demo

HEIGHTS = {1440: 760, 390: 844}
State = Literal["up", "down", "loading", "invoices"]


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        name: Its file, without the ending.
        state: All sources are up, billing is down, billing is still loading, or the invoices of
            a user are open.
        width: Of the window, in pixels.
        theme: Of the browser.
    """

    name: str
    state: State
    width: int
    theme: Literal["light", "dark"]


DOCUMENTED = (
    Picture("react-billing-down", "down", 1440, "light"),
    Picture("react-loading-dark", "loading", 1440, "dark"),
)


def all_pictures() -> Sequence[Picture]:
    """List the pictures of each state in each width and theme."""
    states: tuple[State, ...] = ("up", "down", "loading", "invoices")
    themes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    return [
        Picture(f"{state}-{width}-{theme}", state, width, theme)
        for state, width, theme in itertools.product(states, HEIGHTS, themes)
    ]


def shown_users() -> Sequence[str]:
    """Choose fifty users with Latin names, for which every machine has a font."""
    latin = (
        str(person.user.id)
        for person in people()
        if all(
            unicodedata.name(one).startswith("LATIN")
            for one in person.user.display_name
            if one.isalpha()
        )
    )
    return [*itertools.islice(latin, 50)]


async def take(
    page: Page, switches: Switches, address: str, picture: Picture, folder: Path
) -> None:
    """Take a picture.

    Args:
        page: A page of a browser.
        switches: The switches of the services.
        address: The address of the example.
        picture: The picture to take.
        folder: The folder for the picture.
    """
    switches.billing.status = 503 if picture.state == "down" else None
    if picture.state == "loading":
        switches.billing.free.clear()
    await page.set_viewport_size({"width": picture.width, "height": HEIGHTS[picture.width]})
    await page.emulate_media(color_scheme=picture.theme, reduced_motion="reduce")
    await page.goto(f"{address}?ids={','.join(shown_users())}")
    await page.locator(".sources li[data-state='ready']", has_text="Activity").wait_for()
    if picture.state != "loading":
        await page.locator("table[aria-busy='false']").wait_for()
    if picture.state == "invoices":
        await page.get_by_role("button", name="Invoices of").first.click()
        await page.locator("dialog tbody tr").first.wait_for()
    await page.screenshot(path=folder / f"{picture.name}.png")
    switches.billing.free.set()
    await page.locator("table[aria-busy='false']").first.wait_for()


def installed_chromium() -> str:
    """Find the browser."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium is not None, "there is no chromium on the PATH"
    return chromium


async def make_trace(folder: Path) -> None:
    """Take a picture of GraphiQL's Trace of a query while billing is down.

    Args:
        folder: The folder for the picture.
    """
    async with (
        running_demo("--port", "0", "--ports", "0,0,0", "--fail", "billing=503") as address,
        running_browser(installed_chromium()) as browser,
        open_page(browser) as (page, _),
    ):
        await page.set_viewport_size({"width": 1440, "height": 760})
        await page.goto(address)
        await page.get_by_role("button", name="Show Trace").click()
        bar = await page.locator(".graphiql-horizontal-drag-bar").first.bounding_box()
        assert bar is not None
        await page.mouse.move(bar["x"] + bar["width"] / 2, 300)
        await page.mouse.down()
        await page.mouse.move(700, 300, steps=8)
        await page.mouse.up()
        panel = page.get_by_role("region", name="Trace")
        await panel.get_by_role("button", name="Run").click()
        await panel.get_by_role("table", name="Waits and attempts at each source").wait_for()
        await panel.get_by_text("Plan", exact=True).click()  # folds it, for the calls below it
        await page.screenshot(path=folder / "graphiql-trace.png")


async def make(pictures: Sequence[Picture], folder: Path) -> None:
    """Make pictures.

    Args:
        pictures: The pictures to make.
        folder: The folder for the pictures.
    """
    chromium = installed_chromium()
    node, port = node_with(FOLDER, search_path="", install=INSTALL), free_port()
    with tempfile.TemporaryDirectory() as work:
        gateway = {"VITE_GATEWAY_URL": f"http://127.0.0.1:{port}/graphql"}
        built = build(node, Path(work), gateway)
        assert not built.complaint, built.complaint
        async with (
            gateway_at(port) as switches,
            served_site(built) as address,
            running_browser(chromium) as browser,
            open_page(browser) as (page, _),
        ):
            for picture in pictures:
                await take(page, switches, address, picture, folder)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(make(all_pictures(), Path(sys.argv[1])))
    else:
        asyncio.run(make(DOCUMENTED, ROOT / "docs/images"))
        asyncio.run(make_trace(ROOT / "docs/images"))
