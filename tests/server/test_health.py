"""Whether the process lives, and whether it can be sent requests."""

import httpx
import orjson

from app.observability.logs import make_log
from tests.apps import make_app
from tests.clock import ManualClock
from tests.conftest import GatewayClient
from tests.fakes import FakeServices, failing, settings_for_fakes, user_id


async def test_the_process_lives(gateway: GatewayClient) -> None:
    response = await gateway.client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_readiness_says_when_each_source_was_last_reached_without_calling_any(
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

    at = "1970-01-02T00:00:00Z"
    assert response.status_code == 200
    assert orjson.loads(response.content) == {
        "status": "ready",
        "sources": {
            "profile": {
                "lastReachedAt": at,
                "lastStatus": 200,
                "circuit": "closed",
                "pace": "free",
            },
            "billing": {
                "lastReachedAt": at,
                "lastStatus": 503,
                "circuit": "closed",
                "pace": "free",
            },
            "activity": {
                "lastReachedAt": None,
                "lastStatus": None,
                "circuit": "closed",
                "pace": "free",
            },
        },
    }
    assert services.calls == calls


async def test_the_gateway_is_not_ready_before_its_clients_are_open_and_after_they_are_closed(
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
    assert before.json() == {"status": "starting", "sources": {}}
    assert services.closed == 3
