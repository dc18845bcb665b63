"""What tests share: the fakes, and the gateway over them, reached over HTTP."""

import asyncio
import gc
import io
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import httpx
import orjson
import pytest
import trustme
from hypothesis import settings
from starlette.types import ASGIApp

import app
from app.auth.callers import Authenticate
from app.observability.logs import make_log
from app.observability.telemetry import Telemetry
from app.settings.models import Settings
from tests.apps import make_app
from tests.certificates import Certificates
from tests.clock import ManualClock
from tests.fakes import FakeServices, settings_for_fakes
from tests.ways import SHORT, Ways

APP = Path(app.__file__).parent
"""Where our code is."""

PROPERTY_TIMEOUT = 300
"""Seconds that a property may take. It runs hundreds of examples, each with its own waits."""


def pytest_configure() -> None:
    """Let an example of a property take any time: a busy machine needs more than 200 ms.

    A run makes the same examples each time, so that a failure comes from the change under test.
    With the next run they find nothing new, so that there are fewer (``properties.py``).
    ``--hypothesis-profile random`` makes others each time, and looks for what nobody has found yet.
    """
    settings.register_profile("random", deadline=None)
    settings.register_profile(
        "gateway", settings.get_profile("random"), derandomize=True, max_examples=25
    )
    settings.load_profile("gateway")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each property the time of its examples, where it does not say another.

    With ``--timeout 0`` no test has a limit: the fuzz makes ten thousand examples.
    """
    if config.getoption("timeout") == 0:
        return
    for item in items:
        is_property = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if is_property and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(PROPERTY_TIMEOUT))


def pytest_collection_finish() -> None:
    """Keep what was imported and collected out of the collector's sight.

    It is there until the end. Looking at all of it again, at each full collection and where a test
    asks what is left of a connection, would take most of the time of such tests.
    """
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case by its argument where its bytes are no text: compressed bytes hold the time.

    The processes that share the tests have to give a test the same name.
    """
    unreadable = isinstance(val, bytes) and not (
        val.isascii() and val.decode("ascii").isprintable()
    )
    return argname if unreadable else None


@dataclass(frozen=True)
class GatewayReply:
    """What the gateway answered to a query.

    Attributes:
        response: The HTTP response.
        body: Its JSON.
    """

    response: httpx.Response
    body: Mapping[str, Any]

    @property
    def data(self) -> Any:  # noqa: ANN401 # tests index into it
        """The answer's data."""
        return self.body["data"]

    @property
    def errors(self) -> Sequence[Mapping[str, Any]]:
        """The answer's errors."""
        errors: Sequence[Mapping[str, Any]] = self.body.get("errors", [])
        return errors

    @property
    def codes(self) -> Mapping[str, str]:
        """The code of each error, by its dotted path."""
        return {
            ".".join(str(part) for part in error.get("path", [])): error["extensions"]["code"]
            for error in self.errors
        }


class GatewayClient:
    """The running gateway, as a client sees it.

    Attributes:
        app: The application itself.
        client: A client of it.
    """

    def __init__(self, app: ASGIApp, client: httpx.AsyncClient, log: io.StringIO) -> None:
        self.app = app
        self.client = client
        self._log = log

    async def query(self, query: str, **variables: object) -> GatewayReply:
        """Send a query and read its answer, whatever it is."""
        return await self.query_as({}, query, **variables)

    async def query_as(
        self, headers: Mapping[str, str], query: str, **variables: object
    ) -> GatewayReply:
        """Send a query with headers that say who asks."""
        body = {"query": query, "variables": variables}
        response = await self.client.post("/graphql", json=body, headers=headers)
        return GatewayReply(response, orjson.loads(response.content))

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """Read what the log has of an event."""
        lines: list[Mapping[str, Any]] = [
            orjson.loads(line) for line in self._log.getvalue().splitlines()
        ]
        return [line for line in lines if line["event"] == name]

    def forget(self) -> None:
        """Empty the log."""
        self._log.seek(0)
        self._log.truncate()

    @property
    def log(self) -> str:
        """All of the log."""
        return self._log.getvalue()


