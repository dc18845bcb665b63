"""Liveness and readiness of a process."""

import httpx

from app.observability.logs import make_log
from tests.apps import make_app
from tests.clock import ManualClock
from tests.conftest import GatewayClient
from tests.fakes import FakeServices, failing, settings_for_fakes, user_id
from tests.readiness import source_states


async def test_healthz_returns_ok(gateway: GatewayClient) -> None:
    response = await gateway.client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_readyz_shows_no_sources_and_calls_none(
    gateway: GatewayClient, services: FakeServices, clock: ManualClock
) -> None:
    services.know(1)
    services.billing.behaviour = failing(503)
    services.activity.behaviour = lambda request: (_ for _ in ()).throw(
        httpx.ConnectError("refused", request=request)
    )
    clock.seconds = 86_400.0
    await gateway.query(f'{{ user(id: "{user_id(1)}") {{ username plan loginCount }} }}')
    calls = dict(services.calls)

    response = await gateway.client.get("/readyz")

    assert (response.status_code, response.json()) == (200, {"status": "ready"})
    at = "1970-01-02T00:00:00Z"
    healthy = {"circuit": "closed", "pace": "free"}
    assert source_states(gateway.app) == {
        "profile": {"lastReachedAt": at, "lastStatus": 200, **healthy},
        "billing": {"lastReachedAt": at, "lastStatus": 503, **healthy},
        "activity": {"lastReachedAt": None, "lastStatus": None, **healthy},
    }
    assert services.calls == calls


async def test_the_gateway_is_ready_only_while_its_clients_are_open(
    services: FakeServices,
) -> None:
    settings = settings_for_fakes()
    app = make_app(settings, make_log(settings.log), transports=services.transport)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        before = await client.get("/readyz")
        async with app.router.lifespan_context(app):
            during = await client.get("/readyz")
        after = await client.get("/readyz")

    assert [one.status_code for one in (before, during, after)] == [503, 200, 503]
    assert before.json() == {"status": "starting"}
    assert services.closed == 3
