"""Invalidated entries are not used by any gateway, from any level, after a second."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import hypothesis
import orjson
import pytest
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from tests.conftest import PROPERTY_TIMEOUT
from tests.fakes import FakeServices, json_response, profile_row, settings_for_fakes, user_id
from tests.properties import examples
from tests.store.instances import (
    ALLOWED,
    Instance,
    cached_source,
    instance,
    instances,
    settings_for,
    stored,
    until,
)
from tests.stores import StoreServer, StoreWire, needs_store, running_store

LOG = "user-gateway:invalidations"


def local_settings() -> Any:  # noqa: ANN401 # settings of a gateway
    """Make the settings of a gateway without a store, whose profiles are cached."""
    base = settings_for_fakes()
    return base.model_copy(update={"sources": {**base.sources, "profile": cached_source()}})


USER = user_id(1)


@pytest.mark.parametrize(
    ("invalidation", "removes"),
    [
        ({"users": [USER]}, True),
        ({"users": [USER.upper()]}, True),
        ({"sources": ["profile"]}, True),
        ({"tags": ["blue"]}, True),
        ({"users": [USER], "sources": ["billing", "profile"], "tags": ["blue", "x"]}, True),
        ({"users": [user_id(2)]}, False),
        ({"sources": ["billing"]}, False),
        ({"users": [USER], "sources": ["billing"]}, False),
        ({"users": [USER], "tags": ["green"]}, False),
    ],
    ids=str,
)
async def test_only_invalidated_entries_are_fetched_again(
    invalidation: Mapping[str, Sequence[str]],
    removes: bool,  # noqa: FBT001 # a column of the table
) -> None:
    async with instance(local_settings()) as one:
        one.services.profile.behaviour = tagged("Cache-Tag", "red, blue")
        await one.names(1)
        reply = await one.invalidate(invalidation)
        await one.names(1)

        assert reply.json() == {"status": "ok", "processes": 1}
        assert one.batches == [[1]] * (1 + removes)
        await one.names(1)
        assert one.batches == [[1]] * (1 + removes)


async def test_tags_are_split_at_spaces_and_too_many_prevent_caching() -> None:
    async with instance(local_settings()) as one:
        one.services.profile.behaviour = tagged("Surrogate-Key", "red blue")
        await one.names(1)
        await one.invalidate({"tags": ["red"]})
        one.services.profile.behaviour = tagged("Surrogate-Key", " ".join(map(str, range(101))))
        await one.names(1)
        await one.names(1)

        assert one.batches == [[1]] * 3


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "it cannot be read as JSON"),
        (b"[]", "object"),
        (b"{}", "at least one of users, sources and tags"),
        (b'{"users": "1"}', "users"),
        (b'{"user": ["1"]}', "user"),
        (
            b'{"sources": ["shop"]}',
            'sources has "shop": expected some of activity, billing, profile',
        ),
        (b'{"users": []}', "users: List should have at least 1 item, not 0: expected"),
        (b'{"users": [42]}', "users.0: Input should be a valid string: expected"),
        (b'{"users": ["1"], "users": ["2"]}', 'duplicate key "users"'),
        (b'{"tags": ["red", "a,b"]}', "tags.1: expected one tag, without spaces and commas"),
        (b'{"tags": ["a b"]}', "tags.0: expected one tag"),
    ],
)
async def test_an_invalid_invalidation_is_refused_and_removes_nothing(
    body: bytes, message: str
) -> None:
    async with instance(local_settings()) as one:
        one.services.know(1)
        await one.names(1)
        response = await one.admin.post("/cache/invalidate", content=body, headers=ALLOWED)
        await one.names(1)

        assert response.status_code == 400
        found = response.json()["errors"][0]["message"]
        assert message in found
        assert "expected" in found
        assert one.batches == [[1]]


async def test_only_a_client_with_the_token_may_invalidate() -> None:
    async with instance(local_settings()) as one:
        response = await one.admin.post("/cache/invalidate", json={"users": [USER]})

        assert response.status_code == 401


async def test_a_call_from_before_an_invalidation_is_not_joined_or_cached() -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    async with instance(local_settings()) as one:
        services = one.services
        services.know(1)
        begun: list[int] = []

        async def wait(_: httpx.Request) -> None:
            begun.append(len(begun))
            await gates[begun[-1]].wait()

        services.before = wait
        first = asyncio.create_task(one.names(1))
        await until(lambda: length_is(begun, 1))
        await one.invalidate({"users": [USER]})
        second = asyncio.create_task(one.names(1))
        await until(lambda: length_is(begun, 2))
        services.profile.rows[USER] = profile_row(1, displayName="New")
        gates[1].set()
        assert await second == ["New"]
        services.profile.rows[USER] = profile_row(1, displayName="Old")
        gates[0].set()
        assert await first == ["Old"]

        assert await one.names(1) == ["New"]


@needs_store
@pytest.mark.parametrize("by", ["gateway", "message"])
async def test_an_invalidation_reaches_all_gateways(by: str) -> None:
    services = FakeServices()
    services.know(1)
    async with (
        running_store() as server,
        instances(3, settings_for(server, cached_source()), services) as several,
    ):
        await several[0].names(1)
        await stored(server, 1)
        for one in several:
            await one.names(1)
        services.profile.rows[USER] = profile_row(1, displayName="New")
        if by == "gateway":
            response = await several[0].invalidate({"users": [USER]})
            assert response.json() == {"status": "ok", "processes": 1}
        else:
            await server.command("XADD", LOG, "*", "message", f'{{"users": ["{USER}"]}}')

        for one in several:
            await until(partial(has_invalidated, one))
            assert await one.names(1) == ["New"]
            assert not one.client.events("cache.invalidations_unknown")
        # One gateway fetched it. Others did, too, if they looked it up before it was stored.
        assert len(services.profile.batches) in {2, 3, 4}


@needs_store
async def test_a_gateway_that_starts_later_applies_earlier_invalidations() -> None:
    services = FakeServices()
    services.know(1)
    async with running_store() as server:
        settings = settings_for(server, cached_source())
        async with instance(settings, services) as one:
            await one.names(1)
            await stored(server, 1)
            await one.invalidate({"users": [USER]})
        services.profile.rows[USER] = profile_row(1, displayName="New")
        async with instance(settings, services) as other:
            assert await other.names(1) == ["New"]


@needs_store
async def test_an_invalid_message_is_logged_and_has_no_effect() -> None:
    async with (
        running_store() as server,
        instance(settings_for(server, cached_source())) as one,
    ):
        one.services.know(1)
        await one.names(1)
        await server.command("XADD", LOG, "*", "message", '{"users": 1}')
        await server.command("XADD", LOG, "*", "other", "x")
        await until(lambda: length_is(one.client.events("cache.invalidation_refused"), 2))
        await one.names(1)

        assert one.batches == [[1]]
        unreadable, without_message = one.client.events("cache.invalidation_refused")
        assert "users: Input should be a list" in unreadable["reason"]
        assert 'nothing in the field "message"' in without_message["reason"]


@needs_store
@pytest.mark.parametrize("of_whom", [{}, {"users": [USER]}])
async def test_a_message_about_a_source_of_another_gateway_counts_for_known_sources(
    of_whom: Mapping[str, Sequence[str]],
) -> None:
    services = FakeServices()
    services.know(1)
    message = orjson.dumps({**of_whom, "sources": ["added-by-an-upgrade", "profile"]}).decode()
    async with (
        running_store() as server,
        instance(settings_for(server, cached_source()), services) as one,
    ):
        await one.names(1)
        services.profile.rows[USER] = profile_row(1, displayName="New")
        await server.command("XADD", LOG, "*", "message", message)
        await until(lambda: length_is(one.client.events("cache.invalidation_refused"), 1))
        assert await one.names(1) == ["New"]
        [refused] = one.client.events("cache.invalidation_refused")

    assert refused["reason"].startswith('sources has "added-by-an-upgrade": expected some of ')


async def test_a_body_that_is_too_long_or_incomplete_is_refused() -> None:
    async with instance(local_settings()) as one:
        long = b'{"users": ["' + b"x" * 1_100_000 + b'"]}'
        refused = await one.admin.post("/cache/invalidate", content=long, headers=ALLOWED)
        assert refused.status_code == 413
        assert "expected several requests" in refused.json()["errors"][0]["message"]

        async def disconnecting() -> AsyncGenerator[bytes]:
            yield b'{"users": ["'
            raise ClientDisconnect

        response = await one.admin.post(
            "/cache/invalidate", content=disconnecting(), headers=ALLOWED
        )
        assert response.status_code == 400


async def test_ids_with_any_characters_can_be_invalidated() -> None:
    async with instance(local_settings()) as one:
        for user in ("'; DROP", "\0", "\u202e", "a\r\nb", "\U0001f600" * 1_000, "*", "a:b"):
            assert (await one.invalidate({"users": [user]})).status_code == 200
        many = [user_id(number) for number in range(10_000)]
        one.services.know(1)
        await one.names(1)
        assert (await one.invalidate({"users": many})).status_code == 200
        await one.names(1)
        assert one.batches == [[1]] * 2
        half = await one.admin.post(
            "/cache/invalidate", content=b'{"users": ["\\ud800"]}', headers=ALLOWED
        )
        assert half.status_code == 400


@needs_store
async def test_an_overwritten_log_is_reported_once_and_refuses_invalidations() -> None:
    async with running_store() as server, instance(settings_for(server, cached_source())) as one:
        one.services.know(1)
        await one.names(1)
        await server.set(LOG, b"x")
        await until(lambda: length_is(one.client.events("cache.invalidations_unknown"), 1))
        response = await one.invalidate({"users": [USER]})
        assert (response.status_code, await one.names(1)) == (503, ["User 1"])
        assert one.batches == [[1]] * 2  # what was kept is not trusted

        await server.command("DEL", LOG)
        await until(lambda: length_is(one.client.events("cache.invalidations_known"), 1))
        assert (await one.invalidate({"users": [USER]})).status_code == 200
        assert len(one.client.events("cache.invalidations_unknown")) == 1


@needs_store
async def test_a_log_that_may_be_read_but_not_followed_is_reported_once() -> None:
    async with running_store() as server, instance(settings_for(server, cached_source())) as one:
        await server.command("ACL", "SETUSER", "default", "-xread")
        await until(lambda: length_is(one.client.events("cache.invalidations_unknown"), 1))
        read = await server.calls("xrange")

        async def is_read_often() -> bool:
            return await server.calls("xrange") > read + 9

        await until(is_read_often)  # three times at least, and each time to its end
        assert len(one.client.events("cache.invalidations_unknown")) == 1
        [forbidden] = one.client.events("store.forbidden")
        assert forbidden["operation"] == "follow"
        assert "the user of the store may not run XREAD" in forbidden["detail"]

        await server.command("ACL", "SETUSER", "default", "+xread")
        await until(lambda: length_is(one.client.events("cache.invalidations_known"), 1))
        assert len(one.client.events("cache.invalidations_unknown")) == 1


@needs_store
async def test_a_gateway_without_its_store_invalidates_alone_and_returns_503() -> None:
    async with running_store() as server, instance(settings_for(server, cached_source())) as one:
        one.services.know(1)
        await one.names(1)
        await server.stop()
        response = await one.invalidate({"users": [USER]})
        await one.names(1)

        assert response.status_code == 503
        assert "the shared store could not be told" in response.json()["errors"][0]["message"]
        assert one.batches == [[1]] * 2


USERS = range(4)
WITHIN = 1.0
"""Seconds within which all gateways have to apply an invalidation."""


@dataclass
class Change:
    """A change of users at the source, and its invalidation.

    Attributes:
        users: The users.
        version: The version of these users since the change.
        acknowledged: When the invalidation was acknowledged.
    """

    users: Sequence[int]
    version: int
    acknowledged: float


@dataclass
class Reading:
    """A user as one gateway returned it.

    Attributes:
        began: When the query was sent.
        user: The user.
        version: The version that was returned.
        by: The number of the gateway.
    """

    began: float
    user: int
    version: int
    by: int


class ChangingServices(FakeServices):
    """Services whose users change, and whose responses arrive with a delay."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.versions = [0 for _ in USERS]
        self._chance = chance

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """Respond with the current versions, after a delay."""
        keys = request.url.params.get_list("id")
        users = [int(key.rpartition("-")[2]) for key in keys]
        response = json_response(
            [profile_row(one, displayName=str(self.versions[one])) for one in users]
        )
        response.headers["Cache-Tag"] = " ".join({f"team{one % 2}" for one in users})
        await asyncio.sleep(self._chance.choice([0, 0, 0, 0, 0.02, 0.3, 1.5]))
        return response


