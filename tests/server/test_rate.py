"""Rate limits: the quota of cost of each caller."""

from hashlib import sha256
from typing import Any

import httpx
import pytest

from app.server.rate_limit import RateLimiter
from app.settings.fastpath import FastpathSettings
from app.settings.limits import LimitsSettings, RateSettings
from app.settings.server import BatchSettings, PersistedSettings
from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, settings_for_fakes, user_id

ID = user_id(1)
IDS = "query($ids: [ID!]!) { users(ids: $ids) { id } }"
DOCUMENT = len(IDS) // 4
"""The cost of preparing the document, once."""

DAY = 86_400
"""A window in seconds that is so long that no quota refills during a test."""


def rate_limits(**rate: Any) -> LimitsSettings:  # noqa: ANN401 # any setting of the rate
    """Make limits with a quota for each caller."""
    return LimitsSettings(rate=RateSettings.model_validate({"window": DAY, **rate}))


async def ask(gateway: GatewayClient, ids: int, *, address: str | None = None) -> httpx.Response:
    """Ask for a number of users."""
    headers = {} if address is None else {"X-Forwarded-For": address}
    body = {"query": IDS, "variables": {"ids": [ID] * ids}}
    return await gateway.client.post("/graphql", json=body, headers=headers)


async def test_a_caller_over_its_quota_is_refused(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)

    async with open_gateway(settings_for_fakes(limits=rate_limits(quota=DOCUMENT + 5))) as gateway:
        good = [await ask(gateway, ids) for ids in (2, 3)]
        over = await ask(gateway, 1)
        callers = [line.get("caller") for line in gateway.events("graphql.operation")]

    assert callers == [None, None, "address"]
    assert [one.status_code for one in good] == [200, 200]
    assert over.status_code == 429
    assert over.headers["retry-after"].isdigit()
    assert over.headers["ratelimit-policy"] == f'"cost";q={DOCUMENT + 5};w={DAY};qu="cost"'
    assert over.headers["ratelimit"].startswith('"cost";r=0;t=')
    [error] = over.json()["errors"]
    assert error["extensions"] == {
        "code": "RATE_LIMITED",
        "limit": "rate.quota",
        "allowed": DOCUMENT + 5,
    }
    assert f"try again in {over.headers['retry-after']} s" in error["message"]
    assert services.calls["profile"] == 2


async def test_a_cheap_operation_is_executed_after_an_expensive_one_is_refused(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)

    async with open_gateway(settings_for_fakes(limits=rate_limits(quota=DOCUMENT + 5))) as gateway:
        statuses = [(await ask(gateway, ids)).status_code for ids in (3, 5, 2, 1)]

    assert statuses == [200, 429, 200, 429]


async def test_new_documents_cost_their_length_and_cached_ones_cost_nothing(
    open_gateway: OpenGateway,
) -> None:
    def new(number: int) -> dict[str, str]:
        return {"query": f"{{ n{number} }}".ljust(400)}

    async with open_gateway(settings_for_fakes(limits=rate_limits(quota=250))) as gateway:
        posts = [await gateway.client.post("/graphql", json=new(number)) for number in (1, 1, 2, 3)]

    assert [one.status_code for one in posts] == [200, 200, 200, 429]


async def test_introspection_costs_the_number_of_its_objects(
    open_gateway: OpenGateway,
) -> None:
    body = {"query": "{ __schema { types { fields { name } } } }"}
    statuses: list[int] = []

    for quota in (60, 60_000):
        settings = settings_for_fakes(limits=rate_limits(quota=quota), introspection=True)
        async with open_gateway(settings) as gateway:
            statuses.append((await gateway.client.post("/graphql", json=body)).status_code)

    assert statuses == [429, 200]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("on_error", [None, "HALT", "PROPAGATE"])
async def test_a_refused_operation_costs_nothing(
    open_gateway: OpenGateway, services: FakeServices, on_error: str | None, *, compiled: bool
) -> None:
    services.know(1)
    limits = rate_limits(quota=DOCUMENT + 5).model_copy(
        update={"cost": 4, "variables_depth": 2, "report": "always"}
    )
    refused: list[dict[str, Any]] = [
        {"variables": {"ids": [ID] * 5}},  # too expensive
        {"variables": {"ids": [[[ID]]]}},  # too deep
        {"variables": {"ids": [{}]}},
        {"variables": {"ids": [None, ID, ID]}},
        {"variables": {"ids": None}},
        {"variables": None},
        {"operationName": "another", "variables": {"ids": [ID]}},
    ]

    async with open_gateway(
        settings_for_fakes(limits=limits, fastpath=FastpathSettings(compiled=compiled))
    ) as gateway:
        good = await ask(gateway, 1)
        for _ in range(3):
            for one in refused:
                body = {"query": IDS, "onError": on_error, **one}
                response = await gateway.client.post("/graphql", json=body)
                assert "data" not in response.json()
        rest = await ask(gateway, 4)
        over = await ask(gateway, 1)

    assert good.headers["ratelimit"].startswith('"cost";r=4;')
    assert rest.headers["ratelimit"].startswith('"cost";r=0;')
    assert over.status_code == 429


