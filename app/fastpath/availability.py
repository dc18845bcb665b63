"""Whether the libraries are what a fast path was written for.

A fast path on private parts of a library works for the minor version that it was written for.
With another one it may be wrong without a word, so that it steps aside, and says so once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a fast path needs of a library.

    Attributes:
        name: The fast path, as its setting calls it.
        package: The library.
        minor: The minor version that it was written for, such as ``3.14``.
        owner: The class whose private parts it uses.
        parts: These parts.
    """

    name: str
    package: str
    minor: str
    owner: type
    parts: tuple[str, ...]

    def missing(self, version_of: Callable[[str], str] = version) -> str | None:
        """Find out whether the library is another one.

        Args:
            version_of: Tells the version of an installed package.

        Returns:
            What is different, in a few words; ``None`` where the fast path can be used.
        """
        found = version_of(self.package)
        if found.split(".")[:2] != self.minor.split("."):
            return f"written for {self.package} {self.minor}, found {found}"
        known = {*dir(self.owner), *_slots(self.owner), *_assigned(self.owner)}
        gone = [part for part in self.parts if part not in known]
        return f"{self.owner.__name__} has no {gone[0]}" if gone else None


def _slots(owner: type) -> set[str]:
    """List the attributes that the classes of an object declare."""
    return {name for one in owner.__mro__ for name in getattr(one, "__slots__", ())}


def _assigned(owner: type) -> set[str]:
    """List the names that the methods of a class use, the attributes they set among them."""
    codes = (
        getattr(method, "__code__", None) for one in owner.__mro__ for method in vars(one).values()
    )
    return {name for code in codes if code is not None for name in code.co_names}
