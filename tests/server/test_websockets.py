"""WebSockets are refused."""

import io

import pytest

from app.observability.logs import make_log
from tests.apps import make_app
from tests.fakes import FakeServices, settings_for_fakes
from tests.wire import served

HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: gateway\r\nUpgrade: %s\r\nConnection: Upgrade, close\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


@pytest.mark.parametrize("token", [b"websocket", b"WebSocket", b"h2c, websocket"])
async def test_a_websocket_upgrade_is_refused_with_the_supported_request(
    services: FakeServices, token: bytes
) -> None:
    settings = settings_for_fakes()
    log = make_log(settings.log, stream=io.StringIO())
    app = make_app(settings, log, transports=services.transport)
    async with served(app) as address:
        answer = await address.exchange(HANDSHAKE % token)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"WebSockets are not served here" in answer
    assert b"expected POST" in answer


@pytest.mark.parametrize("token", [b"websocket", b"h2c"])
async def test_an_upgrade_offer_with_a_query_is_ignored(
    services: FakeServices, token: bytes
) -> None:
    settings = settings_for_fakes(csrf_prevention=False)
    log = make_log(settings.log, stream=io.StringIO())
    app = make_app(settings, log, transports=services.transport)
    asks = HANDSHAKE.replace(b"/graphql", b"/graphql?query={__typename}")
    async with served(app) as address:
        answer = await address.exchange(asks % token)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"data":{"__typename":"Query"}}')
