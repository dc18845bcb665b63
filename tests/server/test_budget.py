"""How long a request may take, by the client's wish and the operator's bound."""

import pytest

from app.settings.resilience import DeadlineSettings
from tests.conftest import OpenGateway
from tests.fakes import FakeServices, user_id
from tests.partial import settings_with

QUERY = {"query": f'{{ user(id: "{user_id(1)}") {{ username }} }}'}


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (None, "1500ms"),
        ("1s", "500ms"),
        ("750ms", "250ms"),
        ("2s", "1500ms"),
        ("2001ms", "1500ms"),
        ("1h", None),
        ("999999999s", "1500ms"),
        ("0s", None),
        ("-1s", None),
        ("1e3s", None),
        ("1", None),
        ("", None),
        ("1s, 2s", None),
    ],
)
@pytest.mark.parametrize("coalesced", [True, False])
async def test_a_client_may_ask_for_less_time_and_never_for_more(
    open_gateway: OpenGateway,
    services: FakeServices,
    wish: str | None,
    told: str | None,
    *,
    coalesced: bool,
) -> None:
    services.know(1)
    source = {"timeout": 60, "coalesce": {"enabled": coalesced}}
    settings = settings_with(
        {"profile": source}, deadline=DeadlineSettings(budget=2.0, reserve=0.5)
    )
    headers = {} if wish is None else {"X-Request-Timeout": wish}

    async with open_gateway(settings) as gateway:
        response = await gateway.client.post("/graphql", json=QUERY, headers=headers)

    if told is None:
        assert response.status_code == 400
        [error] = response.json()["errors"]
        assert error["extensions"] == {"code": "BAD_REQUEST"}
        assert "expected a duration such as 800ms or 1.5s" in error["message"]
        assert not services.calls["profile"]
    else:
        assert response.status_code == 200
        assert services.profile.requests[0].headers["x-request-timeout"] == told
