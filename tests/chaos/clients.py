"""Who puts the load on: clients that ask at random, and hold the answers against the truth."""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

import aiohttp
import orjson

from tests.chaos.tally import Tally
from tests.chaos.verdict import Question, judge
from tests.chaos.weather import Weather
from tests.fakes import Row, account_row, activity_row, profile_row, user_id
from tests.fault_server import FaultServer
from tests.faults import SECRET
from tests.truth import FIELDS, Field

USERS, STRANGERS = 200, 10
"""How many users there are, and how many more are asked for."""

THINKING = 0.05
"""Seconds that a client mostly takes between an answer and its next question."""

MAX_REQUESTS = 1_000_000


def see_invoices(invoices: Sequence[Mapping[str, Any]]) -> object:
    """Tell what a client sees of the first two invoices of some."""
    return {
        "edges": [
            {"node": {name: one[name] for name in ("id", "number", "total")}}
            for one in invoices[:2]
        ],
        "pageInfo": {"hasNextPage": len(invoices) > 2},
    }


INVOICES: Final = Field(
    "invoices",
    "billing",
    "invoices",
    "(first: 2) { edges { node { id number total { amount currency } } }"
    " pageInfo { hasNextPage } }",
    see=see_invoices,
)


def populate(server: FaultServer) -> None:
    """Give the sources their users; billing and activity do not know all of them."""
    server.know(*range(1, USERS + 1))
    for number in range(1, USERS + 1):
        user = user_id(number)
        email = f"u{number}@example.org"
        server.rows["profile"][user] = profile_row(number, email=email, locale=f"l-{number}")
        server.rows["billing"][user] = account_row(number, plan=f"plan-{number}")
        server.rows["activity"][user] = activity_row(number, loginCount=7 * number)
        if number % 10 == 0:
            del server.rows["billing"][user], server.invoices[user]
        if number % 7 == 0:
            del server.rows["activity"][user]


def random_question(chance: Random) -> Question:
    """Think of a question."""
    many = chance.random() < 0.3
    number = chance.randint(2, 50) if many else 1
    numbers = [chance.randint(1, USERS + STRANGERS) for _ in range(number)]
    fields = chance.sample(FIELDS, chance.randint(1, len(FIELDS)))
    if not many and chance.random() < 0.2:
        fields.append(INVOICES)
    return Question(tuple(map(user_id, numbers)), tuple(fields), many)


def truth_of(server: FaultServer) -> Mapping[str, Mapping[str, Row]]:
    """Take down what each source knows, by user; an account has its invoices."""
    return {
        **{source: dict(rows) for source, rows in server.rows.items()},
        "billing": {
            user: {**row, "invoices": server.invoices[user]}
            for user, row in server.rows["billing"].items()
        },
    }


class ChaosClient:
    """Asks one question after the other, and holds the answers against the truth.

    Args:
        session: The way to the gateway.
        server: The sources, which know the truth.
        weather: Knows which of them are well.
        tally: Counts.
        settled: Seconds after which a source that has healed has to be read.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        server: FaultServer,
        weather: Weather,
        tally: Tally,
        *,
        settled: float,
    ) -> None:
        self._session = session
        self._server = server
        self._weather = weather
        self._tally = tally
        self._settled = settled
        self._stopped = False
        self._truth = truth_of(server)

    async def ask_on(self, chance: Random) -> None:
        """Ask until it is enough."""
        while not self._stopped and self._tally.requests < MAX_REQUESTS:
            await self._ask(random_question(chance))
            await asyncio.sleep(chance.uniform(0, 2 * THINKING))

    def stop(self) -> None:
        """Say that it is enough."""
        self._stopped = True

    async def _ask(self, question: Question) -> None:
        """Ask one question."""
        tally, loop = self._tally, asyncio.get_running_loop()
        tally.requests += 1
        tally.needed += len(question.sources)
        if INVOICES in question.fields and question.users[0] in self._server.invoices:
            tally.needed += 1
        began = loop.time()
        try:
            async with self._session.post("/graphql", json=question.parameters) as response:
                text = await response.read()
            body = orjson.loads(text)
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            tally.unanswered.append(repr(error))
            return
        tally.worst = max(tally.worst, loop.time() - began)
        tally.partial += "errors" in body
        verdict = judge(question, body, self._truth)
        tally.wrong += verdict.wrong
        if SECRET.encode() in text:
            tally.wrong.append("the answer holds what a source sent")
        for source in question.sources:
            if self._weather.was_well_since(source, began - self._settled):
                tally.could += verdict.got[source] + verdict.missing[source]
                tally.got += verdict.got[source]
                if verdict.missing[source]:
                    tally.lost.append(f"{source}, {loop.time() - began:.3f} s: {reasons_in(body)}")


def reasons_in(body: Mapping[str, Any]) -> str:
    """Tell which errors an answer has, in short."""
    return str({str(error["extensions"]) for error in body.get("errors", [])})
