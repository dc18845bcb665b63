"""Users whose sources are still being asked, for an answer that comes in several payloads.

All fetches of the plan have begun. A root field waits only until it is known which users exist; the
fields of a user wait for their own sources (``executor.py``). Whether a user exists is decided as
for a whole answer (``outcome.py``), so that the payloads together are that answer:

- A user exists as soon as one of the sources that the whole selection needs has something to say of
  it. So the first payload waits for others only if its own sources do not know the user.
- A source whose contract is ``required`` is waited for in any case: its failure fails the user.
"""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.errors import GatewayError, SourceError
from app.execution.context import Context
from app.execution.load import RunningFetches
from app.execution.outcome import outcome_of
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
        root = self._root
        places: dict[int, tuple[UserGroup, UserId]] = {
            place: (group, key)
            for group in root.groups
            for place, key in zip(group.places, group.keys, strict=True)
        }
        await self._running.wait_for(self._first())
        for place in range(root.count or 0):
            if place in places:
                yield await self._user(*places[place])
            else:
                yield root.wrong.get(place)

    def _first(self) -> Iterator[str]:
        """Yield the sources that are waited for in any case, for all users at once."""
        for group in self._root.groups:
            first = group.selection.first | self._context.required
            yield from (one for one in group.selection.needs.sources if one in first)

    async def _user(self, group: UserGroup, key: UserId) -> ResolvedUser | GatewayError | None:
        """Wait until it is known whether a user exists."""
        needs = group.selection.needs
        results = ResultsOfUser(self._running, key, needs.sources)
        while all(one is None for one in results.values()) and len(results) < len(needs.sources):
            await self._running.wait_for(self._running.unanswered(needs.sources), first=True)
        outcome = outcome_of(dict(results), needs, self._context.required)
        if outcome.failure is not None:
            return SourceError(outcome.failure)
        if not outcome.known:
            return None
        running = RunningResults(
            results=results,
            partitions=self._context.loaders.partitions,
            running=self._running,
            sources=needs.sources,
        )
        return ResolvedUser(key, running)
