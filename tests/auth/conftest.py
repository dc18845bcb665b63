"""Shared by the tests of tokens."""

import httpx
import pytest

from tests.clock import ManualClock
from tests.conftest import GatewayClient
from tests.fakes import FakeServices, user_id
from tests.issuer import FakeIssuer

QUERY = f'{{ user(id: "{user_id(1)}") {{ username }} }}'


@pytest.fixture
def issuer(clock: ManualClock, services: FakeServices) -> FakeIssuer:
    """Give an identity provider, and make one user known to the sources."""
    services.know(1)
    return FakeIssuer(clock)


async def ask(gateway: GatewayClient, token: str | bytes | None = None) -> httpx.Response:
    """Query a user with a token."""
    value = token.encode() if isinstance(token, str) else token
    headers = [] if value is None else [(b"authorization", b"Bearer " + value)]
    return await gateway.client.post("/graphql", json={"query": QUERY}, headers=headers)
