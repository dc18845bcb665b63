"""What peers are made of: installed from lock files, into folders that git ignores."""

import hashlib
import json
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from benchmarks.errors import UnavailableError
from benchmarks.glibc import install_glibc
from benchmarks.peer import Kit
from benchmarks.places import PEERS, ROOT, WORK
from benchmarks.tools import Tools

_LONGEST: Final = 900.0
_LOCKS: Final[Mapping[Kit, Path]] = {
    Kit.OURS: ROOT / "pyproject.toml",
    Kit.NODE: PEERS / "node" / "package-lock.json",
    Kit.HIVE: PEERS / "hive" / "package-lock.json",
    Kit.TAILCALL: PEERS / "tailcall" / "package-lock.json",
    Kit.PYTHON: PEERS / "python" / "requirements.txt",
}


def install(kit: Kit, tools: Tools, say: Callable[[str], None]) -> None:
    """Install what a kit has locked, unless it is there.

    Args:
        kit: What to install.
        tools: Has Node.js.
        say: Is told each step.

    Raises:
        UnavailableError: It cannot be installed here.
    """
    if kit is Kit.OURS:
        return
    stamp = WORK / "installed" / kit
    wanted = _digest(kit)
    if stamp.exists() and stamp.read_text("ascii") == wanted and _folder(kit).exists():
        return
    say(f"installing the packages of {_LOCKS[kit].relative_to(ROOT)}")
    if kit is Kit.PYTHON:
        _install_python()
    else:
        _install_node(PEERS / kit, tools)
    if kit is Kit.TAILCALL:
        install_glibc(say)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(wanted, encoding="ascii")


def versions(kit: Kit) -> Mapping[str, str]:
    """Tell which version of each package a kit has locked."""
    if kit is Kit.OURS:
        return {}
    text = _LOCKS[kit].read_text("utf-8")
    if kit is Kit.PYTHON:
        return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", text, flags=re.MULTILINE))
    packages: Mapping[str, Mapping[str, str]] = json.loads(text)["packages"]
    return {
        path.removeprefix("node_modules/"): package["version"]
        for path, package in packages.items()
        if path and "node_modules/" not in path.removeprefix("node_modules/")
    }


def _folder(kit: Kit) -> Path:
    """Tell where the packages of a kit are."""
    return PEERS / kit / (".venv" if kit is Kit.PYTHON else "node_modules")


def _digest(kit: Kit) -> str:
    """Tell by what is installed whether it is what is wanted."""
    lock = _LOCKS[kit].read_bytes()
    return hashlib.sha256(lock + platform.python_version().encode()).hexdigest()


def _install_node(folder: Path, tools: Tools) -> None:
    """Install npm packages as they are locked, without running their scripts."""
    npm = tools.require_node().npm
    _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], folder)


def _install_python() -> None:
    """Install Python packages as they are locked, into an environment of their own."""
    folder = PEERS / Kit.PYTHON
    _run([sys.executable, "-m", "venv", "--clear", ".venv"], folder)
    pip = [".venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--require-hashes", "-r", "requirements.txt"], folder)


def _run(command: list[str], folder: Path) -> None:
    """Run one step and keep its output back unless it fails."""
    try:
        done = subprocess.run(
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
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{Path(command[0]).name}: {error}") from error
    if done.returncode != 0:
        tail = done.stdout.strip().splitlines()[-3:]
        raise UnavailableError(
            f"{' '.join([Path(command[0]).name, *command[1:3]])} failed: {' / '.join(tail)}"
        )
