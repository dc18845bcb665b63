"""Three services that answer with what they were sent of the caller's, and the gateway over them.

All of it is real HTTP: clients reach the gateway, and the gateway the services, through sockets.
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

PATIENCE = 60.0
"""Seconds that everything may take: no test here is about time, and a busy machine is slow."""


def mirrored(seen: HttpRequest) -> str:
    """Tell what a service was sent of the caller's."""
    return " ".join(f"{name}={value}" for name in SENT for value in seen.header(name))


class Mirror(HttpServer):
    """A service that answers with what it was sent.

    Attributes:
        name: Which service it is.
        may_answer: Tells whether it answers yet; it is asked whenever a request has come to any.
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
        """Write the rows of all who are asked for."""
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
class Hall:
    """The gateway and the services.

    Attributes:
        mirrors: The services, by name.
        client: A client of the gateway.
        log: What the gateway has logged.
    """

    mirrors: Mapping[str, Mirror]
    client: httpx.AsyncClient
    log: io.StringIO

    def hold_until(self, source: str, calls: int) -> None:
        """Have no service answer before one of them was called so often."""
        seen = self.mirrors[source].requests
        for mirror in self.mirrors.values():
            mirror.may_answer = lambda: len(seen) >= calls

    async def ask(self, query: str, headers: Mapping[str, str] | Sequence[tuple[str, str]]) -> Any:  # noqa: ANN401 # tests index into it
        """Send a query, and read the data of its answer."""
        response = await self.client.post("/graphql", json={"query": query}, headers=headers)
        answer = orjson.loads(response.content)
        assert "errors" not in answer, answer
        return answer["data"]


@asynccontextmanager
async def hall(
    auth: Mapping[str, Mapping[str, object]],
    *,
    compiled: bool = True,
    time_header: str = DeadlineSettings().header,
    **changes: object,
) -> AsyncGenerator[Hall]:
    """Run the services and the gateway.

    Args:
        auth: How services know who asks, by name of the service; nothing for those that it lacks.
        compiled: Whether operations are compiled.
        time_header: The header with the time that sources have.
        changes: Settings of all sources.

    Yields:
        All of it.
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
                timeout=PATIENCE,
                connect_timeout=PATIENCE,
                **changes,
            )
            for name, mirror in mirrors.items()
        }
        settings = Settings(
            sources=sources,
            auth=OpenCallers(),
            fastpath=FastpathSettings(compiled=compiled),
            deadline=DeadlineSettings(budget=PATIENCE, header=time_header),
            log=LogSettings(level="debug"),
        )
        app = make_app(settings, make_log(settings.log, "json", log))
        url = await stack.enter_async_context(_listening(app))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=PATIENCE))
        yield Hall(mirrors, client, log)


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
