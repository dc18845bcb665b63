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
from pydantic import BaseModel, Field

from app.server.graphiql.build import BuildError, NodePrograms, find_node

NPM_CI = (
    *("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"),
    # A machine without a network learns of it in seconds.
    *("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000"),
)
INSTALL = 45.0
"""Seconds that npm may take within a test, which has a minute. `make test` gives it more."""

START = 50.0
"""Seconds after which a program that has printed nothing counts as broken."""


def node_with(
    folder: Path, *, search_path: str | None = None, install: float = INSTALL
) -> NodePrograms:
    """Find Node for the packages of a folder, and install these where they are missing.

    Where they cannot be had the test is skipped; on CI it fails.

    Args:
        folder: It has `package.json` and `package-lock.json`.
        search_path: Folders to look for Node in; those of the machine by default. With none it is
            the one of this project.
        install: Seconds that npm may take.

    Returns:
        How to call Node.
    """
    try:
        node = find_node(os.environ.get("PATH", "") if search_path is None else search_path)
        if not _is_installed(folder):
            _install(folder, node, install)
    except (BuildError, OSError, subprocess.SubprocessError) as error:
        reason = f"the npm packages of {folder.name} cannot be had: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return node


class _Package(BaseModel):
    """A package in a lock file of npm."""

    version: str | None = Field(default=None, description="Its version.")
    optional: bool = Field(default=False, description="Whether it is for some machines alone.")


class _Lock(BaseModel):
    """A lock file of npm."""

    packages: Mapping[str, _Package] = Field(description="The packages, by folder.")

    @property
    def versions(self) -> Mapping[str, str | None]:
        """The version of each package that every machine needs."""
        return {
            name: one.version for name, one in self.packages.items() if name and not one.optional
        }


def _is_installed(folder: Path) -> bool:
    """Tell whether npm has installed what is locked, by the lock file that it writes at the end."""
    written = folder / "node_modules" / ".package-lock.json"
    if not written.is_file():
        return False
    installed, locked = (
        _Lock.model_validate_json(file.read_bytes()).versions
        for file in (written, folder / "package-lock.json")
    )
    return installed == locked


def _install(folder: Path, node: NodePrograms, seconds: float) -> None:
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
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            _kill(process.pid)
            raise
    if process.returncode:
        raise OSError(said)


@asynccontextmanager
async def running(
    node: NodePrograms, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
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
    async with talking(node, folder, *arguments, environment=environment) as lines:
        async with asyncio.timeout(START):
            line = await lines.readline()
        yield line


@asynccontextmanager
async def talking(
    node: NodePrograms, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[asyncio.StreamReader]:
    """Run a program of a folder until the end of the context.

    Args:
        node: How to call Node.
        folder: Where it runs.
        arguments: The program, and its arguments.
        environment: All variables that it has; those of the machine by default.

    Yields:
        What it prints.
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
        yield process.stdout
    finally:
        _kill(process.pid)
        await process.communicate()


def _kill(leader: int) -> None:
    """End a program with all that it has started: Node may run below a program that calls it."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
