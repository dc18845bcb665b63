"""The real demo as a process, and a browser that records hosts and errors."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, async_playwright

from tests.demo_data import demo_data

_ARGUMENTS = (
    "--no-sandbox",  # containers run tests as root, which Chromium's sandbox refuses
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_START_S = 40.0
_STOP_S = 5.0
_STEP_MS = 30_000.0


@dataclass
class BrowserReports:
    """The hosts and messages that the browser reported while the page was open."""

    hosts: set[str] = field(default_factory=set[str])
    complaints: list[str] = field(default_factory=list[str])


@asynccontextmanager
async def running_demo(*arguments: str) -> AsyncGenerator[str]:
    """Runs the demo, on free ports by default; yields the address that it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "demo", *(arguments or ("--port", "0"))),
        *("--data", str(demo_data())),
        stdout=PIPE,
        stderr=STDOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    output = process.stdout
    if output is None:
        raise AssertionError("asked for a pipe and got none")
    try:
        async with asyncio.timeout(_START_S):
            address = await _address(output)
        # All later output fits into the pipe and asyncio's buffer.
        yield address
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()


async def _address(output: asyncio.StreamReader) -> str:
    """Returns the first address of an endpoint that the demo prints."""
    lines: list[str] = []
    while line := await output.readline():
        lines.append(line.decode())
        if found := re.search(r"http://[\w.:-]+/graphql", lines[-1]):
            return found[0]
    raise AssertionError("the demo ended without an address:\n" + "".join(lines))


@asynccontextmanager
async def running_browser(chromium: str) -> AsyncGenerator[Browser]:
    """Runs a browser."""
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS) as browser,
    ):
        yield browser


@asynccontextmanager
async def open_page(browser: Browser) -> AsyncGenerator[tuple[Page, BrowserReports]]:
    """Opens a page in a new, empty profile."""
    seen = BrowserReports()
    async with await browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        context.set_default_timeout(_STEP_MS)
        page = await context.new_page()
        context.on("request", lambda request: _note_host(seen, request.url))
        context.on(
            "console",
            lambda message: (
                seen.complaints.append(message.text)
                if message.type in ("error", "warning")
                else None
            ),
        )
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("websocket", lambda socket: _note_host(seen, socket.url))
        # The console shows most violations, but not those of report-only policies.
        await page.add_init_script(
            "addEventListener('securitypolicyviolation', event =>"
            " console.error('blocked by policy', event.effectiveDirective, event.blockedURI))"
        )
        yield page, seen


def _note_host(seen: BrowserReports, url: str) -> None:
    """Records the host of an address, if it has one: data and blob addresses have none."""
    if host := urlsplit(url).netloc:
        seen.hosts.add(host)
