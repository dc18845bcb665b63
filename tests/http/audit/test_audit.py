"""The audit suite of GraphQL over HTTP, by those who write the specification."""

import asyncio
import io
import os
from asyncio.subprocess import PIPE
from collections import Counter
from pathlib import Path

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from app.http.graphiql.build import BuildError, Node, find_node
from app.main import create_app
from app.observability.logs import make_log
from tests.fakes import FakeServices, settings_for_fakes
from tests.wire import served

FOLDER = Path(__file__).parent
NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
LONGEST = 120.0
"""Seconds that npm and the audit may take."""

KNOWN_NOTICES = frozenset(
    {
        # A GET without a header that a browser would ask about is refused: CSRF.
        *("5A70", "D6D5", "6A70"),
        # JSON that is no GraphQL request has status 422 since the September 2026 edition of the
        # specification; the suite is older.
        *("423L", "LKJ0", "LKJ1", "LKJ2", "LKJ3", "6C00", "6C01", "6C02", "6C03"),
        *("4760", "4761", "4762", "4763", "58B0", "58B1", "58B2", "58B3", "3E3A"),
    }
)
"""What the suite calls MAY, and is done otherwise here."""


class Audit(BaseModel):
    """What came of one audit."""

    id: str = Field(description="Its name in the suite.")
    name: str = Field(description="What it wants, with MUST, SHOULD or MAY.")
    status: str = Field(description="ok, notice (a MAY), warn (a SHOULD) or error (a MUST).")
    reason: str | None = Field(default=None, description="What was otherwise.")


_AUDITS = TypeAdapter(list[Audit])


async def run(*command: str) -> bytes:
    """Run a program in the folder of the suite, and give what it prints."""
    process = await asyncio.create_subprocess_exec(*command, cwd=FOLDER, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(LONGEST):
            printed, complained = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    if process.returncode:
        raise OSError(f"{command}: {complained.decode(errors='replace')}")
    return printed


@pytest.fixture
async def node() -> Node:
    """Give Node with the suite installed. Without one the test is skipped; on CI it fails."""
    try:
        found = find_node(os.environ.get("PATH", ""))
        if not (FOLDER / "node_modules" / "graphql-http").is_dir():
            await run(*found.npm, *NPM_CI)
    except (BuildError, OSError, TimeoutError) as error:
        reason = f"the audit suite cannot be had: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


async def test_every_must_and_every_should_is_kept(node: Node, services: FakeServices) -> None:
    settings = settings_for_fakes(introspection=True)  # the suite asks for types
    log = make_log(settings.log, stream=io.StringIO())
    app = create_app(settings, log, transports=services.transport)
    async with served(app) as address:
        printed = await run(*node.node, "audit.mjs", address.url)

    audits = _AUDITS.validate_json(printed)
    failed = [one for one in audits if one.status in {"warn", "error"}]
    notices = {one.id for one in audits if one.status == "notice"}
    assert not failed
    assert notices == KNOWN_NOTICES
    assert Counter(one.status for one in audits)["ok"] >= 40
