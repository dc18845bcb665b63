"""Entries of the entity cache are shared between gateways through the store."""

import asyncio
import math
from collections.abc import Mapping

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings.credentials import NoAuth
from app.sources.base import UserId
from app.sources.cache.store import EntryKey
from app.sources.cache.stored_entry import StoredEntry, read_entries, write_entry
from tests.fakes import Behaviour, FakeServices, failing, json_response, profile_row, user_id
from tests.store.instances import (
    NAMES,
    cached_source,
    instance,
    instances,
    settings_for,
    stored,
    until,
)
from tests.stores import PATIENCE, StoreServer, needs_store, running_store
from tests.ways import BOTH, Ways

pytestmark = needs_store


@pytest.mark.parametrize("ways", BOTH, ids=str)
async def test_an_entry_fetched_by_one_gateway_is_not_fetched_by_another(ways: Ways) -> None:
    async with running_store() as server:
        settings = settings_for(server, cached_source())
        async with instances(2, settings, ways=ways) as (one, other):
            one.services.know(1, 2)
            names = ["User 1", "User 2", None]
            assert await one.names(1, 2, 3) == names
            await stored(server, 3)
            await server.command("CONFIG", "RESETSTAT")
            assert await other.names(1, 2, 3) == names
            assert await other.names(1, 2, 3) == names  # from its memory

            assert (one.batches, other.batches) == ([[1, 2, 3]], [])
            assert (one.lookups("miss"), other.lookups("hit")) == (3, 3)
            assert await server.calls("mget") == 1


async def test_only_the_keys_that_the_store_does_not_have_are_fetched() -> None:
    async with (
        running_store() as server,
        instances(2, settings_for(server, cached_source())) as (one, other),
    ):
        one.services.know(1)
        other.services.know(1, 2)
        await one.names(1)
        await stored(server, 1)

        assert await other.names(1, 2) == ["User 1", "User 2"]
        assert other.batches == [[2]]


async def test_entries_are_not_shared_between_different_source_contracts() -> None:
    async with running_store() as server:
        plain = settings_for(server, cached_source())
        fields = {"fields": {"id": "id", "displayName": "username"}}
        changed = plain.sources["profile"].model_copy(update=fields)
        async with instance(plain) as one, instance(settings_for(server, changed)) as other:
            one.services.know(1)
            other.services.know(1)
            await one.names(1)
            await stored(server, 1)

            assert await other.names(1) == ["user1"]


async def test_an_unreadable_entry_is_fetched_again() -> None:
    async with running_store() as server:
        settings = settings_for(server, cached_source())
        async with instance(settings) as one:
            one.services.know(1)
            await one.names(1)
            await stored(server, 1)
        [key] = await server.keys("*:e:profile:*")
        whole = await server.get(key)
        of_another = whole.replace(user_id(1).encode(), user_id(2).encode())
        for value in (b"", b"\x09" + whole[1:], whole[:-9], b"\x02" + whole[1:], of_another):
            await server.set(key, value)
            async with instance(settings) as other:
                other.services.know(1)
                assert await other.names(1) == ["User 1"]
                assert (other.batches, other.lookups("unreadable")) == ([[1]], 1)


async def test_an_entry_of_another_redis_type_is_a_miss_and_is_replaced() -> None:
    async with running_store() as server:
        settings = settings_for(server, cached_source())
        async with instance(settings) as one:
            one.services.know(1)
            await one.names(1)
            await stored(server, 1)
        [key] = await server.keys("*:e:profile:*")
        whole = await server.get(key)
        await server.command("DEL", key)
        await server.command("LPUSH", key, "x")
        async with instance(settings) as other:
            other.services.know(1)
            assert await other.names(1) == ["User 1"]
            assert (other.batches, other.lookups("miss")) == ([[1]], 1)
            await until(lambda: has_type(server, key, b"+string"))
            assert len(await server.get(key)) == len(whole)


