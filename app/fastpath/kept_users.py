"""The JSON of users whose records come from the cache, kept for the next request.

Replaces: making and encoding the same users again (``rendering.py``, ``server/responses.py``).
Switch: ``GATEWAY_FASTPATH__KEPT_USERS``.
Gains: docs/explanation/performance.md has the figures.
Proof: tests/fastpath/test_kept_users.py compares the responses with and without it.

Records never change. So a selection makes the same JSON of the same record objects, and the entity
cache gives out the same objects until it has newer ones. JSON is found by the selection, the user
and the identities of the records. A renewed or invalidated record is another object, so what was
made of the old one is not found any more. Equal records are not enough: ``1`` equals ``1.0``, but
is other JSON.

A selection has a number here. Its functions would take far more memory than the users of a rare
operation, and would stay after the operation itself is dropped.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import count, repeat
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw, Struct

from app.fastpath.user_writer import UserWriter
from app.sources.base import UserId
from app.sources.results import Result

USER_BYTES = 800
"""Estimated bytes of a kept user, without its JSON and its records."""

RECORD_BYTES = 2
"""Estimated bytes of records for each byte of the JSON that was made of them."""


class _KeptUser(Struct, eq=False, gc=False):
    """The JSON of a user.

    The garbage collector does not search it: nothing in it refers back.

    Attributes:
        json: The JSON.
        records: The records that it was made of. As long as they exist, no other object has the
            same identities.
        bytes: Its size in memory, by estimate.
    """

    json: Raw
    records: tuple[Result, ...]
    bytes: int


_Mark: TypeAlias = tuple[Any, ...]
"""The number of the selection, the user's id, and the identity of each record."""


class KeptUsers:
    """Keeps the JSON of users. Shared by all operations of a gateway.

    Attributes:
        bytes: The size of all that is kept, by estimate.
    """

    def __init__(self, cached: AbstractSet[str], *, max_bytes: int) -> None:
        """Create it empty.

        Args:
            cached: The services whose records are cached.
            max_bytes: Most bytes of all that is kept, by estimate.
        """
        self._cached = cached
        self._max_bytes = max_bytes
        self.bytes = 0
        self._numbers = count()
        self._kept: dict[_Mark, _KeptUser] = {}  # the oldest first

    def number_for(self, sources: Iterable[str]) -> int | None:
        """Return the number of a new selection.

        Args:
            sources: The sources that the selection needs.

        Returns:
            A number that no other selection has. ``None`` if not all sources are cached: some
            records are new in each request then, and no user would be found again.
        """
        services = {one.partition(".")[0] for one in sources}
        return next(self._numbers) if services and services <= self._cached else None

    def users(
        self, writer: UserWriter, keys: Sequence[UserId], columns: Sequence[Sequence[Result]]
    ) -> list[Raw] | None:
        """Return users as JSON, and keep those that are new.

        Args:
            writer: Makes the users. It has a number, and no lists.
            keys: Their ids.
            columns: The results of each source, in the order of the users. None failed.

        Returns:
            The JSON of each; ``None`` if a user lacks a value that must not be ``null``.
        """
        marks: list[_Mark] = [*zip(repeat(writer.number), keys, *[map(id, one) for one in columns])]
        found = [*map(self._kept.get, marks)]
        kept = [one.json for one in found if one is not None]
        if len(kept) == len(found):  # the common case
            return kept
        users: list[Raw] = []
        for place, mark in enumerate(marks):
            one = self._kept.get(mark)  # again: a request may name a user twice
            if one is not None:
                users.append(one.json)
                continue
            row = tuple([column[place] for column in columns])
            user = writer.write_user(keys[place], *row)
            if writer.lacks(user):
                return None
            text = msgspec.json.encode(user)
            users.append(Raw(text))
            if user is not None:  # clients can invent any number of unknown users
                size = USER_BYTES + (1 + RECORD_BYTES) * len(text)
                self._keep(mark, _KeptUser(users[-1], row, size))
        return users

    def _keep(self, mark: _Mark, user: _KeptUser) -> None:
        """Keep a user, and drop the oldest ones if there is no room."""
        self._kept[mark] = user
        self.bytes += user.bytes
        while self.bytes > self._max_bytes:
            oldest = next(iter(self._kept))
            self.bytes -= self._kept.pop(oldest).bytes
