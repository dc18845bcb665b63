"""The code in docs/guides/frontend.md is run by tests, and its table names these tests."""

import re
from pathlib import Path

import pytest

import app

ROOT = Path(app.__file__).parents[1]
GUIDE = (ROOT / "docs/guides/frontend.md").read_text(encoding="utf-8")
RUN = [
    *(ROOT / "examples/react/src").glob("*.ts*"),
    ROOT / "examples/react/codegen.ts",
    *(ROOT / "tests/clients").glob("*.mjs"),
    ROOT / "tests/clients/test_relay.py",
]
BLOCK = re.compile(r"^ *```(?:ts|js|graphql)\n(.*?)```", re.DOTALL | re.MULTILINE)
HELD_BY_URQL = "new Client("
"""The beginning of a block that tests/clients/test_urql.py checks and runs."""


def unindented(text: str) -> str:
    """Remove the indentation of the lines of a text."""
    return "\n".join(line.strip() for line in text.strip().splitlines())


def blocks() -> list[str]:
    """List the blocks of code of the guide."""
    return [unindented(one) for one in BLOCK.findall(GUIDE) if HELD_BY_URQL not in one]


@pytest.mark.parametrize("block", blocks())
def test_a_block_of_code_is_in_a_program_that_is_run(block: str) -> None:
    programs = [unindented(file.read_text(encoding="utf-8")) for file in RUN]
    relay = [one.replace("on %(type)s", "on User") for one in programs]

    assert any(block in one for one in (*programs, *relay))


def test_the_table_names_existing_tests() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", GUIDE))

    assert len(named) >= 4
    assert [one for one in named if not (ROOT / one).is_file()] == []


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\((\.\./[^)#]+)", GUIDE)

    assert links
    assert [one for one in links if not (ROOT / "docs/guides" / one).exists()] == []
