"""Checks whether the installed libraries are the ones that our code was written for.

Code that uses private parts of a library works for one minor version of it. With another version
its results could be wrong without an error. So it names these parts, and the start checks them: a
fast path is then switched off, and the server does not start without its rules for connections.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import version

from msgspec import Struct


class Requirement(Struct, frozen=True):
    """The private parts of a library that some code needs.

    Attributes:
        name: The code; a fast path by the name of its setting.
        package: The library.
        minor: The minor version that the code was written for, such as ``3.14``.
        parts: The names of the parts, by the class that has them.
    """

    name: str
    package: str
    minor: str
    parts: Mapping[type, tuple[str, ...]]

    def missing(self, version_of: Callable[[str], str] = version) -> str | None:
        """Return why the code cannot be used.

        Args:
            version_of: Returns the version of an installed package.

        Returns:
            The difference of the library, in a few words; ``None`` if the code can be used.
        """
        installed = version_of(self.package)
        if installed.split(".")[:2] != self.minor.split("."):
            return f"written for {self.package} {self.minor}, found {installed}"
        for owner, parts in self.parts.items():
            names = {*dir(owner), *_slots(owner), *_method_names(owner)}
            for part in parts:
                if part not in names:
                    return f"{owner.__name__} has no {part}"
        return None


def _slots(owner: type) -> set[str]:
    """Return the slots of a class and its bases."""
    return {name for base in owner.__mro__ for name in getattr(base, "__slots__", ())}


def _method_names(owner: type) -> set[str]:
    """Return the names in the methods of a class. They include all attributes that these set."""
    codes = (
        getattr(method, "__code__", None)
        for base in owner.__mro__
        for method in vars(base).values()
    )
    return {name for code in codes if code is not None for name in code.co_names}
