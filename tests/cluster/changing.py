"""Users that change and are invalidated, and clients that look whether an old value is seen."""

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from random import Random
from typing import Any, Final

import aiohttp

from tests.chaos.clients import reasons_in
from tests.chaos.weather import Weather
from tests.cluster.clients import NOTICED, THINKING, ClusterAnswer, ClusterClient, random_address
from tests.cluster.journal import ClusterTally, Journal
from tests.cluster.machines import ClusterGateway
from tests.fakes import user_id
from tests.fault_server import FaultServer

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
                if "errors" in answer.body:
                    await asyncio.sleep(NOTICED)
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