async def test_a_local_entry_is_used_until_the_store_has_another_or_it_expires() -> None:
    async with running_store() as server:
        source = cached_source(ttl=2)
        mine = settings_for(server, source, local_ttl=0.001)
        theirs = settings_for(server, source, prefix="theirs")
        async with instance(mine) as one, instance(theirs) as other:
            one.services.know(1)
            other.services.profile.rows[user_id(1)] = profile_row(1, displayName="New")
            await one.names(1)
            await stored(server, 1)
            for _ in range(5):
                await wait_seconds(0.002)
                assert await one.names(1) == ["User 1"]
            assert (one.batches, one.lookups("hit")) == ([[1]], 5)

            await other.names(1)
            await stored(server, 2)
            [key] = await server.keys("user-gateway:e:profile:*")
            [newer] = await server.keys("theirs:e:profile:*")
            await server.set(key, await server.get(newer))
            assert await one.names(1) == ["New"]
            assert one.batches == [[1]]

            await wait_seconds(2)  # the server keeps this value for longer than it is fresh
            assert await one.names(1) == ["User 1"]
            assert one.batches == [[1]] * 2


async def has_type(server: StoreServer, key: str, kind: bytes) -> bool:
    """Return whether a key has a value of a type."""
    return await server.command("TYPE", key) == kind


async def test_several_gateways_renew_a_stale_entry_once() -> None:
    services = FakeServices()
    services.know(1)
    async with running_store() as server:
        source = cached_source(ttl=0.05, stale_while_revalidate=600)
        async with instances(4, settings_for(server, source), services) as several:
            await several[0].names(1)
            await stored(server, 1)
            await wait_seconds(0.06)
            services.profile.rows[user_id(1)] = profile_row(1, displayName="New")
            async with asyncio.TaskGroup() as group:
                replies = [group.create_task(one.names(1)) for one in several for _ in range(3)]
            assert {reply.result()[0] for reply in replies} <= {"User 1", "New"}
            await until(lambda: has_called(services, 2))
            for one in several:
                await one.names(1)

            assert services.profile.batches == [[user_id(1)]] * 2


async def test_an_entry_that_becomes_stale_in_memory_is_renewed_and_counted_stale() -> None:
    renewal = asyncio.Event()
    async with running_store() as server:
        source = cached_source(ttl=0.05, stale_while_revalidate=600)
        settings = settings_for(server, source, local_ttl=3600)
        async with instance(settings) as one, asyncio.timeout(PATIENCE):
            services = one.services
            services.know(1)
            await one.names(1)
            await stored(server, 1)
            await wait_seconds(0.06)

            async def wait(_: httpx.Request) -> None:
                await renewal.wait()

            services.before = wait
            services.profile.rows[user_id(1)] = profile_row(1, displayName="New")
            assert await one.names(1) == ["User 1"]
            assert await one.names(1) == ["User 1"]  # this one is not looked up in the store again
            assert one.lookups("hit") == 1
            assert (one.cached("miss"), one.cached("stale"), one.cached("hit")) == (1, 2, 0)

            async def is_renewed() -> bool:
                return await one.names(1) == ["New"]

            renewal.set()
            await until(is_renewed)
            assert one.batches == [[1]] * 2


async def test_a_stale_record_of_another_gateway_is_used_when_the_source_fails() -> None:
    async with running_store() as server:
        source = cached_source(ttl=0.05, stale_if_error=600)
        async with instances(2, settings_for(server, source)) as (one, other):
            one.services.know(1)
            other.services.profile.behaviour = failing(503)
            await one.names(1)
            await stored(server, 1)
            await wait_seconds(0.06)

            reply = await other.client.query(NAMES, ids=[user_id(1)])

            assert reply.data["users"] == [{"displayName": "User 1"}]
            assert not reply.errors


async def test_an_entry_is_removed_from_both_levels_after_a_no_store_response() -> None:
    services = FakeServices()
    services.know(1)
    async with running_store() as server:
        settings = settings_for(server, cached_source(ttl=0.05, stale_if_error=600))
        async with instances(2, settings, services) as (one, other):
            await one.names(1)
            await stored(server, 1)
            await wait_seconds(0.06)
            services.profile.behaviour = with_header("Cache-Control", "no-store", profile_row(1))

            async def is_removed() -> bool:
                await one.names(1)  # a renewal whose lease came too late is started again
                return await server.keys("*:e:*") == []

            await until(is_removed)
            services.profile.behaviour = failing(503)

            assert await one.names(1) == [None]
            assert await other.names(1) == [None]


@pytest.mark.parametrize(
    "header", [("Vary", "*"), ("Cache-Control", "private"), ("Cache-Control", "no-store")], ids=str
)
async def test_a_response_that_must_not_be_cached_is_not_stored(
    header: tuple[str, str],
) -> None:
    async with (
        running_store() as server,
        instances(2, settings_for(server, cached_source())) as (one, other),
    ):
        for each in (one, other):
            each.services.profile.behaviour = with_header(*header, profile_row(1))
            await each.names(1)

        assert (one.batches, other.batches) == ([[1]], [[1]])
        assert await server.keys("*:e:*") == []


