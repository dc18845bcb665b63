"""Packages import in one direction, and the name of a type exists once."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import app

ROOT = Path(app.__file__).parent

ORDER = (
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
"""The packages in their order. A package imports from itself and from the packages after it.

A package is a folder or a single module directly below ``app``.
"""

EXCEPTIONS: Mapping[str, frozenset[str]] = {
    "__main__": frozenset({"cli"}),
    "cli": frozenset({*ORDER, "demo", "importing", "probe", "starting"}),
    "main": frozenset({*ORDER[ORDER.index("main") :], "fastpath"}),
    "probe": frozenset(ORDER[ORDER.index("main") :]),
    "starting": frozenset({*ORDER[ORDER.index("main") :], "importing", "probe"}),
    "importing": frozenset(ORDER[ORDER.index("sources") :]),
    "fastpath": frozenset(ORDER[ORDER.index("server") :]),
    "demo": frozenset(),
    "extend": frozenset(ORDER[ORDER.index("schema") :]),
}
"""Packages outside of the order, or that may import more. Only ``main`` imports ``fastpath``."""


def modules() -> Iterator[str]:
    """List all modules by their dotted names below ``app``."""
    for path in sorted(ROOT.rglob("*.py")):
        if "node_modules" not in path.parts:
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


def package_of(module: str) -> str:
    """Return the package of a module: its folder, or the module itself."""
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
            assert node.level == 0, f"{module}: a relative import hides its target"
            if node.module is not None and node.module.partition(".")[0] == "app":
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}".split(".")[1:]
                    is_module = ROOT.joinpath(*whole).with_suffix(".py").exists()
                    found.add(".".join(whole if is_module else whole[:-1]))
        elif isinstance(node, ast.Import):
            found |= {one.name[4:] for one in node.names if one.name.startswith("app.")}
    return found - {""}


def forbidden_imports(module: str) -> set[str]:
    """Return the imports of a module that its package may not have."""
    package = package_of(module)
    allowed = EXCEPTIONS.get(package)
    if allowed is None:
        allowed = frozenset(ORDER[ORDER.index(package) :] if package in ORDER else ())
    return {one for one in imports(module) if package_of(one) not in {*allowed, package}}


def types_of(module: ast.Module) -> Iterator[str]:
    """List the names of the classes and type aliases that a module defines.

    An alias is a name in camel case that has a value other than a call. A type variable is not an
    alias: it stands for another type in each module.
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
def test_a_module_imports_only_from_its_own_and_later_packages(module: str) -> None:
    assert not forbidden_imports(module)


def test_every_package_is_in_the_order_or_an_exception() -> None:
    packages = {package_of(module) for module in modules()} - {"__init__"}

    assert packages == {*ORDER, *EXCEPTIONS}


def test_the_name_of_a_class_or_type_alias_exists_once() -> None:
    defined: defaultdict[str, list[str]] = defaultdict(list)
    for module in modules():
        for name in types_of(parsed(module)):
            defined[name].append(module)

    assert {"Settings", "SettingsCheck", "UrlPath"} <= defined.keys()
    assert not {name: places for name, places in defined.items() if len(places) > 1}


def test_each_form_of_a_class_or_type_alias_is_found() -> None:
    module = ast.parse(
        "class One: ...\nTwo = int | str\nThree: TypeAlias = int\nFour = Annotated[int, 1]\n"
        "T = TypeVar('T')\nAnyRow = TypeVar('AnyRow')\nMOST = 1\n_names = 1\nfive: int = 5\n"
    )

    assert [*types_of(module)] == ["One", "Two", "Three", "Four"]
