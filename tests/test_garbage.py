"""A request leaves no work to the garbage collector, which runs rarely in a server.

Only the collector frees a reference cycle: an exception and its frames, a loader and its batch
function, an executor and its helpers. Each interpreted operation, each refused one and each new
document used to leave a cycle, with all objects that it refers to.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import orjson
import pytest
from starlette.types import ASGIApp

from app.settings.models import Settings
from app.settings.server import BatchSettings, PersistedSettings
from tests.asgi import Sent, send
from tests.conftest import OpenGateway
from tests.fakes import (
    Behaviour,
    FakeServices,
    failing,
    raising,
    saying,
    settings_for_fakes,
    user_id,
)
from tests.garbage import collecting, rare_collector

ID = user_id(1)
SETTINGS: Settings = settings_for_fakes(
    batch=BatchSettings(enabled=True),
    persisted=PersistedSettings(enabled=True),
    introspection=True,
    explain=True,
)

Body = bytes | Mapping[str, object] | list[Mapping[str, object]]
"""The body of a request."""


def user_query(fields: str, **members: object) -> Mapping[str, object]:
    """Make a query for one user."""
    query = f"query($id: ID!) {{ user(id: $id) {{ {fields} }} }}"
    return {"query": query, "variables": {"id": ID}, **members}


def by_hash(name: object, **members: object) -> Mapping[str, object]:
    """Make a request that names a document by its hash."""
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": name}}, **members}


USERS = "query($ids: [ID!]!) { users(ids: $ids) { id username events { id } } }"
ENTITIES = "query($of: [_Any!]!) { _entities(representations: $of) { ... on User { id plan } } }"
EMPTY: Mapping[str, object] = {}
INVOICES = "invoices(first: 2) { edges { node { id total { amount } } } }"
CONDITION = "query($id: ID!, $s: Boolean) { user(id: $id) { id plan @include(if: $s) } }"

EXECUTED: dict[str, Callable[[int], Body]] = {
    "compiled": lambda _: user_query("username plan"),
    "never sent before": lambda number: user_query(f"username a{number}: plan"),
    "list": lambda _: {"query": USERS, "variables": {"ids": [ID, user_id(2)]}},
    "interpreted": lambda _: user_query("username plan", onError="PROPAGATE"),
    "halt": lambda _: user_query("username plan", onError="HALT"),
    "invoices": lambda _: user_query(f"username {INVOICES}"),
    "entities": lambda _: {
        "query": ENTITIES,
        "variables": {"of": [{"__typename": "User", "id": ID}]},
    },
    "condition that is null": lambda _: {"query": CONDITION, "variables": {"id": ID, "s": None}},
    "unknown user": lambda _: user_query("username", variables={"id": user_id(77)}),
    "batch": lambda _: [
        user_query("username"),
        user_query(f"plan {INVOICES}"),
        user_query("id", onError="PROPAGATE"),
    ],
    "introspection": lambda _: {"query": "{ __schema { types { name fields { name } } } }"},
    "typename": lambda _: {"query": "{ __typename }"},
}
"""Requests that are executed, by their kind."""

REFUSED: dict[str, Callable[[int], Body]] = {
    "wrong variable": lambda _: user_query("id", variables={"id": {"a": 1}}),
    "wrong items": lambda _: {"query": USERS, "variables": {"ids": [None, EMPTY, 7, ID]}},
    "missing variable": lambda _: user_query("id", variables={}),
    "invalid user id": lambda _: user_query("id", variables={"id": "nobody"}),
    "invalid user id, interpreted": lambda _: user_query(
        "id", variables={"id": "no"}, onError="PROPAGATE"
    ),
    "invalid user id, halt": lambda _: user_query("id", variables={"id": "no"}, onError="HALT"),
    "too many ids": lambda _: {"query": USERS, "variables": {"ids": [ID] * 101}},
    "wrong argument": lambda _: user_query("invoices(first: 0) { edges { cursor } }"),
    "wrong cursor": lambda _: user_query('invoices(after: "?") { edges { cursor } }'),
    "invalid representation": lambda _: {"query": ENTITIES, "variables": {"of": [EMPTY]}},
    "syntax error": lambda number: {"query": f"{{ user(id: {number}) {{ "},
    "same syntax error": lambda _: {"query": "{ user(id: "},
    "too many tokens": lambda number: {"query": f"{{ a{number} {'x ' * 3_000} }}"},
    "too deep": lambda number: {"query": f"{{ a{number} {'{ a ' * 900}"},
    "invalid": lambda number: {"query": f"{{ nothing{number} }}"},
    "invalid with fragments": lambda number: user_query(
        f"...F }} }} fragment F on User {{ {{ n{number}"
    ),
    "unknown type": lambda number: {"query": f"query($x{number}: Nope) {{ __typename }}"},
    "subscription": lambda number: {"query": f"subscription {{ x{number} }}"},
    "too many aliases": lambda number: user_query(
        " ".join(f"a{number}_{n}: id" for n in range(60))
    ),
    "too costly": lambda _: {
        "query": "query($ids: [ID!]!) { users(ids: $ids) { events(first: 1000) { id } } }",
        "variables": {"ids": [ID] * 100},
    },
    "unknown operation": lambda _: {"query": "{ __typename }", "operationName": "X"},
    "batch of invalid operations": lambda _: [user_query("id", variables={}), {"query": "{ "}],
    "unknown hash": lambda number: by_hash(f"{number:064}"),
    "wrong hash": lambda number: by_hash(f"{number:064}", query="{ __typename }"),
    "invalid hash": lambda _: by_hash(7),
    "missing document": lambda _: {},
    "wrong member": lambda _: {"query": 7},
    "not JSON": lambda _: b'{"query": ',
    "not UTF-8": lambda _: b"\xff\xfe",
}
"""Requests that are refused, as a whole or in a field."""


def sent(body: Body, headers: Mapping[str, str]) -> Sent:
    """Make a request with a body."""
    return Sent(body if isinstance(body, bytes) else orjson.dumps(body), headers)


async def garbage_of(
    app: ASGIApp, kinds: Mapping[str, Callable[[int], Body]], **headers: str
) -> dict[str, Any]:
    """Return the garbage of each kind of request after a warm-up."""
    numbers = count(1)
    left: dict[str, Any] = {}
    for make in kinds.values():
        for _ in range(2):
            await send(app, sent(make(next(numbers)), headers))
    with rare_collector():
        for kind, make in kinds.items():
            request = sent(make(next(numbers)), headers)
            with collecting() as found:
                response = await send(app, request)
                await asyncio.sleep(0)
            assert json.loads(response), kind
            if found:
                left[kind] = dict(found.most_common(8))
    return left


async def test_an_executed_request_leaves_no_garbage(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2)
    async with open_gateway(SETTINGS) as gateway:
        assert await garbage_of(gateway.app, EXECUTED) == {}


async def test_a_refused_request_leaves_no_garbage(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2)
    async with open_gateway(SETTINGS) as gateway:
        assert await garbage_of(gateway.app, REFUSED) == {}


@pytest.mark.parametrize(
    "behaviour",
    [failing(503), failing(404), saying(b"no JSON"), raising(RuntimeError("a bug of ours"))],
    ids=["status", "rejected", "malformed", "bug"],
)
async def test_a_request_with_a_failing_source_leaves_no_garbage(
    open_gateway: OpenGateway, services: FakeServices, behaviour: Behaviour
) -> None:
    services.know(1, 2)
    for service in services.by_name.values():
        service.behaviour = behaviour
    async with open_gateway(SETTINGS) as gateway:
        assert await garbage_of(gateway.app, EXECUTED) == {}


async def test_an_explained_request_leaves_no_garbage(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1, 2)
    async with open_gateway(SETTINGS) as gateway:
        kinds = {kind: make for kind, make in EXECUTED.items() if kind != "batch"}
        assert await garbage_of(gateway.app, kinds, **{"x-gateway-explain": "1"}) == {}
