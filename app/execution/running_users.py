"""Users whose sources are still being asked, for an answer that comes in several payloads.

All fetches of the plan have begun. A root field waits only until it is known which users exist; the
fields of a user wait for their own sources (``executor.py``). Whether a user exists is decided as
for a whole answer (``outcome.py``), so that the payloads together are that answer:

- A user exists as soon as one of the sources that the whole selection needs has something to say of
  it. So the first payload waits for others only if its own sources do not know the user.
- A source whose contract is ``required`` is waited for in any case: its failure fails the user.
"""

from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.errors import GatewayError, SourceError
from app.execution.context import Context
from app.execution.fetching import RunningFetches
from app.execution.outcome import Outcome, outcome_of
from app.execution.plan import PlannedRoot, UserGroup
from app.schema.types import ResolvedUser
from app.sources.base import UserId
from app.sources.results import Result, SourceResults


class ResultsOfUser(Mapping[str, Result]):
    """The source results of one user so far, by name of the source."""

    def __init__(self, running: RunningFetches, user: UserId, sources: Sequence[str]) -> None:
        """Look at the results of running fetches.

        Args:
            running: The fetches.
            user: The user.
            sources: The sources that are asked about the user.
        """
        self._running = running
        self._user = user
        self._sources = sources

    def __getitem__(self, source: str) -> Result:
        return self._running.results[source][self._user]

    def __iter__(self) -> Iterator[str]:
        unanswered = self._running.unanswered(self._sources)
        return (one for one in self._sources if one not in unanswered)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningResults(SourceResults):
    """The source results of one user, some of which may not be there yet.

    Attributes:
        running: The fetches.
        sources: The sources that are asked about the user.
    """

    running: RunningFetches
    sources: Sequence[str]

    def unanswered(self, sources: Iterable[str]) -> Sequence[str]:
        """List the sources whose results are not there yet.

        Args:
            sources: Sources that fields of the user read.

        Returns:
            Those of them that are still being asked about the user.
        """
        return self.running.unanswered(one for one in sources if one in self.sources)

    async def wait_for(self, sources: Iterable[str]) -> None:
        """Wait for the results of sources.

        Args:
            sources: Sources that are asked about the user.
        """
        await self.running.wait_for(sources)


class RunningRoot:
    """Finds the users of one root field as soon as it is known which of them exist."""

    def __init__(self, root: PlannedRoot, running: RunningFetches, context: Context) -> None:
        """Prepare the users.

        Args:
            root: The root field with its users.
            running: The fetches of the plan.
            context: The context of the resolvers.
        """
        self._root = root
        self._running = running
        self._context = context

    async def users(self) -> Sequence[ResolvedUser | GatewayError | None]:
        """Wait for the users.

        Returns:
            One result for each key that the field names, in their order.
        """
        return [user async for user in self.stream()]

    async def stream(self) -> AsyncGenerator[ResolvedUser | GatewayError | None]:
        """Wait for one user after the other.

        Yields:
            One result for each key that the field names, in their order.
        """
        root, next_place = self._root, 0
        async for number, place, key, outcome in outcomes(
            root, self._running, self._context.required
        ):
            for before in range(next_place, place):
                yield root.wrong.get(before)
            yield self._user(root.groups[number], key, outcome)
            next_place = place + 1
        for place in range(next_place, root.count or 0):
            yield root.wrong.get(place)

    def _user(
        self, group: UserGroup, key: UserId, outcome: Outcome
    ) -> ResolvedUser | GatewayError | None:
        """Return a user for the resolvers."""
        if outcome.failure is not None:
            return SourceError(outcome.failure)
        if not outcome.known:
            return None
        sources = group.selection.needs.sources
        running = RunningResults(
            results=ResultsOfUser(self._running, key, sources),
            partitions=self._context.loaders.partitions,
            running=self._running,
            sources=sources,
        )
        return ResolvedUser(key, running)


async def outcomes(
    root: PlannedRoot, running: RunningFetches, required: Collection[str]
) -> AsyncGenerator[tuple[int, int, UserId, Outcome]]:
    """Find what becomes of each user of a root field, as soon as that is known.

    Args:
        root: The root field with its users.
        running: The fetches of the plan.
        required: Names of the sources whose failure fails the user.

    Yields:
        For each user, in the order of the places: the number of the group, the place, the user's
        id, and the outcome.
    """
    await running.wait_for(_awaited_first(root, required))
    users = [
        (place, number, key)
        for number, group in enumerate(root.groups)
        for place, key in zip(group.places, group.keys, strict=True)
    ]
    waiting = [running.unanswered(group.selection.needs.sources) for group in root.groups]
    for place, number, key in users if len(root.groups) == 1 else sorted(users):
        needs = root.groups[number].selection.needs
        while True:
            unanswered = waiting[number]
            results = {
                one: running.results[one][key] for one in needs.sources if one not in unanswered
            }
            if not unanswered or any(one is not None for one in results.values()):
                break
            await running.wait_for(unanswered, first=True)
            waiting[number] = running.unanswered(needs.sources)
        yield number, place, key, outcome_of(results, needs, required)


def _awaited_first(root: PlannedRoot, required: Collection[str]) -> Iterator[str]:
    """Yield the sources that are waited for in any case, for all users at once."""
    for group in root.groups:
        first = group.selection.first.union(required)
        yield from (one for one in group.selection.needs.sources if one in first)
