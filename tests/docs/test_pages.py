"""Links are valid, each page is in the navigation, and lists are shown as lists."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, broken_links, name_of, pages, prose

NOT_LISTED = "decisions/[0-9]*"
"""Pages that a table of another page lists: docs/decisions/README.md."""


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_each_page_is_in_the_navigation_once() -> None:
    text = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    listed = re.findall(r'"([\w/-]+\.md)"', text)
    existing = {one for one in DOCS.rglob("*.md") if not one.relative_to(DOCS).match(NOT_LISTED)}

    assert tomllib.loads(text)["project"]["nav"]
    assert sorted(listed) == sorted(one.relative_to(DOCS).as_posix() for one in existing)


def test_each_page_has_a_unique_title() -> None:
    """The navigation and the search show only the title of a page."""
    titles = [one.read_text(encoding="utf-8").partition("\n")[0] for one in DOCS.rglob("*.md")]

    assert [one for one in titles if not one.startswith("# ")] == []
    assert sorted(titles) == sorted({*titles})


def test_the_readme_is_one_page_of_short_paragraphs() -> None:
    paragraphs = re.split(r"\n\s*\n", prose(ROOT / "README.md").strip())
    text = [one for one in paragraphs if not one.startswith(("|", "- ", "<!--"))]

    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160
    assert [one for one in text if len(one.splitlines()) > 4] == []


def test_each_decision_is_in_the_table() -> None:
    table = (DOCS / "decisions/README.md").read_text(encoding="utf-8")
    files = {one.name for one in DOCS.glob(NOT_LISTED)}

    assert {*re.findall(r"\]\(([^)]+)\)", table)} >= files


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=name_of)
def test_lists_are_shown_as_lists_by_the_site(page: Path) -> None:
    """The site's parser requires a blank line before a list, and four spaces for its content."""
    text, words = page.read_text(encoding="utf-8"), prose(page)

    assert re.findall(r"^ {1,3}```.*", text, re.MULTILINE) == []
    assert re.findall(r"^ {1,3}(?:[-*] |\d+\. ).*", words, re.MULTILINE) == []
    assert re.findall(r"^(?![-*#|>\d]|  )\S.*\n- .*", words, re.MULTILINE) == []
