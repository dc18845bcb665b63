"""Fixtures of tests with real clients: Node with the clients, and the served gateway."""

import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.cli.demo_callers import DemoCallers
from app.observability.logs import make_log
from app.server.graphiql.build import NodePrograms
from app.settings.models import Settings
from tests.apps import make_app
from tests.fakes import FakeServices
from tests.npm import node_with
from tests.wire import Address, served

FOLDER = Path(__file__).parent
INSTALL = 180.0
"""Seconds for npm if `make test` has not installed the clients."""


@pytest.fixture(scope="module")
def node() -> NodePrograms:
    """Give Node with the clients installed."""
    return node_with(FOLDER, search_path="", install=INSTALL)


@asynccontextmanager
async def at_address(
    services: FakeServices, settings: Settings, callers: DemoCallers | None = None
) -> AsyncGenerator[Address]:
    """Serve the gateway over the fakes; without callers, it needs no tokens."""
    log = make_log(settings.log, stream=io.StringIO())
    authenticate = callers.authenticate(log) if callers else None
    app = make_app(settings, log, transports=services.transport, authenticate=authenticate)
    async with served(app, settings) as address:
        yield address
