"""Three services that return the caller's headers that they were sent, and the gateway over them.

All of it is real HTTP: clients and the gateway, and the gateway and the services, use sockets.
"""

import asyncio
import io
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from starlette.types import ASGIApp

from app.observability.logs import make_log
from app.settings.auth import OpenCallers
from app.settings.fastpath import FastpathSettings
from app.settings.models import LogSettings, Settings
from app.settings.resilience import DeadlineSettings
from tests.apps import make_app
from tests.fakes import account_row, activity_row, calm_source, invoice, profile_row
from tests.fakes.http_server import HttpExchange, HttpRequest, HttpServer
from tests.wire import PromptServer

SENT = ("authorization", "x-tenant")
NAMES = ("profile", "billing", "activity")

TIMEOUT = 60.0
"""Timeout in seconds of everything: no test here is about time, and a busy machine is slow."""


def mirrored(seen: HttpRequest) -> str:
    """Return the caller's headers that a service was sent, as text."""
    return " ".join(f"{name}={value}" for name in SENT for value in seen.header(name))


class Mirror(HttpServer):
    """A service that returns the caller's headers that it was sent.

    Attributes:
        name: The name of the service.
        may_answer: Returns whether it may respond; called after each request to any service.
    """

    def __init__(self, name: str, came: asyncio.Condition) -> None:
        super().__init__(self._serve_one)
        self.name = name
        self.may_answer: Callable[[], bool] = lambda: True
        self._came = came

    async def _serve_one(self, exchange: HttpExchange) -> None:
        """Answer a request."""
        async with self._came:
            self._came.notify_all()
            await self._came.wait_for(self.may_answer)
        await exchange.say(orjson.dumps(self._body(exchange.request)))

    def _body(self, seen: HttpRequest) -> object:
        """Write the rows of all requested users."""
        told = mirrored(seen)
        if seen.path == "/invoices":
            return {"items": [{**invoice(1), "number": told}]}
        if self.name == "profile":
            return [profile_row(1, id=user, username=told) for user in seen.keys]
        if self.name == "billing":
            return [account_row(1, userId=user, plan=told) for user in seen.keys]
        events = [{"id": "e", "type": told, "occurredAt": "2026-01-01T00:00:00Z"}]
        return [activity_row(1, userId=user, events=events) for user in seen.keys]


@dataclass(frozen=True)
class MirroredGateway:
    """The gateway and the services.

    Attributes:
        mirrors: The services, by name.
        client: A client of the gateway.
        log: The log of the gateway.
    """

    mirrors: Mapping[str, Mirror]
    client: httpx.AsyncClient
    log: io.StringIO

    def hold_until(self, source: str, calls: int) -> None:
        """Let all services wait until one of them was called ``calls`` times."""
        seen = self.mirrors[source].requests
        for mirror in self.mirrors.values():
            mirror.may_answer = lambda: len(seen) >= calls

    async def ask(self, query: str, headers: Mapping[str, str] | Sequence[tuple[str, str]]) -> Any:  # noqa: ANN401 # tests index into it
        """Send a query, and return the data of its response."""
        response = await self.client.post("/graphql", json={"query": query}, headers=headers)
        answer = orjson.loads(response.content)
        assert "errors" not in answer, answer
        return answer["data"]


@asynccontextmanager
async def mirrored_gateway(
    auth: Mapping[str, Mapping[str, object]],
    *,
    compiled: bool = True,
    time_header: str = DeadlineSettings().header,
    **changes: object,
) -> AsyncGenerator[MirroredGateway]:
    """Run the services and the gateway.

    Args:
        auth: The ``auth`` settings, by service; a service without them gets no credentials.
        compiled: Whether operations are compiled.
        time_header: The header with the time that sources have.
        changes: Settings of all sources.

    Yields:
        The gateway and the services.
    """
    came = asyncio.Condition()
    mirrors = {name: Mirror(name, came) for name in NAMES}
    log = io.StringIO()
    async with AsyncExitStack() as stack:
        for mirror in mirrors.values():
            await stack.enter_async_context(mirror.listening())
        sources = {
            name: calm_source(
                base_url=mirror.base_url,
                auth=auth.get(name, {"kind": "none"}),
                timeout=TIMEOUT,
                connect_timeout=TIMEOUT,
                **changes,
            )
            for name, mirror in mirrors.items()
        }
        settings = Settings(
            sources=sources,
            auth=OpenCallers(),
            fastpath=FastpathSettings(compiled=compiled),
            deadline=DeadlineSettings(budget=TIMEOUT, header=time_header),
            log=LogSettings(level="debug"),
        )
        app = make_app(settings, make_log(settings.log, "json", log))
        url = await stack.enter_async_context(_listening(app))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=TIMEOUT))
        yield MirroredGateway(mirrors, client, log)


@asynccontextmanager
async def _listening(app: ASGIApp) -> AsyncGenerator[str]:
    """Serve the gateway by uvicorn, as in production."""
    server = PromptServer("gateway", app, grace=1)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[bound]))
            await server.ready.wait()
            try:
                yield f"http://127.0.0.1:{bound.getsockname()[1]}"
            finally:
                server.stop()