class OpenGateway(Protocol):
    """Opens a gateway with settings of the test's own."""

    def __call__(
        self,
        settings: Settings,
        authenticate: Authenticate | None = None,
        *,
        telemetry: Telemetry | None = None,
    ) -> AbstractAsyncContextManager[GatewayClient]:
        """Open it."""
        ...


@pytest.fixture
def services() -> Generator[FakeServices]:
    """Give the three services, which know nobody yet, and hold that all requests were expected."""
    services = FakeServices()
    yield services
    assert not services.unexpected


@pytest.fixture
def clock() -> ManualClock:
    """Give the time."""
    return ManualClock()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Give certificates; they are made once, since that takes a while."""
    return Certificates(trustme.CA(), tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def only_what_is_new() -> None:
    """Keep what earlier tests have made out of the collector's sight.

    It is for tests that have it look through all that is there, once or many times each.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def ways() -> Ways:
    """Give the ways in which the gateway works; a test of promises has it work in both."""
    return SHORT


@pytest.fixture
def open_gateway(services: FakeServices, clock: ManualClock, ways: Ways) -> OpenGateway:
    """Give a way to open the gateway over the fakes."""
    gateways: list[ASGIApp] = []

    @contextmanager
    def listed(made: ASGIApp) -> Generator[None]:
        gateways.append(made)
        yield
        gateways.remove(made)

    @asynccontextmanager
    async def opened(
        settings: Settings,
        authenticate: Authenticate | None = None,
        *,
        telemetry: Telemetry | None = None,
    ) -> AsyncGenerator[GatewayClient]:
        stream = io.StringIO()
        settings = ways.of(settings)
        made = make_app(
            settings,
            make_log(settings.log, stream=stream),
            clock=clock,
            transports=services.transport,
            authenticate=authenticate,
            telemetry=telemetry,
        )
        transport = httpx.ASGITransport(app=made)
        async with AsyncExitStack() as stack:
            if not gateways:  # of several, each other's timers are not told apart
                stack.enter_context(nothing_left(clock))
            stack.enter_context(listed(made))
            async with (
                made.router.lifespan_context(made),
                httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
            ):
                yield GatewayClient(made, client, stream)

    return opened


@contextmanager
def nothing_left(clock: ManualClock) -> Generator[None]:
    """Hold a gateway to leave nothing behind: no task, and no timer that would still ring."""
    tasks, timers, handles = {*_tasks()}, {*clock.pending.values()}, {*map(id, _handles())}
    yield
    assert not {*_tasks()} - tasks
    assert not [one for one in {*clock.pending.values()} - timers if _is_ours(one)]
    assert not [one for one in _handles() if id(one) not in handles]


def _tasks() -> Iterator[asyncio.Task[object]]:
    """List the tasks that run code of ours."""
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        if code is not None and Path(code.co_filename).is_relative_to(APP):
            yield task


def _handles() -> Iterator[asyncio.TimerHandle]:
    """List the timers of the event loop that will call code of ours."""
    loop: Any = asyncio.get_running_loop()
    handles: list[asyncio.TimerHandle] = [*loop._scheduled]  # noqa: SLF001 # no public way lists them
    for one in handles:
        if not one.cancelled() and _is_ours(getattr(one, "_callback")):  # noqa: B009 # the same
            yield one


def _is_ours(callback: object) -> bool:
    """Tell whether a callback is code of ours."""
    while isinstance(callback, partial):
        callback = callback.func
    return getattr(callback, "__module__", "").startswith("app.")


@pytest.fixture
async def gateway(open_gateway: OpenGateway) -> AsyncGenerator[GatewayClient]:
    """Give the gateway over the fakes, with default settings."""
    async with open_gateway(settings_for_fakes()) as opened:
        yield opened
