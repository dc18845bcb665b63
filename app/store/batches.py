"""Reads of one turn of the event loop go to the store by one command, and so do writes.

A command costs several times as much as a key, at the gateway and at the store. A request reads the
keys of each source in the same turn, so it has one command for all of them, and requests that come
together share it. Nobody waits for a write. So writes wait for others for ``WRITE_AFTER``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple, Protocol, TypeAlias

from app.resilience.clock import Clock
from app.store.contract import StoreClient, StoredValue, StoreFailure

MOST_KEYS = 1_000
"""About the most keys of one command: a server does nothing else meanwhile."""

WRITE_AFTER = 0.005
"""Seconds for which a write waits for others."""

ReadAnswer: TypeAlias = Sequence[bytes | None] | StoreFailure
"""The value of each key, ``None`` if there is none; or why the store has not answered."""

HandOut: TypeAlias = Callable[[ReadAnswer], object]
"""Gets the answer to a read, once and always."""

AskStore: TypeAlias = Callable[
    [str, Callable[[StoreClient], Awaitable[Sequence[bytes | None]]], HandOut], None
]
"""``SharedStore.ask``."""


class BeginCommand(Protocol):
    """``SharedStore.begin``."""

    def __call__(
        self, operation: str, command: Callable[[StoreClient], Awaitable[object]], /
    ) -> None:
        """Run a command that nobody waits for.

        Args:
            operation: What the command is for, in metrics.
            command: The command.
        """
        ...


class _Read(NamedTuple):
    """Keys that are read, and what gets their values."""

    keys: Sequence[str]
    then: HandOut


class ReadsTogether:
    """Reads that go to the store together.

    Args:
        ask: Runs a command.
    """

    def __init__(self, ask: AskStore) -> None:
        self._ask = ask
        self._waiting: list[_Read] = []

    def add(self, keys: Sequence[str], then: HandOut) -> None:
        """Read keys together with all that is read in this turn of the event loop.

        Args:
            keys: The keys, at least one.
            then: Gets the answer, once and always.
        """
        self._waiting.append(_Read(keys, then))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        """Begin to read what waits."""
        waiting, self._waiting = self._waiting, []
        for reads in _commands(waiting):
            keys = [key for one in reads for key in one.keys]
            self._ask("get", partial(_get_many, keys=keys), partial(_hand_out, reads))


async def _get_many(client: StoreClient, keys: Sequence[str]) -> Sequence[bytes | None]:
    """Read keys."""
    return await client.get_many(keys)


def _commands(reads: Iterable[_Read]) -> Iterator[Sequence[_Read]]:
    """Share reads out over commands. A read stays whole."""
    together: list[_Read] = []
    count = 0
    for one in reads:
        if together and count + len(one.keys) > MOST_KEYS:
            yield together
            together, count = [], 0
        together.append(one)
        count += len(one.keys)
    if together:
        yield together


def _hand_out(reads: Sequence[_Read], answer: ReadAnswer) -> None:
    """Give each read its part of an answer."""
    if isinstance(answer, StoreFailure) or len(reads) == 1:
        for one in reads:
            one.then(answer)
        return
    values = iter(answer)
    for one in reads:
        one.then([*islice(values, len(one.keys))])


class WritesTogether:
    """Writes that go to the store together. The last value of a key counts.

    Args:
        begin: Runs a command that nobody waits for.
        clock: The clock.
    """

    def __init__(self, begin: BeginCommand, clock: Clock) -> None:
        self._begin = begin
        self._clock = clock
        self._waiting: dict[str, StoredValue] = {}
        self._cancel_timer: Callable[[], object] | None = None

    def add(self, values: Sequence[StoredValue]) -> None:
        """Store values soon.

        Args:
            values: The values.
        """
        self._waiting.update((one.key, one) for one in values)
        if len(self._waiting) >= MOST_KEYS:
            self.send()
        elif self._waiting and self._cancel_timer is None:
            self._cancel_timer = self._clock.call_later(WRITE_AFTER, self.send)

    def remove(self, keys: Sequence[str]) -> None:
        """Remove values now, and store none of them that waits.

        Args:
            keys: The keys, at least one.
        """
        for key in keys:
            self._waiting.pop(key, None)
        self._begin("remove", lambda client: client.remove(keys))

    def send(self) -> None:
        """Begin to store what waits."""
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None
        waiting, self._waiting = self._waiting, {}
        values = [*waiting.values()]
        for start in range(0, len(values), MOST_KEYS):
            self._begin("put", partial(_put_many, values=values[start : start + MOST_KEYS]))

    def end(self) -> None:
        """Store nothing more. What waits was only worth keeping."""
        self._waiting = {}
        self.send()


async def _put_many(client: StoreClient, values: Sequence[StoredValue]) -> None:
    """Store values."""
    await client.put_many(values)
