"""Settings that do not fit together are logged when the gateway opens."""

import pytest

from tests.conftest import OpenGateway
from tests.fakes import settings_for_fakes


@pytest.mark.parametrize(("introspection", "warnings"), [(False, 1), (True, 0)])
async def test_graphiql_without_introspection_is_logged_once(
    open_gateway: OpenGateway, *, introspection: bool, warnings: int
) -> None:
    settings = settings_for_fakes(graphiql=True, introspection=introspection)

    async with open_gateway(settings) as gateway:
        events = gateway.events("gateway.odd_settings")

    assert [one["level"] for one in events] == ["warning"] * warnings
    assert all("GATEWAY_INTROSPECTION=true" in one["hint"] for one in events)
