"""Records that hold a part of their fields. Pure."""

from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, create_model

from app.sources.base import Record, SourceSpec
from app.sources.decoding import values_of

R = TypeVar("R", bound=Record)


def partial(spec: SourceSpec[R], fields: Collection[str]) -> SourceSpec[R]:
    """Narrow the record of a source.

    Args:
        spec: The source.
        fields: Which fields of its record are read.

    Returns:
        The source with a record of these fields and the key. To read any other is an error: what
        was not asked for is not ``None``.
    """
    kept: dict[str, Any] = {
        name: (info.annotation, copy(info))
        for name, info in spec.record.model_fields.items()
        if name in fields or name == spec.key
    }
    record = create_model(
        spec.record.__name__, __base__=Record, __doc__=spec.record.__doc__, **kept
    )
    return replace(spec, record=cast("type[R]", record))  # it is read as one, as far as it goes


class _Joined(Record):
    """What several partial records of one user hold together."""

    model_config = ConfigDict(extra="allow")


def joined(records: Sequence[R]) -> R:
    """Put partial records of one user together.

    Args:
        records: The records, at least one; where two have a field, the later counts.

    Returns:
        One with all their fields.
    """
    if len(records) == 1:
        return records[0]
    values = {name: value for record in records for name, value in values_of(record).items()}
    return cast("R", _Joined.model_construct(**values))  # see above
