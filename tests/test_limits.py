"""Each limit on what a request may ask for, through HTTP: at it, one over it, and switched off.

Those on documents and variables are in tests/execution/test_limits.py. A setting that is a number
has to be in one of the tables, or among those that are no limits: a new one cannot be forgotten.
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
    *("port", "workers", "shutdown_timeout", "admin.port"),  # the process's own
    "telemetry.operation_names",  # no request is refused by it: test_gateway_metrics.py
    "document_cache",  # what is kept of documents, which changes no answer
    # How much memory that takes: tests/test_memory.py.
    *("limits.memory.documents", "limits.memory.compiled"),
    *("limits.memory.persisted", "limits.memory.kept_users"),
    *("limits.rate.window", "limits.rate.max_callers", "limits.rate.trusted_proxies"),  # of a quota
    *("cors.max_age", "tls.hsts", "cache_control.max_age"),  # for browsers and caches
    # Of connections rather than requests: tests/server/test_head.py and test_protocol.py.
    *("connections.max_url_bytes", "connections.max_headers", "connections.max_head_bytes"),
    *("connections.max_connections", "connections.idle_timeout"),
    "store.max_connections",  # to the shared store: tests/store/
}
"""Settings that are whole numbers and no limits on what a request may ask for."""


@pytest.fixture(params=(SHORT, BY_FILE[0]), ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Have every test done with either schema."""
    ways: Ways = request.param
    return ways


async def has_body(gateway: GatewayClient, size: int) -> bool:
    """Send a body of so many bytes."""
    body = b'{"query": "{ __typename }"}'.ljust(size)
    response = await gateway.client.post("/graphql", content=body, headers=JSON)
    return accepted(response.status_code, response.text, 413, "BAD_REQUEST")


async def asks_for_users(gateway: GatewayClient, count: int) -> bool:
    """Ask for so many users."""
    response = await gateway.query(USERS, ids=[ID] * count)
    return accepted(response.response.status_code, response.response.text, 200, "BAD_USER_INPUT")


async def asks_for_entities(gateway: GatewayClient, count: int) -> bool:
    """Ask for so many entities."""
    response = await gateway.query(ENTITIES, of=[{"__typename": "User", "id": ID}] * count)
    return accepted(response.response.status_code, response.response.text, 200, "BAD_USER_INPUT")


async def has_operations(gateway: GatewayClient, count: int) -> bool:
    """Send so many operations in one request."""
    response = await gateway.client.post("/graphql", json=[ONE] * count)
    return accepted(response.status_code, response.text, 422, "BAD_REQUEST")


async def runs_operations(gateway: GatewayClient, count: int) -> bool:
    """Have so many operations run at the same time."""
    response = await gateway.client.post("/graphql", json=[ONE] * count)
    return accepted(response.status_code, response.text, 503, "GATEWAY_OVERLOADED")


async def keeps_documents(gateway: GatewayClient, count: int) -> bool:
    """Have so many documents kept; tell whether the first still is."""
    texts = [f"query Q{number} {{ __typename }}" for number in range(count)]
    named = [
        {"persistedQuery": {"version": 1, "sha256Hash": sha256(text.encode()).hexdigest()}}
        for text in texts
    ]
    for text, name in zip(texts, named, strict=True):
        await gateway.client.post("/graphql", json={"query": text, "extensions": name})
    response = await gateway.client.post("/graphql", json={"extensions": named[0]})
    return accepted(response.status_code, response.text, 200, "PERSISTED_QUERY_NOT_FOUND")


async def spends(gateway: GatewayClient, cost: int) -> bool:
    """Spend so much in one request, after its document has been paid for."""
    response = await gateway.client.post(
        "/graphql", json={"query": USERS, "variables": {"ids": [ID] * (cost - len(USERS) // 4)}}
    )
    return accepted(response.status_code, response.text, 429, "RATE_LIMITED")


async def spends_on_entities(gateway: GatewayClient, cost: int) -> bool:
    """Spend so much in one request of a router, after its document has been paid for."""
    response = await gateway.query(
        ENTITIES, of=[{"__typename": "User", "id": ID}] * (cost - len(ENTITIES) // 4)
    )
    return accepted(response.response.status_code, response.response.text, 429, "RATE_LIMITED")


def accepted(status: int, text: str, refusal: int, code: str) -> bool:
    """Tell whether a request was answered, or refused in the one way that is right."""
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
        amount: What it is set to.
        send: Asks for an amount; tells whether it was given.
        changes: The settings that set it.
        off: Those that switch it off; none where it is always on.
    """

    setting: str
    amount: int
    send: Callable[[GatewayClient, int], Awaitable[bool]]
    changes: dict[str, Any]
    off: dict[str, Any] = field(default_factory=dict[str, Any])


def rate(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 # any setting of it
    """Make settings with a rate; a day is so long that nothing worth counting comes back."""
    settings = RateSettings.model_validate({"window": 86_400, "quota": 20, **changes})
    return {"limits": LimitsSettings(rate=settings)}


LIMITS = [
    LimitCase("max_body_bytes", 2_048, has_body, {"max_body_bytes": 2_048}),
    LimitCase("max_ids", 3, asks_for_users, {"max_ids": 3}),
    LimitCase("max_representations", 3, asks_for_entities, {"max_representations": 3}),
    LimitCase(
        "batch.max_operations",
        3,
        has_operations,
        {"batch": BatchSettings(enabled=True, max_operations=3)},
    ),
    LimitCase(
        "max_operations",
        3,
        runs_operations,
        {"batch": BatchSettings(enabled=True), "max_operations": 3},
    ),
    LimitCase(
        "persisted.max_documents",
        3,
        keeps_documents,
        {"persisted": PersistedSettings(enabled=True, max_documents=3)},
    ),
    LimitCase("limits.rate.quota", 20, spends, rate(), rate(enabled=False)),
    LimitCase("limits.rate.quota", 500, spends_on_entities, rate(quota=500), rate(enabled=False)),
]


@pytest.mark.parametrize("case", LIMITS, ids=lambda case: f"{case.setting}-{case.send.__name__}")
async def test_what_is_at_a_limit_is_given_and_one_over_it_is_not(
    open_gateway: OpenGateway, services: FakeServices, case: LimitCase
) -> None:
    services.know(1)
    given: list[bool] = []
    for amount in (case.amount, case.amount + 1):
        async with open_gateway(settings_for_fakes(**case.changes)) as gateway:
            given.append(await case.send(gateway, amount))

    assert given == [True, False]
    if case.off:
        async with open_gateway(settings_for_fakes(**case.off)) as gateway:
            assert await case.send(gateway, case.amount + 1)


def numbers_of(model: type[BaseModel], place: str = "") -> Iterator[str]:
    """List the settings that are whole numbers, but for those of sources and of the schema."""
    for name, one in model.model_fields.items():
        if name in {"sources", "user", "types", "public_schema"}:
            continue
        kinds: tuple[object, ...] = (one.annotation, *get_args(one.annotation))
        if int in kinds:
            yield place + name
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from numbers_of(kind, f"{place}{name}.")


def test_every_limit_has_a_row() -> None:
    of_documents = {f"limits.{case.limit}" for case in CASES if case.amount > 1}
    rows = {case.setting for case in LIMITS} | of_documents

    assert rows | NO_LIMITS == set(numbers_of(Settings))
    assert not rows & NO_LIMITS
