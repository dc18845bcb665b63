"""The real gateway with its real transport over the fault server, and the time of both.

Time stands still, and passes only when nothing else can happen: when every call that the gateway
has made is one that the server keeps waiting, all that is left to wait for is the clock. So a
timeout of seconds takes no time, and always meets the same state.
"""

import asyncio
import io
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

import httpx
import orjson
from starlette.types import ASGIApp

from app.fastpath.wire import wire_transport
from app.observability.logs import make_log
from app.settings.models import DEFAULT_SOURCES, LogSettings, Settings
from app.settings.source import SourceSettings
from tests.apps import make_app
from tests.clock import ManualClock
from tests.conftest import GatewayClient, GatewayReply
from tests.fakes.http_server import NUMBER, Changes
from tests.fault_server import FaultServer
from tests.ways import SHORT, Ways

T = TypeVar("T")

PATIENCE = 20.0
"""Real seconds after which something that never happens fails its test."""


class SteppingClock(ManualClock):
    """A clock that can be moved to the next moment at which something waits for it."""

    def step(self) -> None:
        """Let the least time pass after which something happens."""
        assert self._timers, "what is awaited waits for something that never comes"
        # A little more than that, since a sum of floats may fall short.
        self.advance(max(0.0, self._timers[0][0] - self.seconds) + 1e-9)


@dataclass
class Traffic:
    """The calls that the gateway makes.

    Attributes:
        changes: Tells when a call begins or ends.
        open: The calls that run now, by their numbers.
        made: How many were made at all, by source.
    """

    changes: Changes
    open: Counter[str] = field(default_factory=Counter[str])
    made: Counter[str] = field(default_factory=Counter[str])

    def begin(self, source: str) -> str:
        """Take note that a call begins; gives its number."""
        self.made[source] += 1
        number = str(self.made.total())
        self.open[number] += 1
        self.changes.tell()
        return number

    def end(self, number: str) -> None:
        """Take note that a call has ended."""
        self.open -= Counter([number])
        self.changes.tell()


class WatchedTransport(httpx.AsyncBaseTransport):
    """The real transport, and a note of every call that goes through it."""

    def __init__(self, settings: SourceSettings, traffic: Traffic) -> None:
        self._inner = wire_transport(settings)
        self._source = settings.base_url.rpartition("/")[2]
        self._traffic = traffic

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call."""
        number = self._traffic.begin(self._source)
        request.headers[NUMBER] = number
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException:
            self._traffic.end(number)
            raise
        body = cast("httpx.AsyncByteStream", response.stream)
        response.stream = _WatchedBody(body, self._traffic, number)
        return response

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(exc_type, exc_value, traceback)


class _WatchedBody(httpx.AsyncByteStream):
    """The body of an answer; the call ends when it is closed, read or not."""

    def __init__(self, inner: httpx.AsyncByteStream, traffic: Traffic, number: str) -> None:
        self._inner = inner
        self._traffic = traffic
        self._number = number

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield chunk

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._traffic.end(self._number)


class Outage(GatewayClient):
    """The gateway over services that fail.

    Attributes:
        server: The services.
        traffic: The calls to them.
        clock: The time of everything.
    """

    def __init__(
        self,
        app: ASGIApp,
        client: httpx.AsyncClient,
        log: io.StringIO,
        *,
        server: FaultServer,
        traffic: Traffic,
        clock: SteppingClock,
    ) -> None:
        super().__init__(app, client, log)
        self.server = server
        self.traffic = traffic
        self.clock = clock
        self._mine = asyncio.all_tasks()

    async def answer_of(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work, letting time pass whenever that is all that it waits for."""
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: self.server.changes.tell())
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    await self.clock.settle()
                    if task.done():
                        return task.result()
                    if self.server.held == self.traffic.open:
                        self.clock.step()
                    else:
                        await self.server.changes.wait()
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def ask(
        self, query: str, *, headers: Mapping[str, str] | None = None, **parameters: object
    ) -> GatewayReply:
        """Send a request, with time passing as it has to, and read its answer."""
        return await self.answer_of(self.send(query, headers=headers, **parameters))

    async def send(
        self, query: str, *, headers: Mapping[str, str] | None = None, **parameters: object
    ) -> GatewayReply:
        """Send a request and read its answer; time stands still."""
        response = await self.client.post(
            "/graphql", json={"query": query, **parameters}, headers=headers
        )
        return GatewayReply(response, orjson.loads(response.content))

    async def until_held(self, calls: int) -> None:
        """Wait until so many calls are kept waiting, and nothing else goes on."""
        async with asyncio.timeout(PATIENCE):
            await self.server.changes.until(
                lambda: self.server.held.total() == calls and self.server.held == self.traffic.open
            )
        await self.clock.settle()

    async def check_nothing_is_left(self) -> None:
        """Hold that no call, no held request and no task is left of what was asked."""
        async with asyncio.timeout(PATIENCE):
            await self.server.changes.until(lambda: not self.server.busy)
        await self.clock.settle()
        assert not self.traffic.open
        assert not self.server.held
        left = asyncio.all_tasks() - self._mine - self.server.tasks - {asyncio.current_task()}
        assert not left


EAGER: Final[Mapping[str, object]] = {
    "retry": {"max_retries": 1, "budget_share": 0, "budget_minimum": 3},
    # Time on sockets is real: a machine that is busy for a moment is not what is tested.
    "connect_timeout": PATIENCE,
}
"""The settings of a source that is called again once, if that may help."""


@asynccontextmanager
async def outage(
    sources: Mapping[str, Mapping[str, object]] | None = None,
    *,
    ways: Ways = SHORT,
    **changes: object,
) -> AsyncGenerator[Outage]:
    """Run the gateway over the services, which know the users 1 to 9.

    Args:
        sources: Settings of sources, by name; under ``*`` those of all.
        ways: How it works.
        changes: Settings of the gateway.

    Yields:
        The gateway.
    """
    clock = SteppingClock()
    stream = io.StringIO()
    async with FaultServer(clock).listening() as server:
        server.know(*range(1, 10))
        traffic = Traffic(server.changes)
        wanted = sources or {}
        settings = Settings.model_validate(
            {
                "sources": {
                    name: {
                        "base_url": server.url(name),
                        **EAGER,
                        **wanted.get("*", {}),
                        **wanted.get(name, {}),
                    }
                    for name in DEFAULT_SOURCES
                },
                "auth": {"mode": "none"},
                "log": LogSettings(level="debug", format="json"),
                **changes,
            }
        )
        app = make_app(
            ways.of(settings),
            make_log(settings.log, stream=stream),
            clock=clock,
            chance=lambda: 0.5,
            transports=lambda one: WatchedTransport(one, traffic),
        )
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=app), base_url="http://localhost"
            ) as client,
        ):
            gateway = Outage(app, client, stream, server=server, traffic=traffic, clock=clock)
            yield gateway
            await gateway.check_nothing_is_left()
        async with asyncio.timeout(PATIENCE):
            await server.changes.until(lambda: not server.open)
