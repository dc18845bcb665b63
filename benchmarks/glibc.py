"""A newer C library for Tailcall, where the system's is too old for its binary.

Tailcall's npm package has a binary that needs glibc 2.39, and Debian 12 has 2.36. The packages of
the next Debian are fetched by apt, from the mirror that the system uses, and unpacked into a folder
of their own; the binary is then started through the loader that is in there. Nothing is installed.
"""

import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.errors import UnavailableError
from benchmarks.places import WORK

NEEDED: Final = (2, 39)
_RELEASE: Final = "trixie"
_PACKAGES: Final = ("libc6", "libgcc-s1")
_LIBRARIES: Final = WORK / "glibc" / "root" / "usr" / "lib" / "x86_64-linux-gnu"
_LONGEST: Final = 300.0


def loader() -> tuple[str, ...]:
    """Tell what has to stand before a program that needs the newer library; nothing if none."""
    if _is_new_enough():
        return ()
    return (str(_LIBRARIES / "ld-linux-x86-64.so.2"), "--library-path", str(_LIBRARIES))


def install_glibc(say: Callable[[str], None]) -> None:
    """Fetch and unpack the newer library, where it is needed.

    Args:
        say: Is told each step.

    Raises:
        UnavailableError: It cannot be had here.
    """
    if _is_new_enough() or _LIBRARIES.exists():
        return
    say(f"fetching the C library of Debian {_RELEASE} for Tailcall")
    sources = Path("/etc/apt/sources.list.d/debian.sources")
    if shutil.which("apt-get") is None or not sources.exists():
        raise UnavailableError("Tailcall needs glibc 2.39, and this is no Debian 12 to fetch it by")
    folder = WORK / "glibc"
    (folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "cache" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "debs").mkdir(exist_ok=True)
    own = folder / "next.sources"
    own.write_text(sources.read_text("utf-8").replace("bookworm", _RELEASE), encoding="utf-8")
    options = (
        ("Dir::Etc::sourcelist", own),
        ("Dir::Etc::sourceparts", "/dev/null"),
        ("Dir::State::lists", folder / "lists"),
        ("Dir::Cache", folder / "cache"),
        ("APT::Sandbox::User", "root"),
    )
    apt = [
        "apt-get",
        "-qq",
        *(part for name, value in options for part in ("-o", f"{name}={value}")),
    ]
    _run([*apt, "update"], folder)
    _run([*apt, "download", *_PACKAGES], folder / "debs")
    for package in sorted((folder / "debs").glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(folder / "root")], folder)


def _is_new_enough() -> bool:
    """Tell whether the system's own library will do."""
    name, version = platform.libc_ver()
    numbers = tuple(int(part) for part in version.split(".") if part.isdecimal())
    return name == "glibc" and numbers >= NEEDED


def _run(command: list[str], folder: Path) -> None:
    """Run one step."""
    try:
        subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_LONGEST, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"glibc for Tailcall: {error}") from error
