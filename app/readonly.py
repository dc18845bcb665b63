"""Dataclasses that are frozen for the type checkers, but not at run time.

A frozen dataclass sets each field by ``object.__setattr__``, which takes four times as long. So the
values that every request makes use ``readonly``. Type checkers see ``dataclasses.dataclass`` in its
place, and refuse assignments.
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
        """Make a dataclass that compares and hashes like a frozen one.

        Args:
            frozen: Whether instances are hashable, and frozen for type checkers.
            slots: Whether the class has slots.

        Returns:
            The class decorator.
        """
        return dataclass(slots=slots, unsafe_hash=frozen)
