"""The comparison with other gateways names existing tests, and each claim has a source."""

import re
from pathlib import Path

import app

PAGE = Path(app.__file__).parents[1] / "docs/explanation/compared.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_each_test_named_on_the_page_exists_in_the_linked_file() -> None:
    named = re.findall(r"`(test_\w+)` \(\[[^\]]+\]\(([^)#]+)\)\)", TEXT)

    assert len(named) == len(re.findall(r"`test_\w+`", TEXT))
    for name, link in named:
        assert f"def {name}(" in (PAGE.parent / link).read_text(encoding="utf-8")


def test_each_complaint_has_its_number_its_state_and_a_link() -> None:
    section = TEXT.partition("## What users of others wrote down")[2].partition("\n## ")[0]
    entry = re.compile(
        r"- \*\*[\w-]+/[\w-]+ \d+ \(\d{4}\).*\*\*: .*\*There:\* .*\*Here:\* .*\]\([^)]+\).*"
    )
    complaints = [line for line in section.splitlines() if line.startswith("- ")]

    assert complaints
    assert [one for one in complaints if not entry.fullmatch(one)] == []


def test_each_reference_has_a_source_and_each_source_is_used() -> None:
    claims, _, sources = TEXT.partition("## Sources")
    used = {one for group in re.findall(r"\[([\d, ]+)\]", claims) for one in group.split(", ")}

    assert used == {*re.findall(r"^\| (\d+) \|", sources, flags=re.MULTILINE)}


def test_the_figures_in_the_readme_equal_those_of_the_page() -> None:
    readme = (PAGE.parents[2] / "README.md").read_text(encoding="utf-8")
    one, fifty = (
        re.findall(r"\d+\.\d\d", found)
        for found in re.findall(r"^\| CPU, (?:1|50) users? .*", readme, flags=re.MULTILINE)[::-1]
    )
    figures = TEXT.partition("## Figures")[2]
    rows = {
        name: cells
        for name, *cells in (
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in figures.splitlines()
            if line.startswith("| ")
        )
    }

    peers = ("user-gateway", "Hive Gateway with Mesh", "Tailcall, nested")
    assert one == [rows[peer][0] for peer in peers]
    assert fifty == [rows[peer][2] for peer in peers]
