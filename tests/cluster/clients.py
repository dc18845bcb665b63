"""Clients that ask through the proxy, and hold each answer against what the sources have."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from random import Random
from typing import Any

import aiohttp
import orjson

from tests.chaos.clients import random_question, reasons_in, truth_of
from tests.chaos.verdict import judge
from tests.chaos.weather import Weather
from tests.cluster.journal import ClusterTally, Journal
from tests.fault_server import FaultServer
from tests.faults import SECRET

THINKING = 0.05
"""Seconds that a client mostly takes between an answer and its next question."""

NOTICED = 0.1
"""Seconds after which the run has noticed that it was late itself."""

SELECTIONS = 40
"""How many selections the clients have: a page has its own, and does not invent new ones."""


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
        self._tally.partial += "errors" in body and status == HTTPStatus.OK
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
            if verdict.missing.total():
                await asyncio.sleep(NOTICED)
            for source, missing in verdict.missing.items():
                if missing and self._weather.was_well_since(source, began - self._settled):
                    why = reasons_in(answer.body)
                    self._tally.lost.append(f"{answer.place}: {source}: {why}")


def random_address(chance: Random) -> str:
    """Make the address of a caller whom nobody has seen yet."""
    return f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"
