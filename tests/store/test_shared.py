"""A store returns the stored values. A failing one takes no more time than its timeout."""

import asyncio
import io
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import orjson
import pytest

from app.fastpath.store import DirectCommands
from app.observability.logs import make_log
from app.observability.telemetry import GatewayMetrics
from app.resilience.clock import SystemClock
from app.settings.models import LogSettings
from app.settings.store import StoreSettings
from app.store.contract import StoredValue, StoreError, StoreFailure, StoreFailureKind
from app.store.redis_client import LibraryCommands, MakeCommands, connect, translated
from app.store.shared import SharedStore
from tests.garbage import collecting, rare_collector
from tests.stores import NAMES, needs_store, running_store

FAST = 0.02

BOTH_WAYS = pytest.mark.parametrize("commands", [LibraryCommands, DirectCommands])


class OpenStore:
    """A store and its log."""

    def __init__(self, store: SharedStore, log: io.StringIO) -> None:
        self.store = store
        self._log = log

    async def get(self, *keys: str) -> object:
        """Read keys."""
        return await self.store.run("get", lambda client: client.get_many(keys))

    async def put(self, key: str, value: bytes) -> object:
        """Store a value."""
        values = [StoredValue(key, value, 10_000)]
        return await self.store.run("put", lambda client: client.put_many(values))

    @property
    def events(self) -> list[tuple[str, Any]]:
        """The logged events, with their reasons."""
        return [(line["event"], line.get("reason")) for line in self._lines]

    @property
    def details(self) -> list[Any]:
        """The details of the logged events."""
        return [line.get("detail") for line in self._lines]

    @property
    def _lines(self) -> list[Mapping[str, Any]]:
        """The logged events."""
        return [*map(orjson.loads, self._log.getvalue().splitlines())]


@asynccontextmanager
async def opened(
    settings: StoreSettings, commands: MakeCommands = LibraryCommands
) -> AsyncGenerator[OpenStore]:
    """Open a store."""
    log = io.StringIO()
    async with SharedStore(
        partial(connect, commands=commands),
        settings,
        clock=SystemClock(),
        chance=lambda: 0.0,
        log=make_log(LogSettings(format="json"), stream=log),
        metrics=GatewayMetrics(),
    ) as store:
        yield OpenStore(store, log)


def kind_of(result: object) -> StoreFailureKind | None:
    """Return why a command failed."""
    return result.kind if isinstance(result, StoreFailure) else None


@needs_store
@BOTH_WAYS
@pytest.mark.parametrize("name", NAMES)
async def test_a_store_returns_the_stored_values(commands: MakeCommands, name: str) -> None:
    async with running_store(name) as server, opened(server.settings(), commands) as one:
        await one.put("a", b"1")
        assert await one.get("a", "b") == [b"1", None]
        await one.store.run("remove", lambda client: client.remove(["a"]))
        assert await one.get("a") == [None]
        client = one.store.client
        assert await client.lease(["l", "m"], 10_000) == [True, True]
        assert await client.lease(["m", "n"], 10_000) == [False, True]
        assert abs(await client.time() / 1e6 - time.time()) < 5
        first = await client.append("log", b"one", 10)
        second = await client.append("log", b"two", 10)
        assert [one.message for one in await client.read_log("log", "0-0", 10)] == [b"one", b"two"]
        assert [one.id for one in await client.follow_log("log", first, 10)] == [second]
        assert await client.follow_log("log", second, 10) == []
        extent = await client.log_extent("log")
        assert (extent.first, extent.trimmed) == (first, False)


@needs_store
@BOTH_WAYS
async def test_a_hanging_store_is_not_used_after_timeouts_and_is_logged_once(
    commands: MakeCommands,
) -> None:
    async with running_store() as server, opened(server.settings(timeout=FAST), commands) as one:
        while kind_of(await one.put("a", b"1")) is not None:
            pass  # the first connection may take longer than the time limit
        server.pause()
        kinds = [kind_of(await one.get("a")) for _ in range(12)]
        assert kinds[-1] is StoreFailureKind.NOT_ASKED
        assert not one.store.is_usable
        began = time.monotonic()
        await one.get("a")
        assert time.monotonic() - began < FAST
        server.go_on()
        while kind_of(await one.get("a")) is not None:
            await server.command("PING")  # wait a little
        assert one.events[:2] == [("store.unavailable", "timeout"), ("store.available", None)]


@needs_store
@BOTH_WAYS
async def test_a_full_store_can_be_read_and_is_logged_once(
    commands: MakeCommands,
) -> None:
    async with running_store() as server, opened(server.settings(), commands) as one:
        await one.put("a", b"1")
        await server.command("CONFIG", "SET", "maxmemory", "1")
        for _ in range(10):
            assert kind_of(await one.put("b", b"2")) is StoreFailureKind.FULL
            assert await one.get("a") == [b"1"]
        await server.command("CONFIG", "SET", "maxmemory", "0")
        assert await one.put("b", b"2") is None
        assert one.events == [("store.unavailable", "full"), ("store.available", None)]


