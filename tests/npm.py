"""Programs of others that npm installs: by `make test`, or by the first test that needs them."""

import asyncio
import os
import signal
import subprocess
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from app.http.graphiql.build import BuildError, Node, find_node

NPM_CI = (
    *("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"),
    # A machine without a network learns of it in seconds.
    *("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000"),
)
INSTALL = 45.0
"""Seconds that npm may take within a test, which has a minute. `make test` gives it more."""

START = 30.0
"""Seconds after which a program that has printed nothing counts as broken."""


def node_with(folder: Path, *, search_path: str | None = None) -> Node:
    """Find Node for the packages of a folder, and install these where they are missing.

    Where they cannot be had the test is skipped; on CI it fails.

    Args:
        folder: It has `package.json` and `package-lock.json`.
        search_path: Folders to look for Node in; those of the machine by default. With none it is
            the one of this project.

    Returns:
        How to call Node.
    """
    try:
        node = find_node(os.environ.get("PATH", "") if search_path is None else search_path)
        if not _is_installed(folder):
            _install(folder, node)
    except (BuildError, OSError, subprocess.SubprocessError) as error:
        reason = f"the npm packages of {folder.name} cannot be had: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return node


def _is_installed(folder: Path) -> bool:
    """Tell whether npm has installed what is locked; at the end it writes its own lock file."""
    written = folder / "node_modules" / ".package-lock.json"
    locked = folder / "package-lock.json"
    return written.is_file() and written.stat().st_mtime >= locked.stat().st_mtime


def _install(folder: Path, node: Node) -> None:
    """Install what is locked."""
    process = subprocess.Popen(  # noqa: S603 # npm
        (*node.npm, *NPM_CI),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            said, _ = process.communicate(timeout=INSTALL)
        except subprocess.TimeoutExpired:
            _kill(process.pid)
            raise
    if process.returncode:
        raise OSError(said)


@asynccontextmanager
async def running(
    node: Node, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[bytes]:
    """Run a program of a folder until the end of the context.

    Args:
        node: How to call Node.
        folder: Where it runs.
        arguments: The program, and its arguments.
        environment: All variables that it has; those of the machine by default.

    Yields:
        The first line that it prints.
    """
    process = await asyncio.create_subprocess_exec(
        *(*node.node, *arguments),
        cwd=folder,
        env=environment,
        stdout=PIPE,
        stderr=DEVNULL,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START):
            line = await process.stdout.readline()
        yield line
    finally:
        _kill(process.pid)
        await process.communicate()


def _kill(leader: int) -> None:
    """End a program with all that it has started: Node may run below a program that calls it."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
