"""The client of Redis and Valkey: commands in, bytes out, one kind of exception.

Only ``connect`` imports the library, because most gateways have no store.

A server reads many keys by one command, and stores many by one script: a command costs several
times as much as a key. In a cluster, keys are on different nodes. So there each key has a command,
and each node gets its commands together.
"""

import hashlib
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from app.settings.store import StoreSettings
from app.store.contract import (
    LogEntry,
    LogExtent,
    StoreCommand,
    StoreCommands,
    StoredValue,
    StoreError,
    StoreFailure,
    StoreFailureKind,
)

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

    RedisConnection: TypeAlias = Redis | RedisCluster
    """The library's client of a server, or of a cluster."""

PUT_MANY = """
local count = #KEYS
for place = 1, count do
    redis.call('SET', KEYS[place], ARGV[place], 'PX', ARGV[count + place])
end
return count
"""
"""Stores values. A script is one command, where a pipeline would have one for each value."""

MOST_WORDS = 250
"""The most characters of what is logged of an exception."""

NO_CLUSTER = "Redis Cluster cannot be connected"
"""How the library begins to say that it reaches no node of a cluster."""

NOT_COVERED = "All slots are not covered"
"""How the library begins to say that no node serves some slots of a cluster."""

ONLY_READ = "the server is a replica, which can only be read: expected the address of the primary"
SLOTS_MISSING = "the cluster does not serve all its slots: expected a node for each of them"
ONE_NODE = "the server is a node of a cluster: expected +cluster after the scheme of the address"
MISSING_RIGHT = (
    "the user of the store may not {what}: expected the rights that"
    " docs/operations/caching-and-store.md lists"
)

_FORBIDDEN_COMMAND = re.compile(r"'([a-z|]+)' (?:sub)?command")
_NOT_IN_SCRIPT = re.compile("user executing the script can't|ACL failure in script")
"""How Redis and Valkey say that a user lacks a right inside a script."""

_VALUES: AbstractSet[type] = frozenset({bytes, NoneType})
"""The types of what a key may have."""

MESSAGE = b"message"
"""The field of a log entry that has its message."""


class LibraryCommands:
    """Carries commands out by the library alone: the reference. A ``StoreCommands``.

    Args:
        client: The library's client.
        seconds: How long a command may take: the library's own limit.
    """

    def __init__(self, client: "Redis", seconds: float) -> None:
        del seconds
        self._client: Any = client  # the library leaves types open

    async def run(self, command: StoreCommand) -> object:
        """Carry a command out; see ``StoreCommands``."""
        found: object = await self._client.execute_command(*command)
        return found

    async def close(self) -> None:
        """Do nothing: the library has all connections."""


MakeCommands: TypeAlias = Callable[["Redis", float], StoreCommands]
"""Makes what carries commands out, of the library's client and the seconds that one may take."""


