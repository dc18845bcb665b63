"""The source results of one user. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar, cast

from app.errors import SourceError, SourceFailure
from app.sources.base import DamagedRecord, Record, SourceResult, SourceSpec
from app.sources.records_in_parts import EndpointPartition, EndpointPartitions, joined

R = TypeVar("R", bound=Record)


Result: TypeAlias = SourceResult[Record] | Exception
"""The source result of one user, or a bug of ours that prevented the call."""


@dataclass(frozen=True, slots=True)
class SourceResults:
    """The source results of one user.

    Attributes:
        results: Results by name of the source, or of its endpoint.
        partitions: How sources are divided into endpoints.
    """

    results: Mapping[str, Result]
    partitions: EndpointPartitions = field(default_factory=dict[str, EndpointPartition], repr=False)

    def read(self, spec: SourceSpec[R], fields: Collection[str] | None = None) -> R | None:
        """Return the record of one of the asked sources.

        Args:
            spec: The source.
            fields: The record fields that are needed; ``None`` for all.

        Returns:
            The record with these fields; ``None`` if the source does not know the user.

        Raises:
            SourceError: The source failed, or one of these fields is damaged.
            KeyError: The source was not asked: the plan lacks a source that a field reads.
        """
        partition = self.partitions.get(spec.name)
        names = (spec.name,) if partition is None else partition.endpoints_for(fields)
        if (failure := failure_among(names, self.results, fields)) is not None:
            raise SourceError(failure)
        # A result under this name is of this source's record type, and bugs are raised earlier.
        records = [cast("R | None", record_in(self.results[name])) for name in names]
        known = [record for record in records if record is not None]
        if len(known) < len(records):
            return None
        return known[0] if len(known) == 1 else joined(known)


def record_in(result: Result) -> Record | None:
    """Return the record of a result.

    Args:
        result: The result; not an exception.

    Returns:
        The record, even if it is damaged; ``None`` if the source failed or does not know the user.

    Raises:
        Exception: The result is a bug of ours.
    """
    if result is None or isinstance(result, SourceFailure):
        return None
    if isinstance(result, DamagedRecord):
        return result.record
    if isinstance(result, Exception):
        raise result
    return result


def failure_among(
    sources: Sequence[str], results: Mapping[str, Result], fields: Collection[str] | None
) -> SourceFailure | None:
    """Return the failure that fails a field of the schema.

    Args:
        sources: The sources that it reads.
        results: Results by source.
        fields: The record fields that it reads; ``None`` for all.

    Returns:
        The failure of the first source that failed, or of the first such record field that is
        damaged; ``None`` if there is none.
    """
    for name in sources:
        result = results.get(name)
        if isinstance(result, SourceFailure):
            return result
        if isinstance(result, DamagedRecord):
            for damaged, failure in result.failures.items():
                if fields is None or damaged in fields:
                    return failure
    return None
