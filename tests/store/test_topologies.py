"""Stores as a cluster, behind Sentinels, and with TLS and a password."""

import asyncio
import re
from pathlib import Path

import pytest

from app.fastpath.store import DirectCommands
from app.settings.store import StoreSettings
from app.store.contract import StoredValue, StoreError, StoreFailureKind
from app.store.redis_client import LibraryCommands, RedisClient, connect
from tests.certificates import Certificates
from tests.examples.serving import free_port
from tests.store.instances import until
from tests.stores import StoreServer, StoreWire, needs_store, running_store

pytestmark = needs_store


async def check_store(settings: StoreSettings) -> None:
    """Use each command that has keys, by the library and by the fast path."""
    for commands in LibraryCommands, DirectCommands:
        await check_commands(connect(settings, commands))


async def check_commands(client: RedisClient) -> None:
    """Use each command that has keys."""
    try:
        await client.put_many([StoredValue(key, key.encode(), 10_000) for key in "abc"])
        assert await client.get_many(["a", "x", "c"]) == [b"a", None, b"c"]
        await client.remove(["a", "b"])
        assert await client.get_many(["a", "b", "c"]) == [None, None, b"c"]
        await client.remove(["l", "m", "n", "log"])
        assert await client.lease(["l", "m", "n"], 10_000) == [True] * 3
        assert await client.lease(["l"], 10_000) == [False]
        assert await client.evaluate("return {1, 2, #ARGV}", "k", (7, 8)) == (1, 2, 2)
        assert await client.time() > 0
        first = await client.append("log", b"one", 10)
        assert [one.id for one in await client.read_log("log", "0-0", 10)] == [first]
        assert [one.message for one in await client.follow_log("log", "0-0", 10)] == [b"one"]
        assert (await client.log_extent("log")).first == first
    finally:
        await client.close()


async def is_ready(server: StoreServer) -> bool:
    """Return whether a cluster has all its slots."""
    return "cluster_state:ok" in await server.info("CLUSTER", "INFO")


async def test_a_cluster_can_be_the_store(tmp_path: Path) -> None:
    file = str(tmp_path / "nodes.conf")
    async with running_store(
        "", "--cluster-enabled", "yes", "--cluster-config-file", file
    ) as server:
        await server.command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        await until(lambda: is_ready(server))
        await check_store(StoreSettings(url=f"redis+cluster://127.0.0.1:{server.port}"))


async def test_the_detail_of_a_cluster_that_lacks_slots_says_so(tmp_path: Path) -> None:
    file = str(tmp_path / "nodes.conf")
    async with running_store(
        "", "--cluster-enabled", "yes", "--cluster-config-file", file
    ) as server:
        await server.command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        await until(lambda: is_ready(server))
        client = connect(StoreSettings(url=f"redis+cluster://127.0.0.1:{server.port}"))
        assert await client.get_many(["a"]) == [None]  # it knows the nodes and their slots
        await server.command("CLUSTER", "DELSLOTS", 0)
        with pytest.raises(StoreError) as failed:
            await client.append("log", b"one", 10)
        await client.close()

    assert "the cluster does not serve all its slots" in failed.value.failure.detail


async def test_the_address_of_the_store_is_read_from_a_sentinel(tmp_path: Path) -> None:
    async with running_store() as server:
        file = tmp_path / "sentinel.conf"
        file.write_text(f"sentinel monitor users 127.0.0.1 {server.port} 1\n", encoding="utf-8")
        async with running_store("", "--sentinel", file=file) as sentinel:
            url = f"valkey+sentinel://127.0.0.1:{sentinel.port}/users/0"
            await check_store(StoreSettings(url=url))


