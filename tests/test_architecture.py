"""The arrow of imports runs one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import app

ROOT = Path(app.__file__).parent

ARROW = (
    "main",
    "http",
    "graphql",
    "execution",
    "sources",
    "resilience",
    "settings",
    "shapes",
    "errors",
    "readonly",
    "bounded",
)
"""Each may import from those after it."""

ASIDE = {
    "execution": {"graphql", *ARROW[ARROW.index("execution") :]},  # one room with graphql soon
    "fastpath": {*ARROW[ARROW.index("graphql") :]},
    "observability": {"settings"},
    "configuration": {"errors"},
    "environment": {*ARROW[ARROW.index("graphql") :], "configuration"},
    "process": set[str](),
    "demo": set[str](),
    "gateway": {*ARROW[1:], "fastpath"},
    "main": {*ARROW, "fastpath", "gateway", "observability", "environment", "process"},
    "probe": {*ARROW, "configuration"},
    "cli": {
        *ARROW,
        "fastpath",
        "observability",
        "configuration",
        "environment",
        "process",
        "demo",
        "probe",
    },
    "__main__": {"cli"},
}
"""Rooms beside the arrow, and what each may import; ``main`` is where all meet."""


def allowed(room: str) -> set[str]:
    """Tell what a room may import, itself included."""
    if room in ASIDE:
        return ASIDE[room] | {room}
    return set(ARROW[ARROW.index(room) :])


def modules() -> Iterator[Path]:
    """Find all our modules."""
    for path in sorted(ROOT.rglob("*.py")):
        if "node_modules" not in path.parts:
            yield path


def room_of(path: Path) -> str:
    """Tell which room a module is in: a folder, or a module of its own."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """List the rooms that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it leads"
            if node.module == "app":
                names = [f"app.{alias.name}" for alias in node.names]
            elif node.module is not None:
                names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("app.") and name != "app.__version__":
                yield name.split(".")[1]


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_from_the_rooms_after_it(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        assert not list(imports(path))
        return
    assert set(imports(path)) <= allowed(room)


def test_every_room_has_its_place_in_the_arrow_or_beside_it() -> None:
    rooms = {room_of(path) for path in modules()} - {"__init__"}

    assert rooms <= {*ARROW, *ASIDE}
