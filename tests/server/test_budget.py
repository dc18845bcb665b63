"""The time limit of a request: the client's X-Request-Timeout and the operator's budget."""

import pytest

from app.settings.resilience import DeadlineSettings
from tests.conftest import OpenGateway
from tests.fakes import FakeServices, user_id
from tests.partial import settings_with

QUERY = {"query": f'{{ user(id: "{user_id(1)}") {{ username }} }}'}


@pytest.mark.parametrize(
    ("requested", "sent_to_source"),
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
async def test_a_client_may_shorten_the_time_limit_but_not_extend_it(
    open_gateway: OpenGateway,
    services: FakeServices,
    requested: str | None,
    sent_to_source: str | None,
    *,
    coalesced: bool,
) -> None:
    services.know(1)
    source = {"timeout": 60, "coalesce": {"enabled": coalesced}}
    settings = settings_with(
        {"profile": source}, deadline=DeadlineSettings(budget=2.0, reserve=0.5)
    )
    headers = {} if requested is None else {"X-Request-Timeout": requested}

    async with open_gateway(settings) as gateway:
        response = await gateway.client.post("/graphql", json=QUERY, headers=headers)

    if sent_to_source is None:
        assert response.status_code == 400
        [error] = response.json()["errors"]
        assert error["extensions"] == {"code": "BAD_REQUEST"}
        assert "expected a duration such as 800ms or 1.5s" in error["message"]
        assert not services.calls["profile"]
    else:
        assert response.status_code == 200
        assert services.profile.requests[0].headers["x-request-timeout"] == sent_to_source
