"""Checks whether the installed libraries are the ones that a fast path was written for.

A fast path that uses private parts of a library works for one minor version of it. With another
version its results could be wrong without an error. So it is switched off, and that is logged once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True, slots=True)
class Requirement:
    """The private parts of a library that a fast path needs.

    Attributes:
        name: The fast path, by the name of its setting.
        package: The library.
        minor: The minor version that the fast path was written for, such as ``3.14``.
        owner: The class whose private parts it uses.
        parts: The names of these parts.
    """

    name: str
    package: str
    minor: str
    owner: type
    parts: tuple[str, ...]

    def missing(self, version_of: Callable[[str], str] = version) -> str | None:
        """Return why the fast path cannot be used.

        Args:
            version_of: Returns the version of an installed package.

        Returns:
            The difference of the library, in a few words; ``None`` if the fast path can be used.
        """
        installed = version_of(self.package)
        if installed.split(".")[:2] != self.minor.split("."):
            return f"written for {self.package} {self.minor}, found {installed}"
        names = {*dir(self.owner), *_slots(self.owner), *_method_names(self.owner)}
        absent = [part for part in self.parts if part not in names]
        return f"{self.owner.__name__} has no {absent[0]}" if absent else None


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
