"""Decoding the rows of an answer into records: the reference, by pydantic alone.

Another decoder may take its place (``fastpath/rows.py``). It has to give the same values for the
same bytes, in objects with the same attributes.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Protocol, TypeAlias, TypeVar

from pydantic import FailFast, TypeAdapter

from app.sources.base import Record

R = TypeVar("R", bound=Record)

RowDecoder: TypeAlias = Callable[[bytes], list[R]]
"""Reads a JSON array of rows. Raises pydantic's ``ValidationError`` where any row does not fit."""


class DecoderFactory(Protocol):
    """Makes the decoder of a record."""

    def __call__(self, record: type[R]) -> RowDecoder[R]:
        """Make it.

        Args:
            record: What a row is read into.

        Returns:
            The decoder. What it gives has the record's attributes; no more may be relied on.
        """
        ...


def validating_decoder(record: type[R]) -> RowDecoder[R]:
    """Make the decoder that reads every row as pydantic says.

    Args:
        record: What a row is read into.

    Returns:
        The decoder.
    """
    adapter: TypeAdapter[list[R]] = TypeAdapter(Annotated[list[record], FailFast()])  # type: ignore[valid-type, arg-type] # a type at run time
    return adapter.validate_json


def values_of(record: object) -> Mapping[str, Any]:
    """Take the values of a record's fields.

    Args:
        record: The record, or what a decoder gave in its place.

    Returns:
        The values, by the fields' Python names.
    """
    if isinstance(record, Record):
        return dict(record)
    names: tuple[str, ...] = getattr(record, "__struct_fields__")  # noqa: B009 # of what stands for one
    return {name: getattr(record, name) for name in names}
