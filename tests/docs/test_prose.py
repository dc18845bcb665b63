"""The prose linter finds mistakes with their places, and reads all pages and modules."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, pages

LINTER = ROOT / ".ci" / "prose.py"
LONG = "A client " + "that asks " * 14 + "waits."
GOOD = "# A page\n\nThe gateway calls each source once. It does so at the same time.\n"
MODULE = f'''"""Say what a source is."""


def ask() -> None:
    """Utilise the source.

    {LONG}
    """
'''


def lint(*files: Path) -> tuple[int, list[str]]:
    """Run the linter on files; return its exit code and its output."""
    done = subprocess.run(  # noqa: S603 # a script of this repository
        (sys.executable, LINTER, *files), check=False, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_bad_words_and_long_sentences_are_reported_with_their_places(
    tmp_path: Path,
) -> None:
    if not (ROOT / ".ci/prose/node_modules/.bin/textlint").exists():
        pytest.skip("textlint is not installed: make test")
    good, bad, module = (tmp_path / name for name in ("good.md", "bad.md", "module.py"))
    good.write_text(GOOD, encoding="utf-8")
    bad.write_text(
        f"{GOOD}\nWe call it via a backend. `via` is code.\n\n{LONG}\n", encoding="utf-8"
    )
    module.write_text(MODULE, encoding="utf-8")

    code, found = lint(good, bad, module)

    assert code == 1
    assert [one for one in found if "good.md" in one] == []
    words = [one.partition(f"{tmp_path}/")[2] or one for one in found if one]
    assert [one.partition(" [")[0] for one in words[:-1]] == [
        "bad.md:5:12: via => by",
        "bad.md:5:18: backend => source",
        "bad.md:7:1: Exceeds the maximum word count of 28.",
        "module.py:5:1: Utilise => use",
    ]


def test_the_linter_reads_each_page_and_each_module_of_the_gateway() -> None:
    linter = runpy.run_path(str(LINTER))
    read = {
        file for name in ("PAGES", "MODULES") for one in linter[name] for file in ROOT.glob(one)
    }

    assert read >= {*pages(), *(ROOT / "app").rglob("*.py")}