async def test_a_private_entry_of_one_caller_is_not_used_for_another() -> None:
    async with running_store() as server:
        auth = NoAuth(forward_headers=("X-Tenant",))
        source = cached_source().model_copy(update={"auth": auth})
        async with instances(2, settings_for(server, source)) as (one, other):
            row = profile_row(1)
            one.services.profile.behaviour = with_header("Cache-Control", "private", row)
            other.services.profile.behaviour = with_header("Cache-Control", "private", row)
            ids = {"ids": [user_id(1)]}
            await one.client.query_as({"X-Tenant": "a"}, NAMES, **ids)
            await stored(server, 1)
            await other.client.query_as({"X-Tenant": "b"}, NAMES, **ids)
            await other.client.query_as({"X-Tenant": "a"}, NAMES, **ids)

            assert (one.batches, other.batches) == ([[1]], [[1]])


async def test_a_gateway_without_its_store_uses_the_source_and_its_memory() -> None:
    async with running_store() as server:
        settings = settings_for(server, cached_source(), timeout=0.02)
        async with instance(settings) as one:
            one.services.know(*range(10))
            await one.names(0)
            await stored(server, 1)
            server.pause()
            for number in range(1, 9):
                assert await one.names(number) == [f"User {number}"]
            assert await one.names(8) == ["User 8"]
            server.go_on()
            await server.stop()
            assert await one.names(9) == ["User 9"]
            assert await one.names(9) == ["User 9"]

            assert one.batches == [[number] for number in range(10)]
            assert len(one.client.events("store.unavailable")) == 1


async def test_a_request_with_less_time_than_the_store_may_take_does_not_ask_the_store() -> None:
    async with running_store() as server:
        settings = settings_for(server, cached_source(), timeout=1.0)
        async with instance(settings) as one:
            one.services.know(1)
            server.pause()
            reply = await one.client.query_as(
                {"X-Request-Timeout": "900ms"}, NAMES, ids=[user_id(1)]
            )
            server.go_on()

            assert reply.data == {"users": [{"displayName": "User 1"}]}
            assert one.batches == [[1]]
            assert one.client.events("store.unavailable") == []


@given(
    st.lists(st.text(max_size=50), max_size=4),
    st.one_of(st.none(), st.text(max_size=3_000)),
    st.booleans(),
)
def test_an_entry_is_read_as_it_was_written(
    tags: list[str],
    name: str | None,
    is_long: bool,  # noqa: FBT001 # a generated value
) -> None:
    row = None if name is None else name.encode("utf-8", "replace") * (100 if is_long else 1)
    entry = StoredEntry(entry_key("u"), 1, 2, (math.inf, 0.0, 1.5, True), tuple(tags), ("a",), row)

    written = write_entry(entry)
    owners = [entry_key(user) for user in "uvw"]
    assert read_entries([written, written, None], owners) == [entry, None, None]


@given(st.binary(max_size=200), st.booleans())
def test_random_bytes_are_read_as_a_missing_entry(
    value: bytes,
    is_plain: bool,  # noqa: FBT001 # a generated value
) -> None:
    entry = StoredEntry(entry_key("u"), 1, 2, None, (), None, b"{}")
    wrong = b"\x01" + value if is_plain else value
    found = read_entries([wrong, write_entry(entry)], [EntryKey("", UserId("u")), entry_key("u")])

    assert found == [None, entry]


def entry_key(user: str) -> EntryKey:
    """Make the key of an entry."""
    return EntryKey("i", UserId(user))


def with_header(name: str, value: str, row: Mapping[str, object]) -> Behaviour:
    """Respond with one row, and one more header."""

    def behave(_: httpx.Request) -> httpx.Response:
        response = json_response([row])
        response.headers[name] = value
        return response

    return behave


async def has_called(services: FakeServices, count: int) -> bool:
    """Return whether profile was called so often. The event loop runs once before."""
    await asyncio.sleep(0)
    return len(services.profile.batches) >= count


async def wait_seconds(seconds: float) -> None:
    """Wait in real time, because the ages of stored entries are real."""
    await asyncio.sleep(seconds)
