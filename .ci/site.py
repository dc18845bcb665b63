"""Builds the documentation site, and fails on a broken link, a broken anchor, or another host.

Zensical checks the links and anchors between pages (``--strict``). This script makes the copy of
``docs/`` that Zensical reads, and looks through the pages that it wrote: no page may load anything
from another host.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
COPY = ROOT / "build" / "docs"
SITE = ROOT / "build" / "site"

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|mailto:|#)([^)\s#]+)(?:#[^)\s]*)?\)")
_LOADS = re.compile(
    r"<(?:script|img|iframe|source|link)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//[^\"' >]+"
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def main() -> int:
    """Copy the pages, build the site, and look through it.

    Returns:
        The exit code: 1 if something is broken.
    """
    copy_pages()
    zensical = Path(sys.executable).with_name("zensical")
    done = subprocess.run(  # noqa: S603 # a program beside this one
        (zensical, "build", "--strict", "--clean"),
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # A traceback of Zensical follows its report of what is wrong, and adds nothing to it.
    print(_COLOURS.sub("", done.stdout).partition("\nTraceback ")[0])
    if done.returncode:
        return 1
    found = list(other_hosts())
    pages = len(list(SITE.rglob("*.html")))
    print("\n".join(found) or f"{pages} pages, in {(SITE / 'index.html').relative_to(ROOT)}")
    return 1 if found else 0


def copy_pages() -> None:
    """Copy ``docs/``. Links to files outside of it become their names: the site has only pages."""
    shutil.rmtree(COPY, ignore_errors=True)
    shutil.copytree(DOCS, COPY)
    for page in COPY.rglob("*.md"):
        inside = partial(_inside, (DOCS / page.relative_to(COPY)).parent)
        page.write_text(_LINK.sub(inside, page.read_text(encoding="utf-8")), encoding="utf-8")


def _inside(folder: Path, link: re.Match[str]) -> str:
    """Keep a link to a file of ``docs/``; of another, leave the text and the file's name."""
    text, path = link[1], (folder / link[2]).resolve()
    if path.is_relative_to(DOCS) or not path.exists():
        return link[0]
    name = path.relative_to(ROOT).as_posix()
    return f"`{name}`" if text.strip("`") == name else f"{text} (`{name}`)"


def other_hosts() -> Iterator[str]:
    """Find what pages load from other hosts.

    Yields:
        The page, and the element.
    """
    for page in sorted(SITE.rglob("*.html")):
        for element in _LOADS.findall(page.read_text(encoding="utf-8")):
            yield f"{page.relative_to(SITE)} asks another host: {element}"


if __name__ == "__main__":
    sys.exit(main())