async def test_only_executed_operations_of_a_batch_cost_something(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    settings = settings_for_fakes(
        limits=rate_limits(quota=DOCUMENT + 5), batch=BatchSettings(enabled=True)
    )
    batch: list[dict[str, Any]] = [
        {"query": IDS, "variables": {"ids": [ID] * 2}},
        {"query": IDS, "variables": {"ids": [{}]}},
        {"query": IDS, "operationName": "another"},
    ]

    async with open_gateway(settings) as gateway:
        await gateway.client.post("/graphql", json=batch)
        statuses = [(await ask(gateway, ids)).status_code for ids in (3, 1)]

    assert statuses == [200, 429]


async def test_a_caller_over_its_quota_gets_the_time_to_wait(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    quota = DOCUMENT + 8

    async with open_gateway(
        settings_for_fakes(limits=rate_limits(quota=quota, window=quota * 10))
    ) as gateway:
        await ask(gateway, 6)
        over = [await ask(gateway, ids) for ids in (3, 5, 8)]

    # 2 are left, and each further one takes ten seconds, less the short time that has passed.
    assert [int(one.headers["retry-after"]) for one in over] == [10, 30, 60]
    assert {one.headers["ratelimit"] for one in over} == {f'"cost";r=2;t={(quota - 2) * 10}'}


async def test_retry_after_of_a_batch_is_the_longest_wait(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    quota = DOCUMENT + 8
    limits = rate_limits(quota=quota, window=quota * 10)
    waits: list[str] = []

    for counts in ((3, 5, 4), (5, 3)):
        async with open_gateway(
            settings_for_fakes(limits=limits, batch=BatchSettings(enabled=True))
        ) as gateway:
            await ask(gateway, 6)
            batch = [{"query": IDS, "variables": {"ids": [ID] * count}} for count in counts]
            response = await gateway.client.post("/graphql", json=batch)
            waits.append(response.headers["retry-after"])

    assert waits == ["30", "30"]


async def test_an_explanation_by_hash_costs_the_length_of_its_document(
    open_gateway: OpenGateway,
) -> None:
    name = {"persistedQuery": {"version": 1, "sha256Hash": sha256(IDS.encode()).hexdigest()}}
    settings = settings_for_fakes(
        limits=rate_limits(quota=3 * DOCUMENT),
        explain=True,
        persisted=PersistedSettings(enabled=True),
    )
    bodies = [{"query": IDS, "extensions": name}, *[{"extensions": name}] * 3]

    async with open_gateway(settings) as gateway:
        statuses = [
            (
                await gateway.client.post("/graphql", json=body, headers={"X-Gateway-Explain": "1"})
            ).status_code
            for body in bodies
        ]

    assert statuses == [200, 200, 200, 429]


@pytest.mark.parametrize("explained", ["0", "1"])
async def test_a_caller_over_its_quota_stores_no_documents(
    open_gateway: OpenGateway, explained: str
) -> None:
    settings = settings_for_fakes(
        limits=rate_limits(quota=20, trusted_proxies=1),
        persisted=PersistedSettings(enabled=True, max_documents=1),
        explain=True,
    )

    async def send(
        gateway: GatewayClient, address: str, text: str | None, named: str
    ) -> httpx.Response:
        digest = sha256(named.encode()).hexdigest()
        body: dict[str, object] = {"extensions": {"persistedQuery": {"sha256Hash": digest}}}
        if text is not None:
            body["query"] = text
        headers = {"X-Forwarded-For": address, "X-Gateway-Explain": explained}
        return await gateway.client.post("/graphql", json=body, headers=headers)

    async with open_gateway(settings) as gateway:
        text = "{ __typename }"
        kept = await send(gateway, "192.0.2.1", text, text)
        refused: list[httpx.Response] = []
        for number in range(3):
            other = f"query Q{number} {{ __typename }}".ljust(76)
            refused.append(await send(gateway, "192.0.2.2", other, other))
        still = await send(gateway, "192.0.2.1", None, "{ __typename }")
        found = await send(gateway, "192.0.2.1", None, "query Q0 { __typename }".ljust(76))

    assert kept.status_code == 200
    assert [one.status_code for one in refused] == [200, 429, 429]
    assert (
        "PERSISTED_QUERY_NOT_FOUND" in still.text
    )  # the first document of the other caller was within its quota
    assert "PERSISTED_QUERY_NOT_FOUND" not in found.text


async def test_each_explanation_costs_the_length_of_its_document(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    settings = settings_for_fakes(limits=rate_limits(quota=2 * DOCUMENT), explain=True)
    body = {"query": IDS, "variables": {"ids": [ID] * 3}}

    async with open_gateway(settings) as gateway:
        answers = [
            await gateway.client.post("/graphql", json=body, headers={"X-Gateway-Explain": "1"})
            for _ in range(3)
        ]
        [refused] = gateway.events("http.refused")

    assert (refused["status"], refused["caller"]) == (429, "address")
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert answers[2].json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert answers[2].headers["retry-after"].isdigit()
    assert not any(services.calls.values())


async def test_a_batch_of_explanations_costs_the_length_of_its_documents(
    open_gateway: OpenGateway,
) -> None:
    limits = rate_limits(quota=2 * DOCUMENT)
    settings = settings_for_fakes(limits=limits, explain=True, batch=BatchSettings(enabled=True))
    body = {"query": IDS, "variables": {"ids": [ID]}}

    async with open_gateway(settings) as gateway:
        statuses = [
            (
                await gateway.client.post(
                    "/graphql", json=[body] * count, headers={"X-Gateway-Explain": "1"}
                )
            ).status_code
            for count in (2, 1)
        ]

    assert statuses == [200, 429]


async def test_each_address_has_its_own_quota(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    limits = rate_limits(quota=DOCUMENT + 1, trusted_proxies=1)

    async with open_gateway(settings_for_fakes(limits=limits)) as gateway:
        callers = ["192.0.2.1", "192.0.2.1", "192.0.2.2", "8.8.8.8, 192.0.2.1"]
        statuses = [(await ask(gateway, 1, address=one)).status_code for one in callers]

    assert statuses == [200, 429, 200, 429]


async def test_a_caller_that_was_evicted_starts_with_a_full_quota() -> None:
    limiter = RateLimiter(RateSettings(quota=1, window=DAY, max_callers=2))

    for caller in ("a", "b", "c", "a"):
        await limiter.bucket(caller).consume(1)


async def test_rate_limits_can_be_switched_off(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    limits = rate_limits(quota=1, enabled=False)

    async with open_gateway(settings_for_fakes(limits=limits)) as gateway:
        statuses = [(await ask(gateway, 3)).status_code for _ in range(3)]

    assert statuses == [200, 200, 200]


async def test_the_remaining_quota_is_returned_if_costs_are_reported(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    limits = rate_limits(quota=1_000).model_copy(update={"report": "always"})

    async with open_gateway(settings_for_fakes(limits=limits)) as gateway:
        response = await ask(gateway, 3)
    async with open_gateway(settings_for_fakes()) as gateway:
        silent = await ask(gateway, 3)

    assert response.headers["ratelimit"].startswith(f'"cost";r={1_000 - DOCUMENT - 3};t=')
    assert "ratelimit" not in silent.headers


async def test_the_quota_refills_with_time() -> None:
    limiter = RateLimiter(RateSettings(quota=1_000_000_000, window=1))
    bucket = limiter.bucket("a")
    await bucket.consume(1_000_000_000)

    # A billion refills per second: one refills within a nanosecond.
    await limiter.bucket("a").consume(1)


async def test_an_operation_without_objects_costs_one(open_gateway: OpenGateway) -> None:
    body = {"query": "{ __typename }"}

    async with open_gateway(
        settings_for_fakes(limits=rate_limits(quota=len(body["query"]) // 4 + 2))
    ) as gateway:
        posts = [await gateway.client.post("/graphql", json=body) for _ in range(3)]

    assert [one.status_code for one in posts] == [200, 200, 429]


async def test_an_operation_over_the_whole_quota_uses_all_of_it() -> None:
    limiter = RateLimiter(RateSettings(quota=10, window=DAY))

    await limiter.bucket("a").consume(11)
