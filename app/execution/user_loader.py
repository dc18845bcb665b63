"""The loader of one source, which knows for which fields of the record each user was asked.

A source that can be asked for some fields alone gives records that have no others. Operations of
one HTTP request share a loader and need different fields, so a record is remembered together with
the fields that it was asked for. It serves those who need no more of it. For those who need more,
the user is asked for again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiodataloader import DataLoader

from app.sources.base import FieldSet, Record, UserId
from app.sources.batch import SourceResult
from app.sources.results import Result

LoadedResults: TypeAlias = Sequence[SourceResult[Record] | Exception]
"""One answer for each user, in the order in which they were asked for; or a bug of ours."""

FetchUsers: TypeAlias = Callable[[Sequence[UserId], FieldSet | None], Awaitable[LoadedResults]]
"""Asks a source for the records of users, each once, with some fields; ``None`` for all."""


@dataclass(slots=True)
class _LoaderBatch:
    """Users who are asked for by one call.

    Attributes:
        fields: The fields that the batch asks for at least; ``None`` for all.
        left: Whether it was sent, so that it takes on no more fields.
    """

    fields: FieldSet | None
    left: bool = False


@dataclass(frozen=True, slots=True)
class _UserLoad:
    """A user that was asked for.

    Attributes:
        answer: What the source says of the user.
        batch: The batch by which it was asked.
    """

    answer: asyncio.Future[Any]
    batch: _LoaderBatch

    def serves(self, fields: FieldSet | None) -> bool:
        """Tell whether the answer is one for some fields."""
        if self.answer.done():
            if self.answer.exception() is not None:
                return False
            if self.answer.result() is None:
                return True  # an unknown user is unknown in all fields
        return _covers(self.batch.fields, fields)


class UserLoader:
    """The loader of one source, for one request.

    The fields that it asks for only ever grow: what one operation needed, the next one needs often.
    """

    def __init__(self, ask: FetchUsers, fields: FieldSet | None) -> None:
        """Make it.

        Args:
            ask: Asks the source.
            fields: The fields that the first user is asked for; ``None`` for all.
        """
        self._ask = ask
        self._wanted = fields
        self._batch: _LoaderBatch | None = None
        self._known: dict[UserId, _UserLoad] = {}
        # What is known is kept here, with its fields: a DataLoader remembers a user for good.
        self._loader: DataLoader[UserId, Any] = DataLoader(self._send, cache=False)

    def close(self) -> None:
        """Let go of what was loaded, when nobody asks for anything any more."""
        self._known.clear()
        del self._loader  # it has a method of this loader: a ring

    def load(self, user: UserId, fields: FieldSet | None) -> asyncio.Future[Any]:
        """Ask for a user, unless that was done.

        Args:
            user: The user.
            fields: The fields of the record that are needed; ``None`` for all.

        Returns:
            What the source says: a record that has these fields at least, a failure or ``None``.
            It is shared with others who ask for the same user, and must not be cancelled.
        """
        known = self._known.get(user)
        if known is not None:
            if not known.batch.left:
                self._widen(known.batch, fields)
                return known.answer
            if known.serves(fields):
                return known.answer
        return self._again(user, fields)

    def remember(self, results: Mapping[UserId, Result], fields: FieldSet | None) -> None:
        """Keep what was asked for without this loader, where it has not asked itself.

        Args:
            results: What the source said of users; a bug of ours is not kept.
            fields: The fields that it was asked for; ``None`` for all.
        """
        batch = _LoaderBatch(fields, left=True)
        for user, result in results.items():
            if isinstance(result, Exception):
                continue
            done = asyncio.get_running_loop().create_future()
            done.set_result(result)
            self._known.setdefault(user, _UserLoad(done, batch))

    def _again(self, user: UserId, fields: FieldSet | None) -> asyncio.Future[Any]:
        """Put a user into the batch that is gathered."""
        if self._batch is None:
            self._batch = _LoaderBatch(self._wanted)
        self._widen(self._batch, fields)
        answer = self._loader.load(user)
        self._known[user] = _UserLoad(answer, self._batch)
        return answer

    def _widen(self, batch: _LoaderBatch, fields: FieldSet | None) -> None:
        """Have a batch that has not left ask for some fields too, and all after it."""
        if not _covers(batch.fields, fields):
            self._wanted = None if self._wanted is None or fields is None else self._wanted | fields
            batch.fields = self._wanted

    async def _send(self, users: list[UserId]) -> list[SourceResult[Record] | Exception]:
        """Send the batch that is gathered; the batch function of the DataLoader."""
        # Users who came since the DataLoader took the others are counted to this batch, and sent
        # by the next. They get what they need: the next asks for no fewer fields.
        if self._batch is not None:
            self._batch.left, self._batch = True, None
        distinct = list(dict.fromkeys(users))
        try:
            answers = await self._ask(distinct, self._wanted)
        except Exception as error:  # noqa: BLE001 # a bug of ours, which whoever asked will raise
            # A value: raised, it would have the frame of the DataLoader in its traceback, which has
            # the futures, which have the traceback. Only the garbage collector would free those.
            return [error] * len(users)
        if len(distinct) == len(users):
            return list(answers)
        said = dict(zip(distinct, answers, strict=True))
        return [said[user] for user in users]


def _covers(had: FieldSet | None, needed: FieldSet | None) -> bool:
    """Tell whether some fields are among others; ``None`` stands for all."""
    return had is None or (needed is not None and had >= needed)
