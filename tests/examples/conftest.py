"""Fixtures of the examples: the gateway over real HTTP, with the configuration of a page."""

import io
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from app.observability.logs import make_log
from tests.apps import make_app
from tests.conftest import GatewayClient
from tests.examples.page import ExampleFolder, ExamplePage, load
from tests.examples.serving import serving
from tests.ways import BOTH, Ways


class OpenPage(Protocol):
    """Opens a gateway with the configuration of a page or folder."""

    def __call__(
        self, page: ExamplePage | ExampleFolder, variables: Mapping[str, str]
    ) -> AbstractAsyncContextManager[GatewayClient]:
        """Open it, with variables for the settings that the page does not have."""
        ...


@pytest.fixture(params=BOTH, ids=str)
def ways(request: pytest.FixtureRequest) -> Ways:
    """Run each test in both ways."""
    both: Ways = request.param
    return both


@pytest.fixture
def open_page(ways: Ways, tmp_path: Path) -> OpenPage:
    """Give a function that opens the gateway."""

    @asynccontextmanager
    async def opened(
        page: ExamplePage | ExampleFolder, variables: Mapping[str, str]
    ) -> AsyncGenerator[GatewayClient]:
        settings = ways.of(load(page, tmp_path, variables))
        stream = io.StringIO()
        app = make_app(settings, make_log(settings.log, stream=stream))
        async with (
            serving("the gateway", app) as address,
            httpx.AsyncClient(base_url=address, trust_env=False, timeout=30) as client,
        ):
            yield GatewayClient(app, client, stream)

    return opened
