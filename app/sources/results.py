"""The source results of one user. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar, cast

from app.errors import SourceError, SourceFailure
from app.sources.base import Record, SourceSpec
from app.sources.records_in_parts import EndpointPartition, EndpointPartitions, joined

R = TypeVar("R", bound=Record)


Result: TypeAlias = Record | SourceFailure | Exception | None
"""The source result of one user, or a bug of ours.

A record; ``None`` if the source does not know the user; a ``SourceFailure`` if it failed; an
exception if a bug of ours prevented the call.
"""


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
            SourceError: The source failed.
            KeyError: The source was not asked: the plan lacks a source that a field reads.
        """
        partition = self.partitions.get(spec.name)
        names = (spec.name,) if partition is None else partition.endpoints_for(fields)
        if (failure := failure_among(names, self.results)) is not None:
            raise SourceError(failure)
        # A result under this name is of this source's record type, and bugs are raised earlier.
        records = [cast("R | None", self.results[name]) for name in names]
        known = [record for record in records if record is not None]
        if len(known) < len(records):
            return None
        return known[0] if len(known) == 1 else joined(known)


def failure_among(sources: Sequence[str], results: Mapping[str, Result]) -> SourceFailure | None:
    """Return the failure that fails a field which reads some sources.

    Args:
        sources: The sources that the field reads.
        results: Results by source.

    Returns:
        The failure of the first source that failed; ``None`` if none did.
    """
    for name in sources:
        if isinstance(failure := results.get(name), SourceFailure):
            return failure
    return None
