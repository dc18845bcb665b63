"""Settings that do not fit together are told when the gateway opens."""

import pytest

from tests.conftest import OpenGateway
from tests.fakes import settings_for_fakes


@pytest.mark.parametrize(("introspection", "told"), [(False, 1), (True, 0)])
async def test_graphiql_that_cannot_read_the_schema_is_told_once(
    open_gateway: OpenGateway, *, introspection: bool, told: int
) -> None:
    settings = settings_for_fakes(graphiql=True, introspection=introspection)

    async with open_gateway(settings) as gateway:
        events = gateway.events("gateway.odd_settings")

    assert [one["level"] for one in events] == ["warning"] * told
    assert all("GATEWAY_INTROSPECTION=true" in one["hint"] for one in events)
