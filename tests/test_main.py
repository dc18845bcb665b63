"""The gateway as a whole: its start and its stop, unknown requests and stale results."""

import httpx
import orjson
import pytest

from app.main import app_from_environment
from app.observability.logs import make_log
from app.settings.resilience import CacheSettings
from tests.apps import make_app
from tests.clock import ManualClock
from tests.conftest import OpenGateway
from tests.fakes import FakeServices, calm_source, failing, settings_for_fakes, user_id


async def test_each_source_has_one_client_for_the_life_of_the_process(
    open_gateway: OpenGateway, services: FakeServices
) -> None:
    services.know(1)
    settings = settings_for_fakes()
    async with open_gateway(settings) as gateway:
        for _ in range(3):
            await gateway.query(f'{{ user(id: "{user_id(1)}") {{ username plan loginCount }} }}')
        assert [one.base_url for one in services.opened] == [
            "http://profile",
            "http://billing",
            "http://activity",
        ]
        assert services.closed == 0

    assert services.closed == 3
    assert [event["event"] for event in gateway.events("gateway.opened")] == ["gateway.opened"]
    assert gateway.events("gateway.stopped")


async def test_a_request_before_the_start_is_an_internal_error(
    services: FakeServices,
) -> None:
    settings = settings_for_fakes()
    app = make_app(settings, make_log(settings.log), transports=services.transport)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.post("/graphql", json={"query": "{ __typename }"})

    assert response.status_code == 500
    assert response.json()["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"


async def test_an_unknown_path_is_not_found(open_gateway: OpenGateway) -> None:
    async with open_gateway(settings_for_fakes()) as gateway:
        response = await gateway.client.get("/nothing")

    assert response.status_code == 404
    assert "/graphql" in response.json()["errors"][0]["message"]


async def test_an_unsupported_method_is_refused_with_the_supported_ones(
    open_gateway: OpenGateway,
) -> None:
    async with open_gateway(settings_for_fakes()) as gateway:
        response = await gateway.client.delete("/healthz")

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"
    assert "expected GET, HEAD" in response.json()["errors"][0]["message"]


async def test_a_server_process_starts_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PROFILE", "BILLING", "ACTIVITY"):
        monkeypatch.setenv(f"GATEWAY_SOURCES__{name}__BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GATEWAY_AUTH__MODE", "none")
    app = app_from_environment()

    async with app.lifespan():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            response = await client.get("/readyz")

        assert set(app.readiness().sources) == {"profile", "billing", "activity"}
    assert response.json() == {"status": "ready"}


def test_a_server_process_that_cannot_start_logs_the_reason_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("PROFILE", "BILLING", "ACTIVITY"):
        monkeypatch.setenv(f"GATEWAY_SOURCES__{name}__BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GATEWAY_AUTH__MODE", "none")
    monkeypatch.setenv("GATEWAY_TRUSTED__PATH", "nowhere.json")

    with pytest.raises(SystemExit) as ended:
        app_from_environment()

    assert ended.value.code == 3
    [line] = capfd.readouterr().err.splitlines()
    event = orjson.loads(line)
    assert (event["event"], event["level"]) == ("gateway.unusable", "error")
    assert event["mistakes"][0].startswith("GATEWAY_TRUSTED__PATH cannot be used: nowhere.json ")


async def test_a_stale_result_during_an_outage_is_returned_with_its_age(
    open_gateway: OpenGateway, services: FakeServices, clock: ManualClock
) -> None:
    services.know(1)
    cache = CacheSettings(enabled=True, ttl=10, stale_if_error=300)
    settings = settings_for_fakes()
    billing = calm_source(base_url="http://billing", contract="stale_ok", cache=cache)
    sources = {**settings.sources, "billing": billing}
    query = f'{{ user(id: "{user_id(1)}") {{ username plan }} }}'
    async with open_gateway(settings.model_copy(update={"sources": sources})) as gateway:
        fresh = await gateway.query(query)
        clock.advance(5)
        cached = await gateway.query(query)
        services.billing.behaviour = failing(503)
        clock.advance(36)
        stale = await gateway.query(query)
        clock.advance(300)
        too_old = await gateway.query(query)

    user = {"username": "user1", "plan": "pro"}
    assert fresh.body == cached.body == {"data": {"user": user}}
    assert stale.body == {
        "data": {"user": user},
        "extensions": {"sources": {"billing": {"status": "stale", "ageMs": 41000}}},
    }
    assert too_old.codes == {"user.plan": "SOURCE_UNAVAILABLE"}
    assert services.calls == {"profile": 4, "billing": 3, "activity": 0}
