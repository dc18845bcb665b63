"""Dataclasses that nobody changes, and that are made as fast as those that somebody may.

A frozen dataclass sets each of its fields by way of ``object.__setattr__``, which takes four times
as long. So the values of which every request makes some are frozen by the word of the type
checkers, who see no other than ``dataclasses.dataclass`` here.
"""

from typing import TYPE_CHECKING, TypeVar

__all__ = ["readonly"]

if TYPE_CHECKING:
    from dataclasses import dataclass as readonly
else:
    from collections.abc import Callable
    from dataclasses import dataclass

    T = TypeVar("T")

    def readonly(*, frozen: bool, slots: bool = False) -> Callable[[type[T]], type[T]]:
        """Make a dataclass that compares and hashes as a frozen one does."""
        return dataclass(slots=slots, unsafe_hash=frozen)
