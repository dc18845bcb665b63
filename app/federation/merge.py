"""What the asked sources said of one user, put together. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

from app.errors import SourceError, SourceFailedError
from app.sources.base import Record, SourceSpec

R = TypeVar("R", bound=Record)


@dataclass(frozen=True, slots=True)
class Parts:
    """What each asked source said of one user.

    Attributes:
        answers: By name of the source: a record, ``None`` when it does not know the user, or its
            failure.
    """

    answers: Mapping[str, Record | SourceError | None]

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

    def read(self, spec: SourceSpec[R]) -> R | None:
        """Read what one of the asked sources said.

        Args:
            spec: The source.

        Returns:
            Its record, or ``None`` when it does not know the user.

        Raises:
            SourceFailedError: It failed.
            KeyError: It was not asked: the plan lacks a source that a field reads.
        """
        answer = self.answers[spec.name]
        if isinstance(answer, SourceError):
            raise SourceFailedError(answer)
        return cast("R | None", answer)  # a source by this name answers with its own records


def merge(sources: tuple[str, ...], *answers: Record | SourceError | None) -> Parts:
    """Put together what the sources said of one user.

    Args:
        sources: Names of the asked sources.
        answers: What each said, in the same order.

    Returns:
        The user's parts.
    """
    return Parts(dict(zip(sources, answers, strict=True)))
