"""Looks through the prose: the documentation, and the first lines of docstrings.

Rules: no sentence has more than 28 words, and words are those of ``.ci/prose/words.yml``. textlint
holds them. The first lines of docstrings are written to files for it, each at the line that it has
in its module, so that textlint reports it where it is.

With files as arguments it reads these pages and modules alone. Where textlint is not installed it
says so, and fails on CI alone.
"""

import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
RULES = ROOT / ".ci" / "prose"
PAGES = ("*.md", "docs/**/*.md", "examples/*/*.md", "benchmarks/*.md", "tests/fakes/*.md")
MODULES = ("app/**/*.py", ".ci/*.py")


def main(files: Sequence[Path]) -> int:
    """Write out the first lines of docstrings, and have textlint read all prose.

    Args:
        files: The pages and modules to read; none for all.

    Returns:
        The exit code: 1 if a rule is broken.
    """
    textlint = RULES / "node_modules" / ".bin" / "textlint"
    if not textlint.exists():
        print("prose: not checked, since textlint is not installed (npm)")
        return 1 if os.environ.get("CI") else 0
    files = files or sorted({one for name in (*PAGES, *MODULES) for one in ROOT.glob(name)})
    pages = [one for one in files if one.suffix == ".md"]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        docstrings = list(write_first_lines((o for o in files if o.suffix == ".py"), folder))
        done = subprocess.run(  # noqa: S603 # a program that is locked
            (textlint, "--config", ".textlintrc.json", "--format", "unix", *pages, *docstrings),
            cwd=RULES,
            # Node comes with the packages of the environment.
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
    report = done.stdout.replace(f"{folder}/", "").replace(f"{ROOT}/", "").replace(".prose:", ":")
    *found, summary = report.strip().splitlines() or [""]
    # textlint reads several files at once, and writes of each when it is done with it.
    print(*sorted(found, key=lambda line: line.partition(":")[0]), sep="\n", end="\n" * bool(found))
    print(summary or f"prose: {len(pages)} pages and {len(docstrings)} modules are right")
    return 1 if done.returncode else 0


def write_first_lines(modules: Iterable[Path], folder: Path) -> Iterator[Path]:
    """Write the first lines of the docstrings of each module into a file of its own.

    Args:
        modules: The modules.
        folder: Where the files go.

    Yields:
        The files.
    """
    for module in modules:
        found = dict(first_lines(ast.parse(module.read_text(encoding="utf-8"))))
        if not found:
            continue
        name = module.relative_to(ROOT) if module.is_relative_to(ROOT) else module.name
        file = folder / f"{name}.prose"
        file.parent.mkdir(parents=True, exist_ok=True)
        last = max(found)
        file.write_text("\n".join(found.get(line, "") for line in range(1, last + 1)))
        yield file


def first_lines(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Find the docstrings of a module, its classes and its functions.

    Args:
        module: The module, parsed.

    Yields:
        The line of each, and its first line. Code in it is marked as Markdown marks code.
    """
    for node in ast.walk(module):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        text = ast.get_docstring(node)
        if text and isinstance(node.body[0], ast.Expr):
            yield node.body[0].lineno, text.partition("\n\n")[0].replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main([Path(one).resolve() for one in sys.argv[1:]]))
