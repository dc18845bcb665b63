"""What tests of tokens share."""

import httpx
import pytest

from tests.clock import ManualClock
from tests.conftest import GatewayClient
from tests.fakes import FakeServices, user_id
from tests.issuer import FakeIssuer

QUERY = f'{{ user(id: "{user_id(1)}") {{ username }} }}'


@pytest.fixture
def issuer(clock: ManualClock, services: FakeServices) -> FakeIssuer:
    """Give an identity provider, and a user to ask for."""
    services.know(1)
    return FakeIssuer(clock)


async def ask(gateway: GatewayClient, token: str | bytes | None = None) -> httpx.Response:
    """Ask for a user, with a token."""
    shown = token.encode() if isinstance(token, str) else token
    headers = [] if shown is None else [(b"authorization", b"Bearer " + shown)]
    return await gateway.client.post("/graphql", json={"query": QUERY}, headers=headers)
