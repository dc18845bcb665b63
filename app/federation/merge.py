"""What the asked sources said of one user, put together. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

from app.errors import SourceError, SourceFailedError
from app.federation.division import Division, Divisions
from app.sources.base import Record, SourceSpec
from app.sources.partial import joined

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Parts:
    """What each asked source said of one user.

    Attributes:
        answers: By name of the source, or of its endpoint: a record, ``None`` when it does not
            know the user, or its failure.
        divisions: How sources are divided into endpoints.
    """

    answers: Mapping[str, Record | SourceError | None]
    divisions: Divisions = field(default_factory=dict[str, Division], repr=False)

    @property
    def unknown(self) -> bool:
        """Whether every asked source said that there is no such user.

        A failure leaves it open whether the user exists, so it does not count as a no.
        """
        return all(answer is None for answer in self.answers.values())

    def failure_of(self, names: Collection[str]) -> SourceError | None:
        """Find the first failure among some sources.

        Args:
            names: Names of sources, asked or not.

        Returns:
            The failure, or ``None`` when none of them failed.
        """
        for name, answer in self.answers.items():
            if name in names and isinstance(answer, SourceError):
                return answer
        return None

    def read(self, spec: SourceSpec[R], fields: Collection[str] | None = None) -> R | None:
        """Read what one of the asked sources said.

        Args:
            spec: The source.
            fields: What is read of its record; ``None`` for all.

        Returns:
            Its record with these fields, or ``None`` when it does not know the user.

        Raises:
            SourceFailedError: It failed.
            KeyError: It was not asked: the plan lacks a source that a field reads.
        """
        division = self.divisions.get(spec.name)
        if division is not None:
            records = [self._read(name) for name in division.of(fields)]
            known = [record for record in records if record is not None]
            return None if len(known) < len(records) else cast("R", joined(known))
        return cast("R | None", self._read(spec.name))  # a source by this name has its own records

    def _read(self, name: str) -> Record | None:
        """Read what was said by whom a name is of."""
        answer = self.answers[name]
        if isinstance(answer, SourceError):
            raise SourceFailedError(answer)
        return answer


def merge(
    sources: tuple[str, ...],
    *answers: Record | SourceError | None,
    divisions: Divisions | None = None,
) -> Parts:
    """Put together what the sources said of one user.

    Args:
        sources: Names of the asked sources.
        answers: What each said, in the same order.
        divisions: How sources are divided into endpoints.

    Returns:
        The user's parts.
    """
    return Parts(dict(zip(sources, answers, strict=True)), divisions or {})