@needs_store
@BOTH_WAYS
@pytest.mark.parametrize("name", NAMES)
async def test_a_missing_right_is_logged_once_though_other_commands_succeed(
    commands: MakeCommands, name: str
) -> None:
    async with running_store(name) as server, opened(server.settings(), commands) as one:
        await server.command("ACL", "SETUSER", "default", "-mget", "-set")
        for _ in range(6):
            for _ in range(3):
                await one.store.run("time", lambda client: client.time())
            assert kind_of(await one.get("canary")) is StoreFailureKind.FORBIDDEN
            assert kind_of(await one.put("canary", b"1")) is StoreFailureKind.FORBIDDEN

        assert one.events == [("store.forbidden", None)] * 2
        of_mget, of_script = one.details
        assert "the user of the store may not run MGET: expected the rights" in of_mget
        assert "may not run a command of a script, such as SET: expected" in of_script
        assert "canary" not in of_mget + of_script


@needs_store
async def test_a_store_without_a_right_to_its_keys_is_logged_without_the_keys() -> None:
    async with running_store() as server, opened(server.settings()) as one:
        await server.command("ACL", "SETUSER", "default", "resetkeys", "~other:*")
        assert kind_of(await one.get("canary")) is StoreFailureKind.FORBIDDEN

        [detail] = one.details
        assert "may not use the keys with the prefix" in detail
        assert "canary" not in detail


@BOTH_WAYS
async def test_an_unreachable_store_is_returned_as_a_failure(
    commands: MakeCommands,
) -> None:
    settings = StoreSettings(url="redis://127.0.0.1:1", timeout=1.0)
    async with opened(settings, commands) as one:
        kinds = [kind_of(await one.get("a")) for _ in range(8)]
        assert kinds[0] is StoreFailureKind.CONNECTION
        assert kinds[-1] is StoreFailureKind.NOT_ASKED
        assert [event for event, _ in one.events] == ["store.unavailable"]


@needs_store
async def test_a_value_of_another_redis_type_is_returned_as_a_failure() -> None:
    async with running_store() as server, opened(server.settings()) as one:
        await server.command("SADD", "log", "x")
        failed = await one.store.insist("follow", lambda client: client.read_log("log", "0-0", 1))
        assert kind_of(failed) is StoreFailureKind.REFUSED


def test_a_connection_closed_while_it_opens_is_a_connection_failure() -> None:
    # uvloop raises this exception at a moment that a test cannot produce.
    with pytest.raises(StoreError) as found, translated():
        raise RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")

    assert found.value.failure.kind is StoreFailureKind.CONNECTION


@needs_store
async def test_reads_of_one_turn_are_one_command_and_get_their_own_values() -> None:
    async with running_store() as server, opened(server.settings()) as one:
        await one.put("a", b"1")
        await one.put("b", b"2")
        reads = ["a", "b"], ["missing"], ["b", "a", "b"]
        results = [asyncio.get_running_loop().create_future() for _ in reads]
        for keys, result in zip(reads, results, strict=True):
            one.store.reads.add(keys, result.set_result)

        assert await asyncio.gather(*results) == [[b"1", b"2"], [None], [b"2", b"1", b"2"]]
        assert await server.calls("mget") == 1


@needs_store
async def test_a_command_leaves_nothing_to_the_garbage_collector() -> None:
    async with running_store() as server, opened(server.settings(), DirectCommands) as one:
        await one.get("a")
        with rare_collector(), collecting() as found:
            assert await one.get("a") == [None]
            await asyncio.sleep(0)  # the ended task releases its objects

    assert not found


@needs_store
async def test_writes_of_one_turn_are_one_command_without_removed_keys() -> None:
    async with running_store() as server, opened(server.settings()) as one:
        for key, value in ("a", b"0"), ("a", b"1"), ("b", b"2"), ("c", b"3"):
            one.store.writes.add([StoredValue(key, value, 10_000)])
        one.store.writes.remove(["b"])
        while await one.get("a", "b", "c") == [None, None, None]:
            pass

        assert await one.get("a", "b", "c") == [b"1", None, b"3"]
        assert await server.calls("eval") == 1


@needs_store
@BOTH_WAYS
async def test_commands_succeed_after_the_store_has_closed_connections(
    commands: MakeCommands,
) -> None:
    async with running_store() as server, opened(server.settings(), commands) as one:
        await one.put("a", b"1")
        await asyncio.gather(*(one.get("a") for _ in range(8)))
        await server.command("CLIENT", "KILL", "TYPE", "normal")
        found = await asyncio.gather(*(one.get("a") for _ in range(8)))
        assert found == [[b"1"]] * 8
