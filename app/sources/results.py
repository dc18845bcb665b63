"""What the asked sources said of one user, put together. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar, cast

from app.errors import SourceError, SourceFailure
from app.sources.base import Record, SourceSpec
from app.sources.records_in_parts import EndpointPartition, EndpointPartitions, joined

R = TypeVar("R", bound=Record)


Result: TypeAlias = Record | SourceFailure | Exception | None
"""What came of asking a source about one user.

A record; ``None`` where the source does not know the user; a ``SourceFailure`` where it failed; an
exception where a bug of ours kept it from being asked.
"""


@dataclass(frozen=True, slots=True)
class SourceResults:
    """What each asked source said of one user.

    Attributes:
        results: By name of the source, or of its endpoint.
        divisions: How sources are divided into endpoints.
    """

    results: Mapping[str, Result]
    divisions: EndpointPartitions = field(default_factory=dict[str, EndpointPartition], repr=False)

    def read(self, spec: SourceSpec[R], fields: Collection[str] | None = None) -> R | None:
        """Read what one of the asked sources said.

        Args:
            spec: The source.
            fields: What is read of its record; ``None`` for all.

        Returns:
            Its record with these fields, or ``None`` when it does not know the user.

        Raises:
            SourceError: It failed.
            KeyError: It was not asked: the plan lacks a source that a field reads.
        """
        partition = self.divisions.get(spec.name)
        names = (spec.name,) if partition is None else partition.endpoints_for(fields)
        if (failure := failure_among(names, self.results)) is not None:
            raise SourceError(failure)
        # A source by this name has its own records, and bugs never come this far.
        records = [cast("R | None", self.results[name]) for name in names]
        known = [record for record in records if record is not None]
        if len(known) < len(records):
            return None
        return known[0] if len(known) == 1 else joined(known)


def failure_among(sources: Sequence[str], results: Mapping[str, Result]) -> SourceFailure | None:
    """Find the failure that fails a field which reads some sources.

    Args:
        sources: The sources that the field reads.
        results: What was said, by source.

    Returns:
        The failure of the first of them that failed; ``None`` where none did.
    """
    for name in sources:
        if isinstance(failure := results.get(name), SourceFailure):
            return failure
    return None
