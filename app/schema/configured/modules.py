"""Imports the Python module that ``[schema] module`` names.

The file's folder is added to the end of Python's path, so that the module can import others beside
it, and that nothing in the folder replaces an installed package.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from importlib import import_module, invalidate_caches
from inspect import isasyncgenfunction, iscoroutinefunction, signature
from pathlib import Path
from traceback import walk_tb
from types import CodeType, ModuleType
from typing import cast

from msgspec import Struct

from app.schema.extension import API_VERSION, Extension, version_mistake
from app.sources.own.contract import OwnSource

API = "app.extend.v"
"""The beginning of the names of the API's modules, of which there is one for each major version."""

_FUNCTION = "extension"
"""The name of the function that a module defines."""

_EXPECTED = f"expected def {_FUNCTION}() -> Extension"


class LoadedModule(Struct, frozen=True):
    """A module of the operator.

    Attributes:
        name: Its name.
        extension: What it declares; ``None`` if that is not known.
        mistakes: What is wrong with it.
    """

    name: str
    extension: Extension | None = None
    mistakes: Sequence[str] = ()

    @property
    def sources(self) -> Sequence[OwnSource]:
        """The sources that it brings. What is no source is reported elsewhere."""
        found = () if self.extension is None else self.extension.sources
        every = cast("Sequence[object]", found)  # a module says what it wants
        return [replace(one, module=self.name) for one in every if isinstance(one, OwnSource)]


def load_module(place: str) -> LoadedModule:
    """Import a module, and ask it what it declares.

    Python imports a module once in a process. It is asked each time.

    Args:
        place: Its name, after the path of its folder and a slash.

    Returns:
        The module. Its mistakes are parts of a sentence after its name.
    """
    folder, _, name = place.rpartition("/")
    top = Path(folder or ".").resolve()
    if str(top) not in sys.path:
        sys.path.append(str(top))
    invalidate_caches()  # of a folder that has just been written
    try:
        with redirect_stdout(sys.stderr):  # what a module prints is no output of ours
            module = import_module(name)
            what = _shadow(name, top) or _function_mistake(module, top)
            extension = None if what is not None else getattr(module, _FUNCTION)()
    except KeyboardInterrupt:  # the operator does not want to wait any longer
        raise
    except BaseException as error:  # noqa: BLE001 # the operator's code may raise anything
        return LoadedModule(name, mistakes=(_why(error, name, top),))
    if what is not None:
        return LoadedModule(name, mistakes=(what,))
    if not isinstance(extension, Extension):
        found = "None" if extension is None else type(extension).__name__
        what = f"has a function {_FUNCTION} that returns {found}: expected an Extension."
        return LoadedModule(name, mistakes=(what,))
    if (wrong := version_mistake(extension.api)) is not None:
        return LoadedModule(name, mistakes=(wrong,))
    return LoadedModule(name, extension)


def _shadow(name: str, folder: Path) -> str | None:
    """Return what is wrong if another module has the name of one in the folder."""
    first = name.partition(".")[0]
    here = [folder / f"{first}.py", folder / first / "__init__.py"]
    found = next((one for one in here if one.is_file()), None)
    loaded = _origin(sys.modules[first])
    if found is None or loaded == found:
        return None
    return f"is the name of another module, too ({loaded or 'a part of Python'}): rename {found}."


def _origin(module: ModuleType) -> Path | None:
    """Return the file of a module; ``None`` if it has none."""
    origin = getattr(module, "__file__", None)
    return None if origin is None else Path(origin).resolve()


def _function_mistake(module: ModuleType, folder: Path) -> str | None:
    """Return why a module cannot be asked what it declares; ``None`` if it can."""
    function: object = getattr(module, _FUNCTION, None)
    if not callable(function):
        return f"has no function {_FUNCTION}: {_EXPECTED}."
    code = getattr(function, "__code__", None)
    place = ""
    if isinstance(code, CodeType):
        path = Path(code.co_filename)
        shown = path.relative_to(folder) if path.is_relative_to(folder) else path
        place = f" ({shown}:{code.co_firstlineno})"
    if iscoroutinefunction(function) or isasyncgenfunction(function):
        return f"has a function {_FUNCTION} that is async{place}: {_EXPECTED}."
    try:
        signature(function).bind()
    except TypeError:
        return f"has a function {_FUNCTION} with parameters{place}: {_EXPECTED}."
    except ValueError:
        return None  # a function of C, which says nothing of its parameters
    return None


def _why(error: BaseException, name: str, folder: Path) -> str:
    """Say why a module cannot be imported or asked."""
    if isinstance(error, ModuleNotFoundError) and error.name == name and name.endswith(".py"):
        return f"is not found: write it without .py, as in {name.removesuffix('.py')}."
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and (name == missing or name.startswith(f"{missing}.")):
        return (
            f"is not found: expected {name.replace('.', '/')}.py in {folder}, or an installed"
            " package."
        )
    if missing is not None and missing.startswith(API):
        version = missing.removeprefix(API)
        return (
            f"is written for version {version} of the API ({_place(error, folder)}): this gateway"
            f" has version {API_VERSION}."
        )
    return f"cannot be loaded ({_place(error, folder)}): {type(error).__name__}: {error}"


def _place(error: BaseException, folder: Path) -> str:
    """Return the file and line where an error is: the last one in the folder of the module."""
    places = [*_places(error)]
    own = [one for one in places if Path(one[0]).is_relative_to(folder)]
    if not places:
        return "in Python itself"
    path, line = (own or places)[-1]
    shown = Path(path).relative_to(folder) if own else Path(path)
    return f"{shown}:{line}"


def _places(error: BaseException) -> Iterator[tuple[str, int]]:
    """Yield the files and lines that led to an error."""
    for frame, line in walk_tb(error.__traceback__):
        path = frame.f_code.co_filename
        if not path.startswith("<"):
            yield path, line
    if isinstance(error, SyntaxError) and error.filename is not None:
        yield error.filename, error.lineno or 1