@dataclass
class Trial:
    """Gateways that are queried all the time, while users change and the store fails.

    Attributes:
        server: The store.
        wire: The network between the last gateway and the store.
        services: The source of all gateways.
        several: The gateways.
        chance: The random choices.
        changes: The changes that were acknowledged.
        readings: All users that were returned.
    """

    server: StoreServer
    wire: StoreWire
    services: ChangingServices
    several: Sequence[Instance]
    chance: random.Random
    changes: list[Change] = field(default_factory=list[Change])
    readings: list[Reading] = field(default_factory=list[Reading])

    async def read(self, number: int) -> None:
        """Query some users at one gateway, again and again."""
        while True:
            users = self.chance.sample(USERS, self.chance.randint(1, 3))
            began = time.monotonic()
            for user, name in zip(users, await self.several[number].names(*users), strict=True):
                self.readings.append(Reading(began, user, int(name or "-1"), number))
            await asyncio.sleep(self.chance.choice([0.001, 0.01]))

    async def change(self, way: str) -> None:
        """Change some users, and invalidate them in one of the ways."""
        user = self.chance.choice(USERS)
        team = [one for one in USERS if one % 2 == user % 2]
        users, invalidation = {
            "user": ([user], {"users": [user_id(user)]}),
            "narrow": ([user], {"users": [user_id(user)], "sources": ["profile"]}),
            "message": ([user], {"users": [user_id(user)]}),
            "tag": (team, {"tags": [f"team{user % 2}"]}),
            "source": ([*USERS], {"sources": ["profile"]}),
        }[way]
        version = max(self.services.versions) + 1
        for one in users:
            self.services.versions[one] = version
        if way == "message":
            text = f'{{"users": ["{user_id(user)}"]}}'
            is_acknowledged = (
                await self.server.command("XADD", LOG, "*", "message", text)
            ).startswith(b"$")
        else:
            response = await self.chance.choice(self.several).invalidate(invalidation)
            is_acknowledged = response.status_code == 200
        if is_acknowledged:
            self.changes.append(Change(users, version, time.monotonic()))

    async def disturb(self, how: str) -> None:
        """Break the store for a while."""
        if how == "cut":
            self.wire.cut()
        elif how == "mend":
            self.wire.mend()
        elif how == "flush":
            await self.server.command("FLUSHALL")
        elif how == "restart":
            await self.server.stop()
            await asyncio.sleep(0.3)
            await self.server.start_again()
        else:
            self.server.pause()
            await asyncio.sleep(1.3)
            self.server.go_on()

    def stale(self) -> Sequence[Reading]:
        """List the readings of entries that had been invalidated."""
        return [
            one
            for one in self.readings
            for change in self.changes
            if one.user in change.users
            and one.version < change.version
            and one.began > change.acknowledged + WITHIN
        ]


