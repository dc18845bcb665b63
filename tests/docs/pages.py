"""The pages of the documentation, as text, with their headings and links."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.conftest import APP

ROOT = APP.parent
DOCS = ROOT / "docs"

_FENCED = re.compile(r"^( *)(`{3,}).*?^\1\2 *$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def pages() -> Sequence[Path]:
    """List the pages: those of users in the folders of the repository, and all of ``docs/``.

    Returns:
        Their files.
    """
    readmes = [*ROOT.glob("*.md"), ROOT / "benchmarks/README.md", *ROOT.glob("examples/*/*.md")]
    return sorted({*readmes, *DOCS.rglob("*.md")})


def name_of(page: Path) -> str:
    """Name a page by its path in the repository.

    Args:
        page: Its file.

    Returns:
        The path, with slashes.
    """
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """Read a page without its blocks of code. Lines keep their numbers.

    Args:
        page: Its file.

    Returns:
        Its text.
    """
    text = page.read_text(encoding="utf-8")
    return _FENCED.sub(lambda block: "\n" * block[0].count("\n"), text)


def anchors(page: Path) -> frozenset[str]:
    """List the anchors of a page's headings, as viewers of Markdown and the site make them.

    Args:
        page: Its file.

    Returns:
        The texts that may follow ``#`` in a link to it.
    """
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    bare = (
        re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one)) for one in headings
    )
    return frozenset(one.strip().lower().replace(" ", "-") for one in bare)


def broken_links(page: Path) -> Iterator[str]:
    """List the broken links of a page.

    Args:
        page: Its file.

    Yields:
        The links whose file or heading does not exist.
    """
    for target in _LINK.findall(_CODE.sub("", prose(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            yield target
