"""The demo's data, built once, and a client for each of its services."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from app.demo.database import build
from app.demo.services import DemoServices, demo_services
from tests.demo.support import client_of


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's data."""
    made = tmp_path_factory.mktemp("demo")
    build(made)
    return made


@pytest.fixture
def services(folder: Path) -> Generator[DemoServices]:
    """The three applications."""
    with demo_services(folder) as opened:
        yield opened


@pytest_asyncio.fixture
async def profile(services: DemoServices) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the profile service."""
    async with client_of(services.profile) as client:
        yield client


@pytest_asyncio.fixture
async def billing(services: DemoServices) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the billing service."""
    async with client_of(services.billing) as client:
        yield client


@pytest_asyncio.fixture
async def activity(services: DemoServices) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the activity service."""
    async with client_of(services.activity) as client:
        yield client
