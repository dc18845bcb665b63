"""What a source failure does to a field, to a user and to the operation. Pure: the one rule.

Both renderers use it: the resolvers under Strawberry's executor, and the compiled renderer.

- A user is ``null`` without an error if none of the asked sources knows the id.
- A failure of a source whose contract is ``required`` fails the user. So does a failure of the
  one source that is asked only whether the user exists: no field could report it.
- Any other failure fails the fields that read the source, each with the first failure among its
  sources. Fields of other sources keep their values.
- A damaged field of a record fails the fields of the user that read it, and nothing else.
- The client chooses how far an error propagates: ``onError``.

A source with the contract ``stale_ok`` fails only if the cache has no old record, and then like an
``optional`` source.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import TypeAlias

from graphql import GraphQLError
from msgspec import Struct

from app.errors import GatewayError, SourceFailure
from app.execution.plan import Plan, PlannedRoot, SourceNeeds, UserGroup
from app.execution.request import OnError
from app.sources.base import DamagedRecord, UserId
from app.sources.results import Result, failure_among

Results: TypeAlias = Mapping[str, Mapping[UserId, Result]]
"""Results by source and user; perhaps of more users than the operation needs."""


class Outcome(Struct, frozen=True):
    """What becomes of one user.

    Attributes:
        known: Whether the user exists, as far as the sources could say.
        failure: The failure that fails the whole user, if there is one.
        failures: The results of single sources that failed or are damaged, by source, if the user
            exists.
    """

    known: bool
    failure: SourceFailure | None = None
    failures: Mapping[str, Result] = {}

    def failure_of(
        self, sources: Sequence[str], fields: Collection[str] | None
    ) -> SourceFailure | None:
        """Return the failure that fails a field of the user.

        Args:
            sources: The sources that the field reads.
            fields: The record fields that it reads; ``None`` for all.

        Returns:
            The first failure among its sources and record fields; ``None`` if there is none.
        """
        return failure_among(sources, self.failures, fields) if self.failures else None


UNKNOWN = Outcome(known=False)
"""No source knows the user."""

WHOLE = Outcome(known=True)
"""The user exists, and no source failed."""


def outcome_of(
    results: Mapping[str, Result], needs: SourceNeeds, required: Collection[str]
) -> Outcome:
    """Decide what becomes of one user.

    Args:
        results: The result of each needed source, in the order of ``needs.sources``.
        needs: The sources that the user's fields need.
        required: Names of the sources whose failure fails the user.

    Returns:
        The outcome.
    """
    if not needs.exists and all(one is None for one in results.values()):
        return UNKNOWN
    failures = {
        name: one for name, one in results.items() if isinstance(one, SourceFailure | DamagedRecord)
    }
    if not failures:
        return WHOLE
    vital = needs.sources if needs.existence_only else required
    for name, one in failures.items():
        if isinstance(one, SourceFailure) and name in vital:
            return Outcome(known=False, failure=one)
    return Outcome(known=True, failures=failures)


DAMAGES = frozenset({SourceFailure, DamagedRecord})
"""The types of results that fail a field of the user or more."""


class GroupResults(Struct, frozen=True):
    """The results for the users of a group.

    Attributes:
        columns: One column for each source: the results in the order of the users.
        bug: The first bug of ours among them, which fails the root field; ``None`` if there is
            none.
        whole: Whether no source failed for any of the users, and no record is damaged.
    """

    columns: Sequence[Sequence[Result]]
    bug: Exception | None
    whole: bool


def results_of(group: UserGroup, results: Results) -> GroupResults:
    """Arrange the results for the users of a group.

    Args:
        group: The users, and the sources that they need.
        results: The results of the sources.

    Returns:
        The results for these users.
    """
    sources = group.selection.needs.sources
    columns = [[*map(results[source].__getitem__, group.keys)] for source in sources]
    kinds = {*map(type, chain.from_iterable(columns))}  # a few, of many results
    bug: Exception | None = None
    if any(issubclass(kind, Exception) for kind in kinds):
        every = chain.from_iterable(columns)
        bug = next(result for result in every if isinstance(result, Exception))
    return GroupResults(columns, bug, whole=kinds.isdisjoint(DAMAGES))


def bugs_in(results: Results) -> Iterator[Exception]:
    """Yield all bugs of ours among results, so that their tracebacks can be dropped.

    Args:
        results: The results of the sources.

    Yields:
        The exceptions; one that prevented a whole call may come several times.
    """
    for by_user in results.values():
        for result in by_user.values():
            if isinstance(result, Exception):
                yield result


def propagates(on_error: OnError, *, nullable: bool) -> bool:
    """Return whether an error at a position fails its parent, too.

    Args:
        on_error: The client's choice (GraphQL specification, proposed ``onError``): ``NULL``
            keeps an error at its position, ``PROPAGATE`` follows non-null types, and ``HALT`` ends
            the operation.
        nullable: Whether the position may be ``null`` by the schema.

    Returns:
        Whether the error propagates.
    """
    return on_error == "HALT" or (on_error == "PROPAGATE" and not nullable)


def ended_by(
    plan: Plan, on_error: OnError
) -> tuple[PlannedRoot, GatewayError | GraphQLError] | None:
    """Find the error that fails the whole operation before any source is asked.

    Args:
        plan: The plan of the request.
        on_error: The client's choice.

    Returns:
        The first root field with such an error, and the error; ``None`` if there is none.
    """
    for root in plan.roots.values() if on_error != "NULL" else ():
        if root.error is not None and propagates(on_error, nullable=root.selection.nullable):
            return root, root.error
    return None
