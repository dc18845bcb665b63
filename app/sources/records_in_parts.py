"""Records in parts: the endpoints that give the parts, and how parts become one record. Pure.

What is asked by itself: a source, or one of several endpoints that give one record.

Records that hold a part of their fields. Pure.

How the record of one source is divided over endpoints that are asked apart. Pure.
"""

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeAlias, TypeVar, cast

from pydantic import ConfigDict, create_model

from app.settings.source import SourceSettings
from app.sources.base import FieldSet, Record, SourceSpec
from app.sources.mapping.decoding import values_of

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[R]):
    """What is asked by itself.

    Attributes:
        spec: Its name, and the record of the fields that it gives.
        settings: How it is asked and read; all else is its service's.
    """

    spec: SourceSpec[R]
    settings: SourceSettings

    @property
    def selects(self) -> bool:
        """Whether it can be asked for fewer fields than it gives."""
        request = self.settings.request
        return request is not None and request.select is not None

    @property
    def gives(self) -> FieldSet:
        """The fields of the record that it gives, but for the key, which all have."""
        return frozenset(self.spec.record.model_fields) - {self.spec.key}


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


@dataclass(frozen=True, slots=True)
class EndpointPartition:
    """How the record of one source is divided over its endpoints.

    Attributes:
        first: Name of the endpoint that tells whether a user exists, if nothing else is read.
        gives: Name of the endpoint that gives each field of the record.
    """

    first: str
    gives: Mapping[str, str]

    def endpoints_for(self, fields: Collection[str] | None) -> tuple[str, ...]:
        """Find the endpoints that give some fields.

        Args:
            fields: Names of fields of the record; ``None`` for all of them.

        Returns:
            Names of the endpoints, each once; at least one.
        """
        names = {name: None for one, name in self.gives.items() if fields is None or one in fields}
        return tuple(names) or (self.first,)


EndpointPartitions: TypeAlias = Mapping[str, EndpointPartition]
"""By name of the source, of those that have several endpoints."""


def partitions_of(endpoints: Mapping[str, Sequence[Endpoint[Any]]]) -> EndpointPartitions:
    """Find how sources are divided.

    Args:
        endpoints: What is asked for each source, by its name.

    Returns:
        The divisions of those that have endpoints of other names.
    """
    return {
        name: EndpointPartition(
            first=several[0].spec.name,
            gives={field: one.spec.name for one in several for field in sorted(one.gives)},
        )
        for name, several in endpoints.items()
        if [one.spec.name for one in several] != [name]
    }
