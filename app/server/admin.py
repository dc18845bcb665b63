"""The admin port: metrics for Prometheus, and health with the states of sources.

It is a server of its own, in a thread with an event loop of its own. So it answers even if all
processes hang, and then says so. With several processes it runs in their supervisor, which has no
event loop.
"""

import asyncio
import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import uvicorn
from msgspec import Struct
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from app.observability.metrics import Metrics
from app.observability.prometheus import exposition
from app.server.admin_access import MAX_BODY_BYTES, AdminHosts, HostNames
from app.server.bound_address import base_url_of
from app.server.control import ControlListener
from app.server.health import readiness_response
from app.server.protocol import protocol_for
from app.server.reports import Reports
from app.settings.server import LOOPBACK_HOSTS, ConnectionSettings

LIMITS = ConnectionSettings(max_connections=100)
"""The limits of connections, so that a client cannot use up what the supervisor needs."""

PATHS = ("/metrics", "/healthz", "/readyz")


def own_names() -> Sequence[str]:
    """Return the names of a gateway that only this machine reaches.

    Returns:
        The names.
    """
    return LOOPBACK_HOSTS


def admin_app(
    reports: Reports,
    version: str,
    operations: Sequence[Route] = (),
    *,
    hosts: HostNames = own_names,
) -> Starlette:
    """Make the application of the admin port.

    Args:
        reports: The reports of the processes.
        version: The version of the gateway.
        operations: The routes that change something, each guarded by ``AdminAccess``.
        hosts: The names that clients may use for the gateway.

    Returns:
        The application.
    """
    target = {"service.name": "user-gateway", "service.version": version}

    async def metrics(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        # In a thread: adding up thousands of numbers takes longer than a loop should be held up.
        written = await asyncio.to_thread(lambda: exposition(reports.snapshot(), accept, target))
        return Response(written.body, headers={"content-type": written.media_type})

    async def alive(_: Request) -> Response:
        is_alive = reports.is_alive()
        body = '{"status":"ok"}' if is_alive else '{"status":"hanging"}'
        return Response(body, 200 if is_alive else 503, media_type="application/json")

    async def ready(_: Request) -> Response:
        return readiness_response(reports.readiness(), with_sources=True)

    async def index(_: Request) -> Response:
        paths = (*PATHS, *(one.path for one in operations))
        return PlainTextResponse("".join(f"{path}\n" for path in paths))

    return Starlette(
        routes=[
            Route("/", index),
            Route("/metrics", metrics),
            Route("/healthz", alive),
            Route("/readyz", ready),
            *operations,
        ],
        middleware=[Middleware(AdminHosts, hosts=hosts)],
    )


def bind_admin(host: str, port: int) -> socket.socket:
    """Bind the socket of the admin port.

    Args:
        host: The address to listen on.
        port: The port; 0 for any free one.

    Returns:
        The socket.

    Raises:
        OSError: The address cannot be used, for example because another program uses it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


@contextmanager
def serving_admin(app: Starlette, listener: socket.socket) -> Generator[None]:
    """Serve the admin port in a thread, until the end of the context.

    Args:
        app: The application.
        listener: The bound socket. It is closed at the end.

    Yields:
        Nothing. The port is served meanwhile.
    """
    config = uvicorn.Config(
        app,
        http=protocol_for(LIMITS, MAX_BODY_BYTES),
        lifespan="off",
        ws="none",
        access_log=False,
        server_header=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    # A daemon: a client that reads slowly must not keep the process alive.
    thread = threading.Thread(target=server.run, args=([listener],), name="admin port", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(2.0)
        listener.close()


class AdminPort(Struct, frozen=True):
    """An open admin port.

    Attributes:
        metrics: The metrics of the process that has the port.
        address: The address of the port, without a slash at the end.
    """

    metrics: Metrics
    address: str


@contextmanager
def open_admin(
    listener: socket.socket,
    control: ControlListener,
    version: str,
    operations: Sequence[Route] = (),
    *,
    hosts: HostNames = own_names,
) -> Generator[AdminPort]:
    """Serve the admin port.

    Args:
        listener: The bound socket of the port, from ``bind_admin``.
        control: Collects the reports of processes.
        version: The version of the gateway.
        operations: The routes that change something, each guarded by ``AdminAccess``.
        hosts: The names that clients may use for the gateway.

    Yields:
        The port. It is closed at the end.
    """
    app = admin_app(control.reports, version, operations, hosts=hosts)
    with serving_admin(app, listener):
        yield AdminPort(control.reports.metrics, base_url_of(listener))
