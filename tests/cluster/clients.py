"""Clients that ask through the proxy, and hold each answer against what the sources have."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from random import Random
from typing import Any, Final

import aiohttp
import orjson

from tests.chaos.clients import random_question, reasons_in, truth_of
from tests.chaos.verdict import Question, judge
from tests.chaos.weather import Weather
from tests.cluster.journal import ClusterTally, Episode, Journal
from tests.cluster.machines import ClusterGateway
from tests.fakes import user_id
from tests.fault_server import FaultServer
from tests.faults import SECRET
from tests.truth import Field

THINKING = 0.05
"""Seconds that a client mostly takes between an answer and its next question."""

SELECTIONS = 40
"""How many selections the clients have: a page has its own, and does not invent new ones."""

QUOTA, WINDOW = 5_000, 60
"""What a caller may use in how many seconds."""

COST = 50
"""The cost of one request of a caller that asks for more than its quota."""

AT_ONCE, LASTS = 4, 2.5
"""How many requests at once such a caller sends, and for how many seconds."""


@dataclass(frozen=True, slots=True)
class ClusterAnswer:
    """An answer that came.

    Attributes:
        status: Its status.
        body: Its JSON.
        text: The same as it came.
        began: When it was asked for, in seconds of the run.
        ended: When it was there.
        gateway: Where it came from, in words.
    """

    status: int
    body: Mapping[str, Any]
    text: bytes
    began: float
    ended: float
    gateway: str

    @property
    def place(self) -> str:
        """Where and when it came from, for a message."""
        return f"{self.began:.3f}-{self.ended:.3f} s, {self.gateway}"


class ClusterClient:
    """Sends questions through the proxy, and counts what comes.

    Args:
        session: The way to the proxy.
        journal: Knows when gateways were killed.
        tally: Counts.
    """

    def __init__(
        self, session: aiohttp.ClientSession, journal: Journal, tally: ClusterTally
    ) -> None:
        self._session = session
        self._journal = journal
        self._tally = tally

    async def ask(self, parameters: Mapping[str, object], caller: str) -> ClusterAnswer | None:
        """Ask.

        Args:
            parameters: The parameters of the GraphQL request.
            caller: The address of the caller, as a proxy before ours says it.

        Returns:
            The answer; ``None`` if there was none, which is counted.
        """
        began = self._journal.now
        self._tally.requests += 1
        status, gateway, text = 0, "", b""
        try:
            async with self._session.post(
                "/graphql", json=parameters, headers={"X-Forwarded-For": caller}
            ) as response:
                status, gateway = response.status, response.headers.get("X-Gateway", "")
                text = await response.read()
            body = orjson.loads(text)
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            ended = self._journal.now
            if self._journal.was_kill_between(began, ended):
                self._tally.excused += 1
            else:
                why = f"status {status}, {error!r}, {text[:80]!r}"
                self._tally.unanswered.append(f"{began:.3f}-{ended:.3f} s, {gateway}: {why}")
            return None
        ended = self._journal.now
        self._tally.latencies.append(ended - began)
        self._tally.partial += "errors" in body
        if SECRET.encode() in text:
            self._tally.wrong.append("the answer has what a source sent")
        return ClusterAnswer(status, body, text, began, ended, gateway)


class SteadyReaders:
    """Ask anything of users that never change.

    Args:
        client: Sends the questions.
        server: The sources, which know the truth.
        weather: Knows which of them are well.
        tally: Counts.
        chance: Chooses what they select.
        settled: Seconds after which a source that has healed has to be read.
    """

    def __init__(
        self,
        client: ClusterClient,
        server: FaultServer,
        weather: Weather,
        *,
        tally: ClusterTally,
        chance: Random,
        settled: float,
    ) -> None:
        self._client = client
        self._weather = weather
        self._tally = tally
        self._settled = settled
        self._truth = truth_of(server)
        self._selections = [random_question(chance).fields for _ in range(SELECTIONS)]

    async def read_on(self, chance: Random) -> None:
        """Ask one question after the other for ever."""
        while True:
            await asyncio.sleep(chance.uniform(0, 2 * THINKING))
            question = replace(random_question(chance), fields=chance.choice(self._selections))
            loop = asyncio.get_running_loop()
            began = loop.time()
            answer = await self._client.ask(question.parameters, random_address(chance))
            if answer is None:
                continue
            verdict = judge(question, answer.body, self._truth)
            self._tally.checked += verdict.got.total()
            self._tally.wrong += [f"{answer.place}: {one}" for one in verdict.wrong]
            for source, missing in verdict.missing.items():
                if missing and self._weather.was_well_since(source, began - self._settled):
                    why = reasons_in(answer.body)
                    self._tally.lost.append(f"{answer.place}: {source}: {why}")


CHANGING: Final = range(301, 321)
"""The numbers of the users that change."""

CHANGING_FIELDS: Final[Mapping[str, str]] = {"displayName": "profile", "plan": "billing"}
"""Their fields that change, and the source of each."""

READ_CHANGING = "query($ids: [ID!]!) { users(ids: $ids) { id displayName plan } }"

ACKNOWLEDGED_FOR = 1.0
"""Seconds after which no old value may be seen."""


class ChangingUsers:
    """Change users at their sources, invalidate them, and look whether an old value is seen.

    Args:
        client: Sends the questions.
        server: The sources.
        weather: Knows which of them are well.
        gateways: Each can be told to invalidate.
        admin: The way to their admin ports.
        journal: Knows the time.
        tally: Counts.
        settled: Seconds after which a source that has healed has to be read.
    """

    def __init__(
        self,
        client: ClusterClient,
        server: FaultServer,
        weather: Weather,
        *,
        gateways: Sequence[ClusterGateway],
        admin: aiohttp.ClientSession,
        journal: Journal,
        tally: ClusterTally,
        settled: float,
    ) -> None:
        self._client = client
        self._server = server
        self._weather = weather
        self._gateways = gateways
        self._admin = admin
        self._journal = journal
        self._tally = tally
        self._settled = settled
        self._versions = dict.fromkeys(CHANGING, 0)
        self._acknowledged: dict[int, list[tuple[float, int]]] = {one: [] for one in CHANGING}
        server.know(*CHANGING)
        for number in CHANGING:
            self._write(number)

    async def change_on(self, chance: Random) -> None:
        """Change one user after the other, and have each invalidated."""
        while True:
            await asyncio.sleep(chance.uniform(0.05, 0.4))
            number = chance.choice(CHANGING)
            self._versions[number] += 1
            self._write(number)
            version = self._versions[number]
            while not await self._invalidate(number, chance):
                self._tally.refused += 1
                await asyncio.sleep(0.2)
            self._tally.invalidations += 1
            self._acknowledged[number].append((self._journal.now, version))

    async def read_on(self, chance: Random) -> None:
        """Read some of them for ever."""
        while True:
            await asyncio.sleep(chance.uniform(0, 2 * THINKING))
            numbers = chance.sample(CHANGING, 5)
            loop = asyncio.get_running_loop()
            began = loop.time()
            ids = [user_id(one) for one in numbers]
            parameters = {"query": READ_CHANGING, "variables": {"ids": ids}}
            answer = await self._client.ask(parameters, random_address(chance))
            if answer is not None:
                self._check(answer, numbers, began)

    def _check(self, answer: ClusterAnswer, numbers: Sequence[int], began: float) -> None:
        """Hold an answer against the versions that it may have."""
        errors: Sequence[Mapping[str, Any]] = answer.body.get("errors", [])
        failed = {tuple(error.get("path", ())) for error in errors}
        data: Mapping[str, Any] = answer.body.get("data") or {}
        users: Sequence[Mapping[str, object] | None] | None = data.get("users")
        if users is None or len(users) != len(numbers):
            self._tally.wrong.append(f"{answer.place}: {answer.text[:200]!r}")
            return
        for index, (number, user) in enumerate(zip(numbers, users, strict=True)):
            for name, source in CHANGING_FIELDS.items():
                value = None if user is None else user[name]
                if value is not None:
                    self._check_value(answer, number, name, str(value))
                elif {("users", index, name), ("users", index)}.isdisjoint(failed):
                    self._tally.wrong.append(f"{answer.place}: {name} of {number}: no value")
                elif self._weather.was_well_since(source, began - self._settled):
                    why = reasons_in(answer.body)
                    self._tally.lost.append(f"{answer.place}: {source}: {why}")

    def _check_value(self, answer: ClusterAnswer, number: int, name: str, value: str) -> None:
        """Hold one value against the versions that it may have."""
        self._tally.checked += 1
        user, _, version = value.rpartition(" v")
        if user != f"{name} {number}" or not 0 <= int(version) <= self._versions[number]:
            self._tally.wrong.append(f"{answer.place}: {name} of {number}: {value}")
            return
        newer = [when for when, one in self._acknowledged[number] if one > int(version)]
        age = answer.began - min(newer, default=answer.began)
        self._tally.stale_for = max(self._tally.stale_for, age)
        if age > ACKNOWLEDGED_FOR:
            newest = self._versions[number]
            self._tally.stale.append(
                f"{answer.place}: {value}, newest v{newest}, {age:.3f} s after the acknowledgement"
            )

    def _write(self, number: int) -> None:
        """Give the sources the newest version of a user."""
        user, version = user_id(number), self._versions[number]
        for name, source in CHANGING_FIELDS.items():
            rows = self._server.rows[source]
            rows[user] = {**rows[user], name: f"{name} {number} v{version}"}

    async def _invalidate(self, number: int, chance: Random) -> bool:
        """Tell one gateway that a user has changed; return whether it has acknowledged that."""
        gateway = chance.choice(self._gateways)
        try:
            async with self._admin.post(
                f"{gateway.admin_url}/cache/invalidate", json={"users": [user_id(number)]}
            ) as response:
                await response.read()
                return response.status == HTTPStatus.OK
        except (aiohttp.ClientError, TimeoutError):
            return False


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
        got = refused = 0
        before, began = self._of_store(), self._journal.now

        async def ask_on() -> None:
            nonlocal got, refused
            while self._journal.now < began + LASTS:
                answer = await self._client.ask(SPEND.parameters, caller)
                if answer is not None and answer.status == HTTPStatus.TOO_MANY_REQUESTS:
                    refused += 1
                    await asyncio.sleep(0.1)
                elif answer is not None:
                    got += 1
                    wrong = judge(SPEND, answer.body, self._truth).wrong
                    self._tally.wrong += [f"{answer.place}: {one}" for one in wrong]

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(ask_on())
        due = QUOTA + QUOTA / WINDOW * (self._journal.now - began)
        after = self._of_store()
        episode = Episode(got * COST, due, refused > 0, before == after and before is not None)
        self._tally.episodes.append(episode)
        if abs(episode.error) > 0.03 and episode.with_store:  # it is worth a look
            self._journal.note(f"caller {caller} from {began:.2f} s: {episode.error:+.1%} of quota")

    def _of_store(self) -> Sequence[object] | None:
        """Describe what was done to the store so far; ``None`` if a gateway is without it."""
        if self._journal.is_store_broken or not all(one.has_store for one in self._gateways):
            return None
        return [self._journal.store_changes, *(one.store_losses for one in self._gateways)]


def random_address(chance: Random) -> str:
    """Make the address of a caller whom nobody has seen yet."""
    return f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"
