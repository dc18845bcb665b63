"""A server that shuts down answers running requests and the last request of each connection."""

import asyncio
import io
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from threading import Event

import uvicorn
from starlette.applications import Starlette

from app.observability.logs import make_log
from app.resilience.shared_parts import SharedParts
from app.server.commands import CommitReload, PrepareReload
from app.server.gateway_server import GatewayServer, ServerPart
from app.server.generations import Generations
from app.server.pipelining import LAST_REQUEST_WITHIN
from app.server.protocol import protocol_for
from app.settings.models import LogSettings, Settings
from app.settings.server import ConnectionSettings
from tests.apps import make_app
from tests.examples.serving import free_port
from tests.fakes import settings_for_fakes
from tests.server.connection import Application

REQUEST = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


@asynccontextmanager
async def serving(app: Application | Generations) -> AsyncGenerator[tuple[GatewayServer, int]]:
    """Serve an application in this process, and wait until the server has ended."""
    port = free_port()
    protocol = protocol_for(ConnectionSettings(), 1_000)
    config = uvicorn.Config(
        app, port=port, http=protocol, ws="none", log_config=None, proxy_headers=False
    )
    server = GatewayServer(config, ServerPart(lambda _: protocol), drain=0.0)
    server.server_state.linger = LAST_REQUEST_WITHIN
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110 # uvicorn sets no event
            await asyncio.sleep(0.01)
        yield server, port
        await task


async def test_a_request_during_the_shutdown_is_the_last_of_its_connection() -> None:
    app = Application(answers=9)
    async with serving(app) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST % 1)
        before = await reader.readuntil(b"/1 ")
        server.should_exit = True
        while not server.server_state.is_closing:  # noqa: ASYNC110 # uvicorn sets no event
            await asyncio.sleep(0.01)
        writer.write(REQUEST % 2)
        after = await reader.read()  # until the end of the connection
        writer.close()

    assert b"connection: close" not in before.lower()
    assert b"connection: close" in after.lower()
    assert after.endswith(b"/2 ")


async def test_idle_connections_do_not_delay_the_shutdown() -> None:
    app = Application(answers=9)
    async with serving(app) as (server, port):
        _, unused = await asyncio.open_connection("127.0.0.1", port)
        reader, idle = await asyncio.open_connection("127.0.0.1", port)
        idle.write(REQUEST % 1)
        await reader.readuntil(b"/1 ")
        server.should_exit = True
        assert await reader.read() == b""
        for writer in (unused, idle):
            writer.close()


async def test_pipelined_requests_are_all_answered_before_the_shutdown() -> None:
    app = Application()
    async with serving(app) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join(REQUEST % number for number in (1, 2, 3)))
        await app.begun(1)
        server.should_exit = True
        while not server.server_state.is_closing:  # noqa: ASYNC110 # uvicorn sets no event
            await asyncio.sleep(0.01)
        for _ in range(3):
            app.go.release()
        answers = await reader.read()
        writer.close()

    assert [answers.count(b"/%d " % number) for number in (1, 2, 3)] == [1, 1, 1]
    assert answers.lower().count(b"connection: close") == 1


async def test_a_reload_changes_the_shutdown_timeout() -> None:
    log, settings = make_log(LogSettings(), "json", io.StringIO()), settings_for_fakes()

    def make(of: Settings, _: SharedParts) -> Starlette:
        return make_app(of, log)

    app = Generations(
        settings, 1, make, watched=lambda _, __: nullcontext(), drain=Event(), log=log
    )
    async with serving(app) as (server, _):
        changed = settings.model_copy(update={"shutdown_timeout": 3})
        refused = [
            *await app.prepare(PrepareReload(version=2, settings=changed)),
            *await app.commit(CommitReload(version=2)),
        ]
        server.should_exit = True

    assert not refused
    assert server.config.timeout_graceful_shutdown == 3
