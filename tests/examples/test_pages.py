"""The pages of docs/sources/: each is in the index, is tested, and has correct figures."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.execution.source_fit import misfits_in
from app.expressions.functions import ExactFunctions
from app.settings.lists import ListSettings, PagingWay
from app.settings.source import SourceSettings
from tests.examples.page import FOLDER, ExamplePage

INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")
PAGES = [ExamplePage(path.stem) for path in sorted(FOLDER.glob("*.md")) if path.stem != "README"]


def listed() -> Iterator[tuple[str, int]]:
    """List the pages in the index, each with its number of lines there."""
    table = INDEX.partition("\n### ")[0]
    for name, lines in re.findall(r"\| \[[^\]]+\]\(([\w-]+)\.md\) \|.*\| (\d*) \| [^|]+ \|", table):
        yield name, int(lines or 0)


def test_the_index_lists_every_page_with_its_number_of_lines() -> None:
    assert dict(listed()) == {page.name: page.size for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_its_number_of_lines(page: ExamplePage) -> None:
    assert f"\nIt takes {page.size} lines of configuration.\n" in page.text


@pytest.mark.parametrize("name", ["json-server", "datasette", "kinto", "postgrest", "directus"])
def test_a_page_with_groups_and_the_index_have_the_lines_of_activity(name: str) -> None:
    page = ExamplePage(name)

    assert page.figures.lines == page.lines_of("activity")
    assert re.search(rf"With `group`[^`]*\({page.lines_of('activity')} lines[,)]", page.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_a_test_that_runs_its_configuration(page: ExamplePage) -> None:
    tests = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    assert sum(f'PAGE = ExamplePage("{page.name}")' in test for test in tests) == 1


@pytest.mark.parametrize("name", ["README", *(page.name for page in PAGES)])
def test_links_of_a_page_lead_to_files(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not link.startswith("https://"):
            assert (FOLDER / link).exists(), link


def test_the_index_lists_every_function_beyond_jmespath() -> None:
    own = {
        name.removeprefix("_func_") for name in vars(ExactFunctions) if name.startswith("_func_")
    }
    jmespath = {name.removeprefix("_func_") for name in dir(ExactFunctions.__base__)}
    table = re.findall(r"(?m)^\| (`\w+\(.*?`) \| ", INDEX)

    assert own - jmespath == {name for cell in table for name in re.findall(r"(\w+)\(", cell)}


def list_example() -> str:
    """Return the example of a list in the index."""
    [example] = re.findall(
        r"```toml\n(\[sources\.billing\.lists\.invoices\].*?)```", INDEX, flags=re.DOTALL
    )
    text: str = example
    return text


def test_the_example_of_a_list_in_the_index_is_accepted() -> None:
    values = tomllib.loads(list_example())
    values["sources"]["billing"]["base_url"] = "https://billing.internal"

    made = SourceSettings.model_validate(values["sources"]["billing"])

    assert made.lists["invoices"].way is PagingWay.NAMED
    assert not [found for found in misfits_in(values) if found[0][:2] == ("sources", "billing")]


def test_the_index_names_every_setting_of_a_list() -> None:
    section = INDEX.partition("## Lists, page by page")[2].partition("\n## ")[0]

    assert not [name for name in ListSettings.model_fields if name not in section]
