"""The comparison with other gateways names tests that are there; each claim has a source."""

import re
from pathlib import Path

import app

PAGE = Path(app.__file__).parents[1] / "docs/explanation/compared.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_each_test_that_the_page_names_is_in_the_file_that_it_links() -> None:
    named = re.findall(r"`(test_\w+)` \(\[[^\]]+\]\(([^)#]+)\)\)", TEXT)

    assert len(named) == len(re.findall(r"`test_\w+`", TEXT))
    for name, link in named:
        assert f"def {name}(" in (PAGE.parent / link).read_text(encoding="utf-8")


def test_each_number_in_brackets_has_a_source_and_each_source_is_used() -> None:
    claims, _, sources = TEXT.partition("## Sources")
    used = {one for group in re.findall(r"\[([\d, ]+)\]", claims) for one in group.split(", ")}

    assert used == {*re.findall(r"^\| (\d+) \|", sources, flags=re.MULTILINE)}
