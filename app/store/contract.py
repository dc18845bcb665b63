"""The contract of a store: its commands, and how they fail.

A store is never needed. So a command that fails is a value for those who use the store.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeAlias

from msgspec import Struct

StoreCommand: TypeAlias = tuple[str | bytes | int, ...]
"""The words of a command of Redis."""


class StoreFailureKind(StrEnum):
    """Why a command failed."""

    TIMEOUT = "timeout"
    """There was no answer in time."""
    CONNECTION = "connection"
    """No connection could be opened, or it was lost."""
    FULL = "full"
    """The store has no memory for a new value. It can be read."""
    REFUSED = "refused"
    """The store answered with an error, or with something else than was asked for."""
    FORBIDDEN = "forbidden"
    """The user of the store may not run the command, or not use its keys."""
    NOT_ASKED = "not_asked"
    """The circuit is open: the store has failed a moment ago."""


class StoreFailure(Struct, frozen=True):
    """A command that failed.

    Attributes:
        kind: Why.
        detail: The words of the client library; empty if there are none. They have no values.
    """

    kind: StoreFailureKind
    detail: str = ""


class StoreError(Exception):
    """A command failed. Only a ``StoreClient`` raises it, and only ``SharedStore`` catches it.

    Args:
        failure: What failed.

    Attributes:
        failure: What failed.
    """

    def __init__(self, failure: StoreFailure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


class StoredValue(NamedTuple):
    """A value to store.

    Attributes:
        key: The key, with the prefix.
        value: The value.
        milliseconds: After so many milliseconds the store forgets it; at least 1.
    """

    key: str
    value: bytes
    milliseconds: int


class LogEntry(NamedTuple):
    """A message of a log in the store.

    Attributes:
        id: The id of the message, which grows: ``<milliseconds>-<number>``.
        message: Its text; empty if the entry has none.
    """

    id: str
    message: bytes


class LogExtent(Struct, frozen=True):
    """What a log still has.

    Attributes:
        first: The id of its first entry; ``None`` if it is empty.
        trimmed: Whether earlier entries may have been dropped.
    """

    first: str | None
    trimmed: bool


class StoreCommands(Protocol):
    """Carries commands out at one server, each by one round trip.

    A command fails with an exception of the client library.
    """

    async def run(self, command: StoreCommand) -> object:
        """Carry a command out.

        Args:
            command: The words of the command.

        Returns:
            What the server answers.
        """
        ...

    async def close(self) -> None:
        """Give all connections back to the library, which closes them."""
        ...


class StoreClient(Protocol):
    """The commands of a store. Each raises ``StoreError`` if it fails.

    They are async because they wait for the store.
    """

    async def get_many(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Read values, by one round trip.

        Args:
            keys: The keys, at least one.

        Returns:
            The value of each; ``None`` if there is none.
        """
        ...

    async def put_many(self, values: Sequence[StoredValue]) -> None:
        """Store values, by one round trip.

        Args:
            values: The values, at least one.
        """
        ...

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove values, by one round trip.

        Args:
            keys: The keys, at least one.
        """
        ...

    async def lease(self, keys: Sequence[str], milliseconds: int) -> Sequence[bool]:
        """Take leases that nobody has, by one round trip.

        Args:
            keys: The keys of the leases, at least one.
            milliseconds: How long each lease lasts.

        Returns:
            Whether each was taken now.
        """
        ...

    async def time(self) -> int:
        """Read the store's clock.

        Returns:
            Microseconds since 1970.
        """
        ...

    async def append(self, log: str, message: bytes, keep: int) -> str:
        """Add a message to a log.

        Args:
            log: The key of the log.
            message: The message.
            keep: About how many messages the log keeps.

        Returns:
            The id of the message.
        """
        ...

    async def read_log(self, log: str, after: str, most: int) -> Sequence[LogEntry]:
        """Read a log, without waiting.

        Args:
            log: The key of the log.
            after: The id after which messages are read; ``0-0`` for all.
            most: The most messages.

        Returns:
            The messages.
        """
        ...

    async def follow_log(self, log: str, after: str, milliseconds: int) -> Sequence[LogEntry]:
        """Read a log, and wait for a message if there is none.

        Args:
            log: The key of the log.
            after: The id after which messages are read.
            milliseconds: The longest wait.

        Returns:
            The messages; none if none came.
        """
        ...

    async def log_extent(self, log: str) -> LogExtent:
        """Read what a log still has.

        Args:
            log: The key of the log.

        Returns:
            Its extent.
        """
        ...

    async def evaluate(
        self, script: str, key: str, arguments: Sequence[int]
    ) -> tuple[int, int, int]:
        """Run a script at the store, which nothing else can interrupt.

        Args:
            script: The script, in Lua.
            key: The one key that it uses.
            arguments: Its arguments.

        Returns:
            The three numbers that it returns.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
