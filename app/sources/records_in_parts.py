"""Partial records: the endpoints that give them, and how they become one record. Pure."""

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from typing import Any, Generic, TypeAlias, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace
from pydantic import ConfigDict, create_model

from app.settings.source import SourceSettings
from app.sources.base import FieldSet, Record, SourceSpec
from app.sources.mapping.decoding import values_of

R = TypeVar("R", bound=Record)


class Endpoint(Struct, Generic[R], frozen=True):
    """One of the requests that together give the record of a source, or the only one.

    Attributes:
        spec: Its name, and the record type with the fields that it gives.
        settings: The settings of the service, with the request and answer of this endpoint.
    """

    spec: SourceSpec[R]
    settings: SourceSettings

    @property
    def selects(self) -> bool:
        """Whether its request can select some of its fields."""
        request = self.settings.request
        return request is not None and request.select is not None

    @property
    def gives(self) -> FieldSet:
        """The fields of the record that it gives, without the key, which every endpoint gives."""
        return frozenset(self.spec.record.model_fields) - {self.spec.key}


def partial(spec: SourceSpec[R], fields: Collection[str]) -> SourceSpec[R]:
    """Narrow the record of a source to some fields.

    Args:
        spec: The source.
        fields: The fields of the record that are kept.

    Returns:
        The source with a record type of these fields and the key. Other fields are missing, not
        ``None``: reading one raises ``AttributeError``.
    """
    kept: dict[str, Any] = {
        name: (info.annotation, copy(info))
        for name, info in spec.record.model_fields.items()
        if name in fields or name == spec.key
    }
    record = create_model(
        spec.record.__name__, __base__=Record, __doc__=spec.record.__doc__, **kept
    )
    return replace(spec, record=cast("type[R]", record))  # only its own fields may be read


class _Joined(Record):
    """The merged fields of several partial records of one user."""

    model_config = ConfigDict(extra="allow")


def joined(records: Sequence[R]) -> R:
    """Merge partial records of one user.

    Args:
        records: The records, at least one. If two have the same field, the later one counts.

    Returns:
        A record with all their fields.
    """
    if len(records) == 1:
        return records[0]
    values = {name: value for record in records for name, value in values_of(record).items()}
    return cast("R", _Joined.model_construct(**values))  # only the merged fields may be read


def with_fields(record: R, fields: Collection[str]) -> R:
    """Keep some fields of a record.

    Args:
        record: The record.
        fields: The fields that are kept.

    Returns:
        A record with these fields. Other fields are missing, not ``None``.
    """
    kept = {name: value for name, value in values_of(record).items() if name in fields}
    return cast("R", _Joined.model_construct(**kept))  # only the kept fields may be read


class EndpointPartition(Struct, frozen=True):
    """How the record of one source is divided over its endpoints.

    Attributes:
        first: Name of the endpoint that is read if only the existence of a user matters.
        gives: Name of the endpoint that gives each field, by name of the field.
    """

    first: str
    gives: Mapping[str, str]

    def endpoints_for(self, fields: Collection[str] | None) -> tuple[str, ...]:
        """Return the endpoints that give some fields.

        Args:
            fields: Names of fields of the record; ``None`` for all of them.

        Returns:
            Names of the endpoints, without duplicates, at least one.
        """
        names = {
            name: None for field, name in self.gives.items() if fields is None or field in fields
        }
        return tuple(names) or (self.first,)


EndpointPartitions: TypeAlias = Mapping[str, EndpointPartition]
"""The partitions by name of the source, for sources with several endpoints."""


def partitions_of(endpoints: Mapping[str, Sequence[Endpoint[Any]]]) -> EndpointPartitions:
    """Return how sources are divided over their endpoints.

    Args:
        endpoints: The endpoints by name of the source.

    Returns:
        The partitions of the sources whose endpoints have other names than the source.
    """
    return {
        name: EndpointPartition(
            first=several[0].spec.name,
            gives={
                field: endpoint.spec.name
                for endpoint in several
                for field in sorted(endpoint.gives)
            },
        )
        for name, several in endpoints.items()
        if [endpoint.spec.name for endpoint in several] != [name]
    }
