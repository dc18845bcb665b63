"""The blocks of code of the documentation, with the comments before them.

The language of a block decides how it is run. A comment on the line before it can change this:
``<!-- run by tests/… -->`` names the test that runs it, and ``<!-- not run: … -->`` gives the
reason for which it is not run. ``<!-- blocks run by tests/… -->`` applies to all other blocks of
its page, and ``<!-- blocks of js, ts run by tests/… -->`` to those of some languages.

The comments are checked (`is_read`): the named test has to read blocks of the language on the
page.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.docs.commands import commands_in, is_run
from tests.docs.pages import ROOT, name_of, pages

_BLOCK = re.compile(
    r"^(?:(?P<indent> *)<!-- (?P<comment>[^\n]*?) -->\n)?"
    r"(?P<margin> *)(?P<fence>`{3,})(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=margin)(?P=fence) *$",
    re.DOTALL | re.MULTILINE,
)
_WHOLE_PAGE = re.compile(r"^<!-- blocks (?:of ([\w, ]+) )?(run by \S+) -->$", re.MULTILINE)

ELSEWHERE = {"promql": "tests/deploy/test_pages.py"}
"""Languages that another test reads, on any page."""

OUTPUT = "text"
"""The language of the output of programs, and of diagrams, which cannot be run."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code.

    Attributes:
        page: The file of its page.
        line: The line of its fence, from 1.
        language: The first word after the fence.
        title: The name of its file, if the page names one.
        text: Its lines, without the page's indentation.
        comment: The text of the comment before it; empty if there is none.
    """

    page: Path
    line: int
    language: str
    title: str
    text: str
    comment: str

    @property
    def name(self) -> str:
        """The page and the line of the block."""
        return f"{name_of(self.page)}:{self.line}"

    @property
    def run(self) -> Literal["here", "elsewhere", "not"]:
        """The tests that run it: those of this folder, others, or none."""
        if self.comment.startswith("not run: "):
            return "not"
        return "elsewhere" if self.test else "here"

    @property
    def test(self) -> str:
        """The test that runs it, if it is in another folder."""
        found = re.fullmatch(r"run by ([\w/.]+)(?:, .*)?", self.comment)
        return found[1] if found else ELSEWHERE.get(self.language, "")


def blocks_of(page: Path) -> Sequence[Block]:
    """List the blocks of a page.

    Args:
        page: Its file.

    Returns:
        The blocks, in their order.
    """
    text = page.read_text(encoding="utf-8")
    whole = _WHOLE_PAGE.search(text)
    languages = whole[1].split(", ") if whole and whole[1] else ()
    found: list[Block] = []
    for one in _BLOCK.finditer(text):
        language, _, rest = one["info"].strip().partition(" ")
        title = re.search(r'title="([^"]*)"', rest)
        margin = len(one["margin"])
        is_meant = whole is not None and (not languages or language in languages)
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, one.start("fence")) + 1,
                language=language,
                title=title[1] if title else "",
                text="".join(line[margin:] for line in one["text"].splitlines(keepends=True)),
                comment=one["comment"] or (whole[2] if whole and is_meant else ""),
            )
        )
    return found


BLOCKS = tuple(block for page in pages() for block in blocks_of(page))
"""All blocks of the documentation."""


def run_here(*languages: str) -> Sequence[Block]:
    """List the blocks of some languages that the tests of this folder run.

    Args:
        languages: The first words after their fences.

    Returns:
        The blocks.
    """
    return [one for one in BLOCKS if one.language in languages and one.run == "here"]


def report() -> str:
    """Count the blocks.

    Returns:
        Lines for people: the numbers of blocks, and the reasons for which some are not run.
    """
    code = [one for one in BLOCKS if one.language != OUTPUT or one.comment]
    counts = {run: sum(one.run == run for one in code) for run in ("here", "elsewhere", "not")}
    here_run = [is_run(one) for block in run_here("sh") for one in commands_in(block.text)]
    total = (
        f"{len(code)} blocks of code in {len(pages())} pages: {counts['here']} run by tests/docs,"
        f" {counts['elsewhere']} by other tests, {counts['not']} not run.\n"
        f"Of {len(here_run)} commands in blocks of tests/docs, {sum(here_run)} are run. The others"
        " would go on, or call services: their line is parsed."
    )
    reasons = (f"  {one.name}: {one.comment}" for one in code if one.run == "not")
    return "\n".join((total, *reasons))


def is_read(block: Block) -> bool:
    """Return whether the test that a block names reads such blocks of its page.

    The text of the test shows this: it names the page, or lists the pages of the folder, and
    searches for blocks of the language (a fence with it), or for all (`blocks_of`).

    Args:
        block: A block that names a test.

    Returns:
        Whether the test exists and reads such blocks.
    """
    file, page, language = ROOT / block.test, block.page, re.escape(block.language)
    if not block.test.startswith("tests/") or not file.is_file():
        return False
    text = file.read_text(encoding="utf-8")
    pages = (page.name, f'"{page.stem}"', f'"{page.parent.name}").glob("*.md")', 'rglob("*.md")')
    fences = (rf"```\S*\b{language}\b", rf'"{language}"(?s:.*)```|```(?s:.*)"{language}"')
    return any(one in text for one in pages) and (
        "blocks_of(" in text or any(re.search(one, text) for one in fences)
    )
