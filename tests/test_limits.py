"""Each limit on requests over HTTP: at the limit, one over it, and switched off.

The limits on documents and variables are in tests/execution/test_limits.py. Each setting that is a
number has to be in one of the tables or in ``NO_LIMITS``, so a new limit cannot be forgotten.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from app.settings.limits import LimitsSettings, RateSettings
from app.settings.models import Settings
from app.settings.server import BatchSettings, PersistedSettings
from tests.conftest import GatewayClient, OpenGateway
from tests.execution.test_limits import CASES
from tests.fakes import FakeServices, settings_for_fakes, user_id
from tests.ways import BY_FILE, SHORT, Ways

ID = user_id(1)
ONE = {"query": f'{{ user(id: "{ID}") {{ id }} }}'}
USERS = "query($ids: [ID!]!) { users(ids: $ids) { id } }"
ENTITIES = "query($of: [_Any!]!) { _entities(representations: $of) { __typename } }"
JSON = {"Content-Type": "application/json"}

NO_LIMITS = {
    *("port", "workers", "shutdown_timeout", "admin.port"),  # of the process
    "telemetry.operation_names",  # does not refuse requests: test_gateway_metrics.py
    "document_cache",  # does not change results
    # The memory of caches: tests/test_memory.py.
    *("limits.memory.documents", "limits.memory.compiled"),
    *("limits.memory.persisted", "limits.memory.kept_users"),
    *("limits.rate.window", "limits.rate.max_callers", "limits.rate.trusted_proxies"),  # of quotas
    *("cors.max_age", "tls.hsts", "cache_control.max_age"),  # for browsers and caches
    # Of connections rather than requests: tests/server/test_head.py and test_protocol.py.
    *("connections.max_url_bytes", "connections.max_headers", "connections.max_head_bytes"),
    *("connections.max_connections", "connections.idle_timeout"),
    "store.max_connections",  # to the shared store: tests/store/
}
"""Settings that are whole numbers, but no limits on requests."""


@pytest.fixture(params=(SHORT, BY_FILE[0]), ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run every test with both schemas."""
    ways: Ways = request.param
    return ways


async def send_body(gateway: GatewayClient, size: int) -> bool:
    """Send a body of this number of bytes."""
    body = b'{"query": "{ __typename }"}'.ljust(size)
    response = await gateway.client.post("/graphql", content=body, headers=JSON)
    return accepted(response.status_code, response.text, 413, "BAD_REQUEST")


async def query_users(gateway: GatewayClient, count: int) -> bool:
    """Query this number of users."""
    response = await gateway.query(USERS, ids=[ID] * count)
    return accepted(response.response.status_code, response.response.text, 200, "BAD_USER_INPUT")


async def query_entities(gateway: GatewayClient, count: int) -> bool:
    """Query this number of entities."""
    response = await gateway.query(ENTITIES, of=[{"__typename": "User", "id": ID}] * count)
    return accepted(response.response.status_code, response.response.text, 200, "BAD_USER_INPUT")


async def send_operations(gateway: GatewayClient, count: int) -> bool:
    """Send this number of operations in one request."""
    response = await gateway.client.post("/graphql", json=[ONE] * count)
    return accepted(response.status_code, response.text, 422, "BAD_REQUEST")


async def run_operations(gateway: GatewayClient, count: int) -> bool:
    """Run this number of operations at the same time."""
    response = await gateway.client.post("/graphql", json=[ONE] * count)
    return accepted(response.status_code, response.text, 503, "GATEWAY_OVERLOADED")


async def keep_documents(gateway: GatewayClient, count: int) -> bool:
    """Persist this number of documents. Return whether the first is still known."""
    texts = [f"query Q{number} {{ __typename }}" for number in range(count)]
    named = [
        {"persistedQuery": {"version": 1, "sha256Hash": sha256(text.encode()).hexdigest()}}
        for text in texts
    ]
    for text, name in zip(texts, named, strict=True):
        await gateway.client.post("/graphql", json={"query": text, "extensions": name})
    response = await gateway.client.post("/graphql", json={"extensions": named[0]})
    return accepted(response.status_code, response.text, 200, "PERSISTED_QUERY_NOT_FOUND")


