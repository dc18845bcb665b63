"""Some connections of the library's pool are kept aside, for the next command.

The pool takes two locks and writes its own telemetry, each time that a connection is taken and
given back. That is more CPU than the command itself has.
"""

from typing import Any

from redis.exceptions import RedisError

MOST_SPARE = 4
"""How many connections are kept aside. Commands that come together go together (``batches.py``), so
few are under way at the same time."""


class SpareConnections:
    """Connections that the next command takes without asking the pool.

    Args:
        pool: The library's pool. It opens connections, and closes them.
        size: The most connections of the pool.
    """

    def __init__(self, pool: Any, size: int) -> None:  # noqa: ANN401 # the library leaves it open
        self._pool = pool
        # The pool needs some, too: for commands that wait long.
        self._most = min(MOST_SPARE, size // 2)
        self._spare: list[Any] = []
        self._waiting = 0

    async def take(self) -> Any:  # noqa: ANN401 # the same
        """Take a connection that is open. It belongs to the caller until it is given back.

        Returns:
            The library's connection.
        """
        while self._spare:
            connection = self._spare.pop()
            if await _is_quiet(connection):
                return connection
            await self._pool.release(connection)  # and the pool opens it anew
        self._waiting += 1
        try:
            return await self._pool.get_connection()
        finally:
            self._waiting -= 1

    async def give_back(self, connection: Any) -> None:  # noqa: ANN401 # the same
        """Give a connection back after its command was answered.

        Args:
            connection: The connection.
        """
        if self._waiting or len(self._spare) >= self._most:
            await self._pool.release(connection)
        else:
            self._spare.append(connection)

    async def give_up(self, connection: Any) -> None:  # noqa: ANN401 # the same
        """Give a connection back whose command has failed, so that the pool looks at it.

        Args:
            connection: The connection.
        """
        await self._pool.release(connection)


async def _is_quiet(connection: Any) -> bool:  # noqa: ANN401 # the same
    """Return whether a connection is open, and has nothing to read."""
    try:
        has_something: bool = await connection.can_read()
    except (RedisError, OSError):
        return False
    return not has_something