DISTURBANCES = frozenset({"cut", "mend", "flush", "restart", "pause"})

STEPS = st.lists(
    st.sampled_from(
        ["user", "narrow", "message", "tag", "source", "cut", "mend", "flush", "restart", "pause"]
    ),
    min_size=4,
    max_size=8,
)


@needs_store
@pytest.mark.timeout(2 * PROPERTY_TIMEOUT)
@hypothesis.settings(deadline=None, max_examples=examples(12, "INVALIDATION_EXAMPLES") // 3 or 1)
@hypothesis.given(seed=st.integers(0, 2**32), steps=STEPS)
@hypothesis.example(seed=1, steps=["cut", "user", "tag", "message"])
@hypothesis.example(seed=2, steps=["source", "flush", "user", "restart", "message", "narrow"])
async def test_no_stale_value_is_read_a_second_after_an_acknowledged_invalidation(
    seed: int, steps: Sequence[str]
) -> None:
    chance = random.Random(seed)  # noqa: S311 # nothing is secret
    services = ChangingServices(chance)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_store())
        source = cached_source(stale_while_revalidate=60, stale_if_error=60).model_copy(
            update={"contract": "optional"}
        )
        settings = settings_for(server, source, timeout=0.05, local_ttl=0.5)
        wire = await stack.enter_async_context(StoreWire(server.port).opened())
        behind = settings.store.model_copy(update={"url": f"redis://127.0.0.1:{wire.port}"})
        several = [
            *await stack.enter_async_context(instances(2, settings, services)),
            await stack.enter_async_context(
                instance(settings.model_copy(update={"store": behind}), services)
            ),
        ]
        trial = Trial(server, wire, services, several, chance)
        readers = [asyncio.create_task(trial.read(number)) for number in range(3)]
        try:
            for step in steps:
                if step in DISTURBANCES:
                    await trial.disturb(step)
                else:
                    await trial.change(step)
                await asyncio.sleep(chance.choice([0.05, 0.3]))
            await asyncio.sleep(WITHIN + 0.3)
            wire.mend()
            await asyncio.sleep(0.3)
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.wait(readers)
        assert all(reader.cancelled() for reader in readers)

        assert not trial.stale()
        assert {one.by for one in trial.readings} == {0, 1, 2}


def tagged(name: str, value: str) -> Callable[[httpx.Request], httpx.Response]:
    """Respond with the first user and tags."""

    def behave(_: httpx.Request) -> httpx.Response:
        response = json_response([profile_row(1)])
        response.headers[name] = value
        return response

    return behave


async def length_is(found: Sequence[object], length: int) -> bool:
    """Return whether a list has so many items. The event loop runs once before."""
    await asyncio.sleep(0)
    return len(found) == length


async def has_invalidated(one: Instance) -> bool:
    """Return whether a gateway has carried out an invalidation. The event loop runs before."""
    await asyncio.sleep(0)
    return one.invalidations() > 0
