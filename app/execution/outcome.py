"""What a source failure does to a field, to a user and to the operation. Pure: the one rule.

Both renderers ask here: the resolvers under Strawberry's executor, and the compiled renderer.

- A user is ``null`` without an error where every source that was asked for it says that it does not
  know the id.
- A failure of a source whose contract is ``required`` fails the user. So does the failure of the
  one source that is asked only whether the user exists: no field could say that it failed.
- Any other failure fails the fields that read the source, each with the first failure among its
  sources. Fields of other sources are there.
- How far an error goes up is the client's choice: ``onError``.

A source with the contract ``stale_ok`` fails only where the cache has no old record at hand, and
then as an ``optional`` one.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from app.errors import SourceFailure
from app.execution.plan import SourceNeeds, UserGroup
from app.execution.request import OnError
from app.sources.base import UserId
from app.sources.results import Result, failure_among

Results: TypeAlias = Mapping[str, Mapping[UserId, Result]]
"""What came of asking, by source and user; perhaps of more users than were asked for."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of one user.

    Attributes:
        known: Whether there is such a user, as far as the sources could say.
        failure: The failure that fails the whole user, if one does.
        failures: The failed sources of a user that is there.
    """

    known: bool
    failure: SourceFailure | None = None
    failures: Mapping[str, SourceFailure] = field(default_factory=dict[str, SourceFailure])

    def of_field(self, sources: Sequence[str]) -> SourceFailure | None:
        """Find the failure that fails a field of the user.

        Args:
            sources: The sources that the field reads.

        Returns:
            The failure of the first of them that failed; ``None`` where none did.
        """
        return failure_among(sources, self.failures) if self.failures else None


UNKNOWN = Outcome(known=False)
"""No source knows the user."""

WHOLE = Outcome(known=True)
"""The user is there, and no source failed."""


def outcome_of(
    results: Mapping[str, Result], needs: SourceNeeds, required: Collection[str]
) -> Outcome:
    """Find what becomes of one user.

    Args:
        results: What each of the needed sources said, in the order of ``needs.sources``.
        needs: The sources that the user's fields need.
        required: Names of the sources without which there is no user.

    Returns:
        The outcome.
    """
    if all(one is None for one in results.values()):
        return UNKNOWN
    failures = {name: one for name, one in results.items() if isinstance(one, SourceFailure)}
    if not failures:
        return WHOLE
    vital = needs.sources if needs.existence_only else required
    failure = next((one for name, one in failures.items() if name in vital), None)
    if failure is not None:
        return Outcome(known=False, failure=failure)
    return Outcome(known=True, failures=failures)


def bug_of(groups: Sequence[UserGroup], results: Results) -> Exception | None:
    """Find the bug of ours that fails a root field.

    Args:
        groups: The users of the field.
        results: What the sources said.

    Returns:
        The first exception among what its sources said of its users; ``None`` where all is well.
    """
    for group in groups:
        for name in group.selection.needs.sources:
            said = results[name]
            for key in group.keys:
                one = said[key]
                if isinstance(one, Exception):
                    return one
    return None


def bugs_in(results: Results) -> Iterator[Exception]:
    """Find all bugs of ours among results, so that the frames in their tracebacks can be let go.

    Args:
        results: What the sources said.

    Yields:
        The exceptions; one that kept a source from being asked at all may come several times.
    """
    for said in results.values():
        for one in said.values():
            if isinstance(one, Exception):
                yield one


def goes_up(on_error: OnError, *, nullable: bool) -> bool:
    """Tell whether an error at a position fails the position above, too.

    Args:
        on_error: What the client wants (GraphQL specification, proposed ``onError``): ``NULL``
            keeps an error at its position, ``PROPAGATE`` follows non-null types, and ``HALT`` ends
            the operation.
        nullable: Whether the schema lets the position be ``null``.

    Returns:
        Whether it does.
    """
    return on_error == "HALT" or (on_error == "PROPAGATE" and not nullable)
