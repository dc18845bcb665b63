"""The loader of one source, which knows for which record fields each user was loaded.

Some sources can be asked for a part of the record fields; their records lack the others. Operations
of one HTTP request share a loader and need different fields, so a record is kept together with the
fields that it was loaded with. An operation that needs no more fields uses this record. For one
that needs more, the user is loaded again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from aiodataloader import DataLoader
from msgspec import Struct

from app.sources.base import FieldSet, Record, SourceResult, UserId
from app.sources.results import Result

LoadedResults: TypeAlias = Sequence[SourceResult[Record] | Exception]
"""One result for each user, in the order of the users; or a bug of ours."""

FetchUsers: TypeAlias = Callable[[Sequence[UserId], FieldSet | None], Awaitable[LoadedResults]]
"""Fetches the records of distinct users with some fields; ``None`` for all fields."""


class _LoaderBatch(Struct):
    """Users that are loaded by one call.

    Attributes:
        fields: The fields that the call asks for at least; ``None`` for all.
        sent: Whether it was sent, so that no fields can be added.
    """

    fields: FieldSet | None
    sent: bool = False


class _UserLoad(Struct, frozen=True):
    """A user that is being loaded, or was loaded.

    Attributes:
        result: The future of the source result.
        batch: The batch that the user is in.
    """

    result: asyncio.Future[Any]
    batch: _LoaderBatch

    def serves(self, fields: FieldSet | None) -> bool:
        """Return whether the result has these fields."""
        if self.result.done():
            if self.result.exception() is not None:
                return False
            if self.result.result() is None:
                return True  # a user that the source does not know has no fields at all
        return _covers(self.batch.fields, fields)


class UserLoader:
    """The loader of one source, for one request.

    The set of fields that it asks for only grows: the next operation often needs what one needed.
    """

    def __init__(self, fetch: FetchUsers, fields: FieldSet | None) -> None:
        """Make a loader.

        Args:
            fetch: Fetches users from the source.
            fields: The fields that the first batch asks for; ``None`` for all.
        """
        self._fetch = fetch
        self._fields = fields
        self._batch: _LoaderBatch | None = None
        self._loads: dict[UserId, _UserLoad] = {}
        # Results are cached here with their fields: a DataLoader would never load a user again.
        self._loader: DataLoader[UserId, Any] = DataLoader(self._send, cache=False)

    def close(self) -> None:
        """Drop all results, at the end of the request."""
        self._loads.clear()
        del self._loader  # it refers to a method of this loader: a reference cycle

    def load(self, user: UserId, fields: FieldSet | None) -> asyncio.Future[Any]:
        """Load a user, unless it is loaded with these fields.

        Args:
            user: The user.
            fields: The record fields that are needed; ``None`` for all.

        Returns:
            The future of the source result: a record with at least these fields, a failure or
            ``None``. All who load the same user share it, so it must not be cancelled.
        """
        known = self._loads.get(user)
        if known is not None:
            if not known.batch.sent:
                self._add_fields(known.batch, fields)
                return known.result
            if known.serves(fields):
                return known.result
        return self._enqueue(user, fields)

    def remember(self, results: Mapping[UserId, Result], fields: FieldSet | None) -> None:
        """Keep results that were fetched without this loader, of users that it has not loaded.

        Args:
            results: Results by user; a bug of ours is not kept.
            fields: The fields that the source was asked for; ``None`` for all.
        """
        batch = _LoaderBatch(fields, sent=True)
        for user, result in results.items():
            if isinstance(result, Exception):
                continue
            done = asyncio.get_running_loop().create_future()
            done.set_result(result)
            self._loads.setdefault(user, _UserLoad(done, batch))

    def _enqueue(self, user: UserId, fields: FieldSet | None) -> asyncio.Future[Any]:
        """Put a user into the open batch."""
        if self._batch is None:
            self._batch = _LoaderBatch(self._fields)
        self._add_fields(self._batch, fields)
        result = self._loader.load(user)
        self._loads[user] = _UserLoad(result, self._batch)
        return result

    def _add_fields(self, batch: _LoaderBatch, fields: FieldSet | None) -> None:
        """Add fields to an unsent batch and to all later ones."""
        if not _covers(batch.fields, fields):
            self._fields = None if self._fields is None or fields is None else self._fields | fields
            batch.fields = self._fields

    async def _send(self, users: list[UserId]) -> list[SourceResult[Record] | Exception]:
        """Send the open batch; the batch function of the DataLoader."""
        # Users that were added after the DataLoader took these are counted in this batch, but sent
        # by the next one. They get what they need: the next batch asks for no fewer fields.
        if self._batch is not None:
            self._batch.sent, self._batch = True, None
        distinct = list(dict.fromkeys(users))
        try:
            results = await self._fetch(distinct, self._fields)
        except Exception as error:  # noqa: BLE001 # a bug of ours; the caller of load raises it
            # Returned as a value. If it were raised, its traceback would refer to the DataLoader's
            # frame, which refers to the futures, which refer to the traceback: a reference cycle.
            return [error] * len(users)
        if len(distinct) == len(users):
            return list(results)
        by_user = dict(zip(distinct, results, strict=True))
        return [by_user[user] for user in users]


def _covers(available: FieldSet | None, needed: FieldSet | None) -> bool:
    """Return whether the needed fields are available; ``None`` stands for all fields."""
    return available is None or (needed is not None and available >= needed)
