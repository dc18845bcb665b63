"""Declaring a field together with the source that it reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import strawberry
from strawberry.types.base import StrawberryObjectDefinition

from app.federation.merge import Parts
from app.sources.base import PageSpec, Record, SourceSpec

R = TypeVar("R", bound=Record)
T = TypeVar("T")

Bind = Callable[[Mapping[str, Any]], Callable[[Any], object]]
"""Makes, of a field's coerced arguments, what reads its value from the record.

Raises ``BadUserInputError`` where an argument cannot be right.
"""

_READING = "reading"


class HasParts(Protocol):
    """A type whose fields read the answers of sources."""

    @property
    def parts(self) -> Parts:
        """What each asked source said."""
        ...


def reads(spec: SourceSpec[R], get: Callable[[R], T], description: str) -> T:
    """Declare a field that is read from one source's record.

    The field is ``null`` when the source does not know the user, and fails with the source's code
    when the source failed.

    Args:
        spec: The source.
        get: Reads the field's value from the record.
        description: What clients read about the field.

    Returns:
        The field; typed as its value, as dataclass fields are.
    """

    def resolve(root: HasParts) -> T | None:
        record = root.parts.read(spec)
        return None if record is None else get(record)

    field: Any = strawberry.field(
        resolver=resolve,
        description=description,
        metadata=reading(spec, bind=lambda _: get),
    )
    return field  # type: ignore[no-any-return] # the class body sees the type of the value


def reading(
    spec: SourceSpec[Any], *, bind: Bind | None = None, pages: PageSpec[Any] | None = None
) -> Mapping[str, object]:
    """Mark a field with a resolver of its own as reading a source.

    Args:
        spec: The source that is asked before the field is resolved.
        bind: Makes what reads the value from the record alone, where that is all it takes.
        pages: The list of it that the field's resolver reads page by page.

    Returns:
        The metadata for Strawberry's ``field``.
    """
    return {_READING: Reading(spec, bind, pages)}


@dataclass(frozen=True, slots=True)
class Reading:
    """A field and the source that it reads.

    Attributes:
        spec: The source.
        bind: Makes what reads the value from the record alone, where that is all it takes.
        pages: The list of it that the field reads page by page, if it does.
    """

    spec: SourceSpec[Any]
    bind: Bind | None
    pages: PageSpec[Any] | None


def readings(
    definition: StrawberryObjectDefinition, public_name: Callable[[Any], str]
) -> Mapping[str, Reading]:
    """List which fields of a type read which source.

    Args:
        definition: The type.
        public_name: Gives the public name of a field.

    Returns:
        What each field that reads a source reads, by its public name, in the order of the type.
    """
    return {
        public_name(field): field.metadata[_READING]
        for field in definition.fields
        if _READING in field.metadata
    }
