"""What comes in which payload, and when."""

import asyncio
from collections.abc import Mapping

import httpx
import pytest

from tests.conftest import GatewayClient, OpenGateway
from tests.fakes import FakeServices, failing, invoice, settings_for_fakes, user_id
from tests.incremental.reading import CURRENT, EVENTS, OF_2022, applied, asking

PAGE = "query Page($id: ID!) { user(id: $id) { username ... @defer(label: \"bill\") { plan } } }"
ID = {"id": user_id(1)}


class Gates:
    """Holds the answers of services back until a test opens their gates."""

    def __init__(self, services: FakeServices, *held: str) -> None:
        self.asked: dict[str, asyncio.Event] = {name: asyncio.Event() for name in services.by_name}
        self._open: Mapping[str, asyncio.Event] = {name: asyncio.Event() for name in held}
        services.before = self._wait

    async def _wait(self, request: httpx.Request) -> None:
        self.asked[request.url.host].set()
        if (gate := self._open.get(request.url.host)) is not None:
            await gate.wait()

    def open(self, name: str) -> None:
        """Let a service answer."""
        self._open[name].set()


async def test_the_first_payload_waits_for_its_own_sources_only(
    gateway: GatewayClient, services: FakeServices
) -> None:
    services.know(1)
    gates = Gates(services, "billing")

    async with asking(gateway.app, PAGE, ID) as talk:
        first = await talk.next()
        assert gates.asked["billing"].is_set()
        gates.open("billing")
        last = await talk.next()

    assert talk.status == 200
    assert talk.headers["content-type"] == 'multipart/mixed; boundary="-"; incrementalSpec=v0.2'
    assert first == {
        "data": {"user": {"username": "user1"}},
        "pending": [{"id": "0", "path": ["user"], "label": "bill"}],
        "hasNext": True,
    }
    assert last == {
        "incremental": [{"id": "0", "data": {"plan": "pro"}}],
        "completed": [{"id": "0"}],
        "hasNext": False,
    }
    assert services.calls == {"profile": 1, "billing": 1, "activity": 0}