async def use_cost(gateway: GatewayClient, cost: int) -> bool:
    """Use this cost in one request, including its document."""
    response = await gateway.client.post(
        "/graphql", json={"query": USERS, "variables": {"ids": [ID] * (cost - len(USERS) // 4)}}
    )
    return accepted(response.status_code, response.text, 429, "RATE_LIMITED")


async def use_cost_of_entities(gateway: GatewayClient, cost: int) -> bool:
    """Use this cost in one request of a router, including its document."""
    response = await gateway.query(
        ENTITIES, of=[{"__typename": "User", "id": ID}] * (cost - len(ENTITIES) // 4)
    )
    return accepted(response.response.status_code, response.response.text, 429, "RATE_LIMITED")


def accepted(status: int, text: str, refusal: int, code: str) -> bool:
    """Return whether a request was accepted. Check that it was refused correctly if not."""
    if code not in text:
        assert (status, "errors" in text) == (200, False)
        return True
    assert status == refusal
    return False


@dataclass(frozen=True)
class LimitCase:
    """A limit.

    Attributes:
        setting: The setting.
        amount: Its value.
        send: Sends a request of an amount, and returns whether it was accepted.
        changes: The settings that set it.
        off: The settings that switch it off. Empty if it is always on.
    """

    setting: str
    amount: int
    send: Callable[[GatewayClient, int], Awaitable[bool]]
    changes: dict[str, Any]
    off: dict[str, Any] = field(default_factory=dict[str, Any])


def rate(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 # any setting of it
    """Make settings with a quota. In a window of a day, almost no quota is refilled."""
    settings = RateSettings.model_validate({"window": 86_400, "quota": 20, **changes})
    return {"limits": LimitsSettings(rate=settings)}


LIMITS = [
    LimitCase("max_body_bytes", 2_048, send_body, {"max_body_bytes": 2_048}),
    LimitCase("max_ids", 3, query_users, {"max_ids": 3}),
    LimitCase("max_representations", 3, query_entities, {"max_representations": 3}),
    LimitCase(
        "batch.max_operations",
        3,
        send_operations,
        {"batch": BatchSettings(enabled=True, max_operations=3)},
    ),
    LimitCase(
        "max_operations",
        3,
        run_operations,
        {"batch": BatchSettings(enabled=True), "max_operations": 3},
    ),
    LimitCase(
        "persisted.max_documents",
        3,
        keep_documents,
        {"persisted": PersistedSettings(enabled=True, max_documents=3)},
    ),
    LimitCase("limits.rate.quota", 20, use_cost, rate(), rate(enabled=False)),
    LimitCase("limits.rate.quota", 500, use_cost_of_entities, rate(quota=500), rate(enabled=False)),
]


@pytest.mark.parametrize("case", LIMITS, ids=lambda case: f"{case.setting}-{case.send.__name__}")
async def test_a_request_at_a_limit_is_accepted_and_one_over_it_is_refused(
    open_gateway: OpenGateway, services: FakeServices, case: LimitCase
) -> None:
    services.know(1)
    results: list[bool] = []
    for amount in (case.amount, case.amount + 1):
        async with open_gateway(settings_for_fakes(**case.changes)) as gateway:
            results.append(await case.send(gateway, amount))

    assert results == [True, False]
    if case.off:
        async with open_gateway(settings_for_fakes(**case.off)) as gateway:
            assert await case.send(gateway, case.amount + 1)


def numbers_of(model: type[BaseModel], place: str = "") -> Iterator[str]:
    """List the settings that are whole numbers, except for those of sources and the schema."""
    for name, one in model.model_fields.items():
        if name in {"sources", "user", "types", "public_schema"}:
            continue
        kinds: tuple[object, ...] = (one.annotation, *get_args(one.annotation))
        if int in kinds:
            yield place + name
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from numbers_of(kind, f"{place}{name}.")


def test_every_limit_has_a_test_case() -> None:
    of_documents = {f"limits.{case.limit}" for case in CASES if case.amount > 1}
    rows = {case.setting for case in LIMITS} | of_documents

    assert rows | NO_LIMITS == set(numbers_of(Settings))
    assert not rows & NO_LIMITS
