"""Imports run one way, and a name has one meaning."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import app

ROOT = Path(app.__file__).parent

ARROW = (
    "cli",
    "main",
    "server",
    "execution",
    "schema",
    "auth",
    "sources",
    "store",
    "resilience",
    "transport",
    "observability",
    "settings",
    "expressions",
    "errors",
    "libraries",
)
"""A room imports from the rooms after it, and from itself."""

ASIDE: Mapping[str, frozenset[str]] = {
    "__main__": frozenset({"cli"}),
    "cli": frozenset({*ARROW, "demo", "importing", "probe", "starting"}),
    "main": frozenset({*ARROW[ARROW.index("main") :], "fastpath"}),
    "probe": frozenset(ARROW[ARROW.index("main") :]),
    "starting": frozenset({*ARROW[ARROW.index("main") :], "importing", "probe"}),
    "importing": frozenset(ARROW[ARROW.index("sources") :]),
    "fastpath": frozenset(ARROW[ARROW.index("server") :]),
    "demo": frozenset(),
    "extend": frozenset(ARROW[ARROW.index("schema") :]),
}
"""Rooms beside the arrow and rooms that import more. Only ``main`` imports ``fastpath``."""


def modules() -> Iterator[str]:
    """List all modules by their dotted names below ``app``."""
    for path in sorted(ROOT.rglob("*.py")):
        if "node_modules" not in path.parts:
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


def room_of(module: str) -> str:
    """Return the room of a module: its folder, or the module itself."""
    return module.partition(".")[0]


def parsed(module: str) -> ast.Module:
    """Parse a module of ours."""
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(module: str) -> set[str]:
    """Return the modules of ours that a module imports, by their dotted names below ``app``."""
    found: set[str] = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import hides where it leads"
            if node.module is not None and node.module.partition(".")[0] == "app":
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}".split(".")[1:]
                    is_module = ROOT.joinpath(*whole).with_suffix(".py").exists()
                    found.add(".".join(whole if is_module else whole[:-1]))
        elif isinstance(node, ast.Import):
            found |= {one.name[4:] for one in node.names if one.name.startswith("app.")}
    return found - {""}


def against_the_arrow(module: str) -> set[str]:
    """Return the imports of a module that its room may not have."""
    room = room_of(module)
    allowed = ASIDE.get(room)
    if allowed is None:
        allowed = frozenset(ARROW[ARROW.index(room) :] if room in ARROW else ())
    return {one for one in imports(module) if room_of(one) not in {*allowed, room}}


def types_of(module: ast.Module) -> Iterator[str]:
    """List the names of the classes and type aliases that a module defines.

    An alias is a name in camel case that has a value other than a call. So a type variable, which
    stands for another type in each module, is none.
    """
    for node in module.body:
        match node:
            case ast.ClassDef(name=name):
                yield name
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ) if not isinstance(value, ast.Call) and name[0].isupper() and not name.isupper():
                yield name
            case _:
                pass


@pytest.mark.parametrize("module", list(modules()))
def test_a_module_imports_only_from_the_rooms_after_its_own(module: str) -> None:
    assert not against_the_arrow(module)


def test_every_room_has_its_place_in_the_arrow_or_beside_it() -> None:
    rooms = {room_of(module) for module in modules()} - {"__init__"}

    assert rooms == {*ARROW, *ASIDE}


def test_the_name_of_a_class_or_of_a_type_alias_exists_once() -> None:
    defined: defaultdict[str, list[str]] = defaultdict(list)
    for module in modules():
        for name in types_of(parsed(module)):
            defined[name].append(module)

    assert {"Settings", "SettingsCheck", "UrlPath"} <= defined.keys()
    assert not {name: places for name, places in defined.items() if len(places) > 1}


def test_classes_and_type_aliases_are_found_however_they_are_written() -> None:
    module = ast.parse(
        "class One: ...\nTwo = int | str\nThree: TypeAlias = int\nFour = Annotated[int, 1]\n"
        "T = TypeVar('T')\nAnyRow = TypeVar('AnyRow')\nMOST = 1\n_names = 1\nfive: int = 5\n"
    )

    assert [*types_of(module)] == ["One", "Two", "Three", "Four"]