class RedisClient:
    """The commands of a store. A ``StoreClient``.

    Args:
        connection: The library's client.
        commands: Carries commands out; ``None`` if the store is a cluster.
        sentinels: The library's clients of Sentinels, which it does not close itself.
    """

    def __init__(
        self,
        connection: "RedisConnection",
        *,
        commands: StoreCommands | None,
        sentinels: "Sequence[Redis]" = (),
    ) -> None:
        self._sentinels = sentinels
        # The library leaves some types open, and types its two clients together.
        self._connection: Any = connection
        self._digests: dict[str, str] = {}
        self._commands = commands

    async def get_many(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Read values; see ``StoreClient``."""
        if self._commands is None:
            found = await self._each([("GET", key) for key in keys])
        else:
            found = await self._run("MGET", *keys)
        return _each_of(found, len(keys), _VALUES)

    async def put_many(self, values: Sequence[StoredValue]) -> None:
        """Store values; see ``StoreClient``."""
        if self._commands is None:
            await self._each([("SET", key, value, "PX", time) for key, value, time in values])
            return
        keys, contents, times = zip(*values, strict=True)
        await self._script(PUT_MANY, keys, (*contents, *times))

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove values; see ``StoreClient``."""
        if self._commands is None:
            await self._each([("UNLINK", key) for key in keys])
        else:
            await self._run("UNLINK", *keys)

    async def lease(self, keys: Sequence[str], milliseconds: int) -> Sequence[bool]:
        """Take leases that nobody has; see ``StoreClient``."""
        found = await self._each([("SET", key, b"1", "NX", "PX", milliseconds) for key in keys])
        return [bool(one) for one in _each_of(found, len(keys))]

    async def time(self) -> int:
        """Read the store's clock; see ``StoreClient``."""
        with translated():
            seconds, microseconds = await self._connection.time()
            return int(seconds) * 1_000_000 + int(microseconds)

    async def append(self, log: str, message: bytes, keep: int) -> str:
        """Add a message to a log; see ``StoreClient``."""
        found = await self._run("XADD", log, "MAXLEN", "~", keep, "*", MESSAGE, message)
        return _text(found)

    async def read_log(self, log: str, after: str, most: int) -> Sequence[LogEntry]:
        """Read a log; see ``StoreClient``."""
        with translated():
            found = await self._connection.xrange(log, f"({after}", "+", most)
            return _entries(found)

    async def follow_log(self, log: str, after: str, milliseconds: int) -> Sequence[LogEntry]:
        """Read a log, and wait for a message; see ``StoreClient``."""
        with translated():
            found = await self._connection.xread({log: after}, block=milliseconds)
            return [one for _, entries in found or () for one in _entries(entries)]

    async def log_extent(self, log: str) -> LogExtent:
        """Read what a log still has; see ``StoreClient``."""
        first = await self.read_log(log, "0-0", 1)
        if not first:
            return LogExtent(None, trimmed=False)
        with translated():
            info = cast("Mapping[str, Any]", await self._connection.xinfo_stream(log))
            added = info.get("entries-added")  # Redis 7 and Valkey have it
            trimmed = added is None or int(added) > int(info["length"])
        return LogExtent(first[0].id, trimmed=trimmed)

    async def evaluate(
        self, script: str, key: str, arguments: Sequence[int]
    ) -> tuple[int, int, int]:
        """Run a script at the store; see ``StoreClient``."""
        found: Any = await self._script(script, [key], arguments)
        with translated():
            first, second, third = found
            return int(first), int(second), int(third)

    async def close(self) -> None:
        """Close all connections; see ``StoreClient``."""
        with translated():
            if self._commands is not None:
                await self._commands.close()
            for one in (self._connection, *self._sentinels):
                await one.aclose()

    async def _script(
        self, script: str, keys: Sequence[str], arguments: Sequence[bytes | int]
    ) -> object:
        """Run a script by its digest, or by its text where the store does not know it yet."""
        from redis.exceptions import NoScriptError  # noqa: PLC0415 # few have a store

        digest = self._digests.get(script)
        if digest is None:
            digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
            self._digests[script] = digest
        try:
            return await self._run("EVALSHA", digest, len(keys), *keys, *arguments)
        except StoreError as error:
            if not isinstance(error.__cause__, NoScriptError):
                raise
        return await self._run("EVAL", script, len(keys), *keys, *arguments)

    async def _run(self, *command: str | bytes | int) -> object:
        """Run one command."""
        with translated():
            if self._commands is not None:
                return await self._commands.run(command)
            found: object = await self._connection.execute_command(*command)
            return found

    async def _each(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> object:
        """Run commands by one round trip to each node. One that fails fails all."""
        with translated():
            options = {} if self._commands is None else {"transaction": False}
            async with self._connection.pipeline(**options) as pipeline:
                for one in commands:
                    pipeline.execute_command(*one)
                found: object = await pipeline.execute()
                return found


def _each_of(found: object, count: int, kinds: AbstractSet[type] | None = None) -> list[Any]:
    """Return the answers of several keys; raise ``StoreError`` if the store answered otherwise."""
    if isinstance(found, list):
        answers = cast("list[object]", found)
        if len(answers) == count and (kinds is None or kinds >= {*map(type, answers)}):
            return answers
    raise StoreError(StoreFailure(StoreFailureKind.REFUSED, "an answer that was not asked for"))


def _entries(found: object) -> list[LogEntry]:
    """Read entries of a log; an entry that was deleted meanwhile has no fields."""
    pairs = cast("Sequence[tuple[bytes, Mapping[bytes, bytes] | None]]", found)
    return [LogEntry(_text(one), (fields or {}).get(MESSAGE, b"")) for one, fields in pairs]


def _text(value: object) -> str:
    """Read a short text of the store."""
    if isinstance(value, bytes):
        return value.decode("ascii", "replace")
    raise StoreError(StoreFailure(StoreFailureKind.REFUSED, "an answer that was not asked for"))


@contextmanager
def translated() -> Generator[None]:
    """Raise ``StoreError`` for what the library raises.

    Yields:
        Nothing. The command runs meanwhile.

    Raises:
        StoreError: The command failed.
    """
    from redis import exceptions  # noqa: PLC0415 # few have a store

    try:
        yield
    except exceptions.OutOfMemoryError as error:
        raise StoreError(_failure(StoreFailureKind.FULL, error)) from error
    except (exceptions.TimeoutError, TimeoutError) as error:
        raise StoreError(_failure(StoreFailureKind.TIMEOUT, error)) from error
    # uvloop raises RuntimeError if the other side closes a connection in the moment of its opening.
    except (exceptions.ConnectionError, OSError, RuntimeError) as error:
        raise StoreError(_failure(StoreFailureKind.CONNECTION, error)) from error
    except exceptions.NoPermissionError as error:
        raise StoreError(_failure(StoreFailureKind.FORBIDDEN, error)) from error
    except exceptions.ResponseError as error:
        # The error of a command inside a script has the words of Redis behind others.
        kind = StoreFailureKind.FULL if "OOM" in str(error) else StoreFailureKind.REFUSED
        if _NOT_IN_SCRIPT.search(str(error)):
            kind = StoreFailureKind.FORBIDDEN
        raise StoreError(_failure(kind, error)) from error
    except (
        exceptions.RedisError,
        exceptions.RedisClusterException,
        TypeError,
        ValueError,
        KeyError,
        AttributeError,
        IndexError,
    ) as error:
        # What is no answer to the command can break the library anywhere.
        is_unreachable = str(error).startswith(NO_CLUSTER)
        kind = StoreFailureKind.CONNECTION if is_unreachable else StoreFailureKind.REFUSED
        raise StoreError(_failure(kind, error)) from error


def _failure(kind: StoreFailureKind, error: Exception) -> StoreFailure:
    """Make the failure of an exception, with the words that an operator needs."""
    return StoreFailure(kind, f"{type(error).__name__} {_words_of(error)}"[:MOST_WORDS])


def _words_of(error: Exception) -> str:
    """Return the words of an exception. One of a command may have a key: only its first is kept.

    Without a connection no command has been sent, and the words say what the operator has to mend:
    the address, the certificates or the password.
    """
    from redis import exceptions  # noqa: PLC0415 # few have a store

    words = str(error)
    if advice := _advice_on(error, words):
        return advice
    if isinstance(error, RuntimeError):
        return "the store closed the connection while it was opened"
    without_command = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
    if isinstance(error, without_command) or words.startswith(NO_CLUSTER):
        return words.partition(" : ")[0]  # the library writes its clients there
    return words.partition(" ")[0]


def _advice_on(error: Exception, words: str) -> str:
    """Say what is wrong with the server or the rights; empty if it is something else."""
    from redis import exceptions  # noqa: PLC0415 # few have a store

    if isinstance(error, exceptions.ReadOnlyError):
        return ONLY_READ
    if isinstance(error, exceptions.AskError):  # or MovedError
        return ONE_NODE
    lacks_slots = isinstance(error, exceptions.ClusterDownError | exceptions.SlotNotCoveredError)
    if lacks_slots or words.startswith(NOT_COVERED):
        return SLOTS_MISSING
    if _NOT_IN_SCRIPT.search(words):
        return MISSING_RIGHT.format(what="run a command of a script, such as SET")
    if not isinstance(error, exceptions.NoPermissionError):
        return ""
    command = _FORBIDDEN_COMMAND.search(words)
    what = f"run {command[1].upper()}" if command else "use the keys with the prefix"
    return MISSING_RIGHT.format(what=what)


Connect: TypeAlias = Callable[[StoreSettings], RedisClient]
"""Makes the client of a store. It opens no connection yet."""


def connect(settings: StoreSettings, commands: MakeCommands = LibraryCommands) -> RedisClient:
    """Make the client of a store. It opens no connection yet.

    Args:
        settings: The settings, with an address.
        commands: Makes what carries commands out at one server.

    Returns:
        The client.
    """
    from redis.asyncio import (  # noqa: PLC0415 # few have a store, and it takes long to import
        BlockingConnectionPool,
        Connection,
        Redis,
        RedisCluster,
        SSLConnection,
        sentinel,  # the same
    )
    from redis.asyncio.cluster import ClusterNode  # noqa: PLC0415 # the same
    from redis.asyncio.retry import Retry  # noqa: PLC0415 # the same
    from redis.backoff import NoBackoff  # noqa: PLC0415 # the same

    # Not longer than a connection may take: a request does not wait for either.
    common: dict[str, Any] = {
        "socket_timeout": settings.connect_timeout,
        "socket_connect_timeout": settings.connect_timeout,
        "username": settings.username,
        "password": None if settings.password is None else settings.password.get_secret_value(),
        "protocol": 2,  # all versions of Redis and Valkey have it
    }
    tls = _tls_of(settings)
    retry = Retry(NoBackoff(), 0)  # a request has no time for it
    if settings.topology == "cluster":
        nodes = [ClusterNode(host, port) for host, port in settings.hosts]
        cluster = RedisCluster(
            startup_nodes=nodes,
            max_connections=settings.max_connections,
            ssl=settings.uses_tls,
            retry=Retry(NoBackoff(), 1),  # once more where a key has moved to
            **common,
            **tls,
        )
        return RedisClient(cluster, commands=None)
    if settings.topology == "sentinel":
        of_sentinels: dict[str, Any] = {
            "socket_timeout": settings.connect_timeout,
            "socket_connect_timeout": settings.connect_timeout,
            "ssl": settings.uses_tls,
            "retry": retry,  # the next Sentinel is asked at once
            **tls,
        }
        if settings.sentinel_password is not None:
            of_sentinels["password"] = settings.sentinel_password.get_secret_value()
        library: Any = sentinel  # it is not typed
        sentinels = library.Sentinel(settings.hosts, sentinel_kwargs=of_sentinels)
        server: Redis = sentinels.master_for(
            settings.server_name,
            db=settings.database,
            max_connections=settings.max_connections,
            ssl=settings.uses_tls,
            retry=retry,
            **common,
            **tls,
        )
        return RedisClient(
            server,
            commands=commands(server, settings.connect_timeout),
            sentinels=sentinels.sentinels,
        )
    ((host, port),) = settings.hosts
    pool = BlockingConnectionPool(
        max_connections=settings.max_connections,
        timeout=settings.connect_timeout,
        connection_class=SSLConnection if settings.uses_tls else Connection,
        host=host,
        port=port,
        db=settings.database,
        retry=retry,
        **common,
        **tls,
    )
    client = Redis.from_pool(pool)
    return RedisClient(client, commands=commands(client, settings.connect_timeout))


def _tls_of(settings: StoreSettings) -> dict[str, Any]:
    """Return the library's arguments for the certificates."""
    tls = settings.tls
    if not settings.uses_tls or tls is None:
        return {}
    password = tls.client_key_password
    return {
        "ssl_ca_certs": None if tls.ca_file is None else str(tls.ca_file),
        "ssl_certfile": None if tls.client_certificate is None else str(tls.client_certificate),
        "ssl_keyfile": None if tls.client_key is None else str(tls.client_key),
        "ssl_password": None if password is None else password.get_secret_value(),
    }