async def test_a_sentinel_that_is_down_does_not_delay_the_connection(tmp_path: Path) -> None:
    async with running_store() as server:
        file = tmp_path / "sentinel.conf"
        file.write_text(f"sentinel monitor users 127.0.0.1 {server.port} 1\n", encoding="utf-8")
        async with running_store("", "--sentinel", file=file) as sentinel:
            hosts = f"127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}"
            client = connect(StoreSettings(url=f"redis+sentinel://{hosts}/users"))
            async with asyncio.timeout(2):  # with retries, it took four seconds
                assert await client.get_many(["a"]) == [None]
            await client.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://127.0.0.1:{port}", "connecting to 127.0.0.1:"),
        ("redis+cluster://127.0.0.1:{port}", "Redis Cluster cannot be connected"),
        ("redis+sentinel://127.0.0.1:{port}/users", "No master found for 'users'"),
        ("redis://store.invalid:{port}", "connecting to store.invalid:"),
    ],
)
async def test_a_failed_connection_has_a_readable_reason_without_keys(url: str, words: str) -> None:
    client = connect(StoreSettings(url=url.format(port=free_port())))
    with pytest.raises(StoreError) as failed:
        await client.get_many(["canary"])
    await client.close()

    assert failed.value.failure.kind is StoreFailureKind.CONNECTION
    assert words in failed.value.failure.detail
    assert "canary" not in failed.value.failure.detail
    assert "object at" not in failed.value.failure.detail


async def test_the_detail_of_a_refused_command_has_no_keys(tmp_path: Path) -> None:
    file = tmp_path / "store.conf"
    file.write_text("rename-command MGET NOTHING\n", encoding="utf-8")
    async with running_store(file=file) as server:
        client = connect(server.settings())
        with pytest.raises(StoreError) as failed:
            await client.get_many(["canary"])
        await client.close()

    assert failed.value.failure.kind is StoreFailureKind.REFUSED
    assert "canary" not in failed.value.failure.detail


async def test_the_detail_of_a_replica_says_what_is_expected(tmp_path: Path) -> None:
    file = tmp_path / "replica.conf"
    file.write_text(f"replicaof 127.0.0.1 {free_port()}\n", encoding="utf-8")
    async with running_store(file=file) as server:
        client = connect(server.settings())
        with pytest.raises(StoreError) as failed:
            await client.append("log", b"one", 10)
        await client.close()
    assert "the server is a replica" in failed.value.failure.detail


async def test_a_store_may_require_tls_and_a_password(certificates: Certificates) -> None:
    async with (
        running_store("", "--requirepass", "secret") as server,
        StoreWire(server.port).opened(certificates.server("localhost")) as wire,
    ):
        values = {
            "url": f"rediss://localhost:{wire.port}/1",
            "password": "secret",
            "tls": {"ca_file": certificates.ca_file},
        }
        await check_store(StoreSettings.model_validate(values))
        with_wrong_password = connect(StoreSettings.model_validate({**values, "password": "wrong"}))
        with pytest.raises(StoreError) as refused:
            await with_wrong_password.get_many(["a"])
        assert refused.value.failure.kind is StoreFailureKind.CONNECTION
        assert "invalid username-password pair" in refused.value.failure.detail
        without_ca = connect(StoreSettings.model_validate({**values, "tls": None}))
        with pytest.raises(StoreError) as untrusted:
            await without_ca.get_many(["a"])
        assert untrusted.value.failure.kind is StoreFailureKind.CONNECTION
        assert "certificate verify failed" in untrusted.value.failure.detail
        for one in (with_wrong_password, without_ca):
            await one.close()


PAGE = Path(__file__).parents[2] / "docs" / "operations" / "caching-and-store.md"


async def test_the_documented_rights_are_enough(tmp_path: Path) -> None:
    [listed] = [
        line for line in PAGE.read_text("utf-8").split("\n\n") if "needs these commands" in line
    ]
    needed, _, of_databases = listed.partition(". All keys")[0].partition(";")
    rights = [f"+{one.lower()}" for one in re.findall(r"`([A-Z]+)`", needed)]
    assert len(rights) == 11
    assert re.findall(r"`([A-Z]+)`", of_databases) == ["SELECT"]
    file = tmp_path / "store.conf"
    for database, more in ("0", []), ("1", ["+select"]):
        rule = " ".join(["user gateway on >secret ~*", *rights, *more])
        file.write_text(f"{rule}\n", encoding="utf-8")
        async with running_store(file=file) as server:
            url = f"{server.url}/{database}"
            values = {"url": url, "username": "gateway", "password": "secret"}
            await check_store(StoreSettings.model_validate(values))
