"""Callers that ask for more than their quota, and what they get."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from random import Random
from typing import Final

from tests.chaos.clients import truth_of
from tests.chaos.verdict import Question, judge
from tests.cluster.clients import ClusterClient, random_address
from tests.cluster.journal import ClusterTally, Episode, Journal
from tests.cluster.machines import ClusterGateway
from tests.fakes import user_id
from tests.fault_server import FaultServer
from tests.truth import Field

QUOTA, WINDOW = 5_000, 60
"""What a caller may use in how many seconds."""

COST = 50
"""The cost of one request of a caller that asks for more than its quota."""

AT_ONCE, LASTS = 4, 2.5
"""How many requests at once such a caller sends, and for how many seconds."""


SPEND: Final = Question(
    users=tuple(user_id(number) for number in range(1, COST + 1)),
    fields=(Field("id", "profile", "id"),),
    many=True,
)
"""What they ask: a cost of one for each user."""


class Spenders:
    """Callers that ask for more than their quota.

    Args:
        client: Sends the questions.
        server: The sources, which know the truth.
        gateways: The gateways, which may be without the store.
        journal: Knows what was done to the store.
        tally: Counts.
    """

    def __init__(
        self,
        client: ClusterClient,
        server: FaultServer,
        gateways: Sequence[ClusterGateway],
        journal: Journal,
        tally: ClusterTally,
    ) -> None:
        self._client = client
        self._truth = truth_of(server)
        self._gateways = gateways
        self._journal = journal
        self._tally = tally

    async def spend_on(self, chance: Random) -> None:
        """Be one caller after the other."""
        while True:
            await asyncio.sleep(chance.uniform(0.2, 0.8))
            await self._spend(random_address(chance))

    async def _spend(self, caller: str) -> None:
        """Ask for more than the quota as one caller."""
        got, refused = Counter[str](), 0
        before, began = self._of_store(), self._journal.now

        async def ask_on() -> None:
            nonlocal refused
            while self._journal.now < began + LASTS:
                answer = await self._client.ask(SPEND.parameters, caller)
                if answer is not None and answer.status == HTTPStatus.TOO_MANY_REQUESTS:
                    refused += 1
                    await asyncio.sleep(0.1)
                elif answer is not None:
                    got[answer.gateway] += 1
                    wrong = judge(SPEND, answer.body, self._truth).wrong
                    self._tally.wrong += [f"{answer.place}: {one}" for one in wrong]

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(ask_on())
        due = QUOTA + QUOTA / WINDOW * (self._journal.now - began)
        after = self._of_store()
        episode = Episode(
            got.total() * COST, due, refused > 0, before == after and before is not None
        )
        self._tally.episodes.append(episode)
        if abs(episode.error) > 0.03 and episode.with_store:  # it is worth a look
            shares = ", ".join(f"{count} by {name}" for name, count in got.items())
            error = f"{episode.error:+.1%} of quota, answers: {shares}"
            self._journal.note(f"caller {caller} from {began:.2f} s: {error}")

    def _of_store(self) -> Sequence[object] | None:
        """Describe what was done to the store so far; ``None`` if a gateway is without it."""
        if self._journal.is_store_broken or not all(one.has_store for one in self._gateways):
            return None
        return [self._journal.store_changes, *(one.store_losses for one in self._gateways)]
