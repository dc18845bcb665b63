"""Asking sources in bulk where the keys of one are in what another says.

Each source is asked as soon as it can be: those that know users by their ids at once, each other
as soon as the one that has its keys has answered. None waits for more than that.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from app.errors import SourceError
from app.federation.keyed import Keyed
from app.sources.base import Call, FieldSet, Record, UserId
from app.sources.flight import landed
from app.sources.flights import Flights
from app.sources.foreign import foreign_key_of

Answers: TypeAlias = Mapping[UserId, Record | SourceError | None]
"""What a source said, by user."""


class PartlySaid(dict[UserId, Record | SourceError | None]):
    """What a source said of some users, where a bug of ours kept it from answering for others.

    Attributes:
        bugs: What was raised, by user, of those who are not in it.
    """

    def __init__(self, answers: Answers, bugs: Mapping[UserId, Exception]) -> None:
        super().__init__(answers)
        self.bugs = bugs


Said: TypeAlias = Answers | Exception
"""What a source said, perhaps partly, or the bug of ours that kept it from being asked."""


def said_of(
    users: Sequence[UserId], answers: Sequence[Record | SourceError | Exception | None]
) -> Answers:
    """Put answers beside their users, and bugs apart.

    Args:
        users: The users.
        answers: One for each: what the source said, or what was raised instead.

    Returns:
        The answers by user.
    """
    bugs: dict[UserId, Exception] = {}
    told: dict[UserId, Record | SourceError | None] = {}
    for user, answer in zip(users, answers, strict=True):
        if isinstance(answer, Exception):
            bugs[user] = answer
        else:
            told[user] = answer
    return PartlySaid(told, bugs) if bugs else told


class Steps:
    """The steps of one request.

    Attributes:
        used: Names of the sources that were asked so far.
    """

    def __init__(
        self,
        flights: Mapping[str, Flights[Record]],
        key_from: Mapping[str, str],
        call: Call,
        fields: Mapping[str, FieldSet],
    ) -> None:
        """Begin with nothing asked.

        Args:
            flights: The sources.
            key_from: The source that has another's keys, by the name of that other.
            call: Of the request.
            fields: The fields that are wanted, of the sources that can be asked for some alone.
        """
        self.used: set[str] = set()
        self._flights = flights
        self._key_from = key_from
        self._call = call
        self._fields = fields

    async def fetch(self, wanted: Mapping[str, Sequence[UserId]]) -> Mapping[str, Said]:
        """Ask sources about users.

        Args:
            wanted: Users by name of the source, each once; they are wanted of the sources that
                have the keys, too.

        Returns:
            What each source said of at least those users.
        """
        steps: dict[str, asyncio.Task[Said]] = {}
        async with asyncio.TaskGroup() as group:

            def begin(name: str) -> asyncio.Task[Said]:
                if name not in steps:
                    parent = self._key_from.get(name)
                    keys = None if parent is None else begin(parent)
                    steps[name] = group.create_task(self._step(name, wanted[name], keys))
                return steps[name]

            for name in wanted:
                begin(name)
        return {name: steps[name].result() for name in wanted}

    async def _step(
        self, name: str, users: Sequence[UserId], keys: asyncio.Task[Said] | None
    ) -> Said:
        """Ask one source, when its keys are there; a bug is a value, that spoils no other."""
        try:
            if keys is None:
                return await self._ask(name, users)
            said = await keys
            return said if isinstance(said, Exception) else await self._by_key(name, users, said)
        except Exception as error:  # noqa: BLE001 # whatever it is, it is a value and will be logged
            return error

    async def _by_key(self, name: str, users: Sequence[UserId], said: Answers) -> Answers:
        """Ask one source by the keys that another has said."""
        parent = self._key_from[name]
        bugs: Mapping[UserId, Exception] = said.bugs if isinstance(said, PartlySaid) else {}
        keyed: Keyed[UserId] = Keyed(
            [
                bugs.get(user) or foreign_key_of(said[user], source=name, parent=parent)
                for user in users
            ]
        )
        found: Mapping[UserId, Record | SourceError | Exception | None]
        try:
            found = await self._ask(name, keyed.asked)
        except Exception as error:  # noqa: BLE001 # of those who were asked about, and of no others
            found = dict.fromkeys(keyed.asked, error)
        return said_of(users, keyed.answers(found))

    async def _ask(self, name: str, keys: Sequence[UserId]) -> Answers:
        """Ask one source, by its own keys; where there are none, it is not asked."""
        if not keys:
            return {}
        self.used.add(name)
        ticket = self._flights[name].ask(keys, self._call, fields=self._fields.get(name))
        await landed([ticket])
        return ticket.collect()
