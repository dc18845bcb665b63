"""Everything in one process and one event loop: three services, the gateway, until Ctrl-C."""

import asyncio
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.demo.database import data_folder
from app.demo.errors import DemoError
from app.demo.faults import DemoOptions, FaultKind, FaultMiddleware, SlowMiddleware, SourceName
from app.demo.server import DemoServer, base_url, listen, reserve
from app.demo.services import DemoServices, demo_services

_GATEWAY_GRACE_S = 0.5  # its requests end soon after the services have ended theirs
_SERVICE_GRACE_S = 0.0  # what still runs there is slow or hangs on purpose
_STOP_WITHIN_S = 1.7
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SourceUrls(Struct, frozen=True):
    """The base URLs of the three services, without a slash at the end.

    Attributes:
        profile: Who users are.
        billing: What they pay.
        activity: What they do.
    """

    profile: str
    billing: str
    activity: str


class DemoAddresses(Struct, frozen=True):
    """Where everything is, once it runs.

    Attributes:
        gateway: The gateway's base URL, without a slash at the end; None when it does not run.
        sources: The services' base URLs.
        data: The folder with the SQLite files.
    """

    gateway: str | None
    sources: SourceUrls
    data: Path

    @property
    def graphiql(self) -> str | None:
        """Where a browser finds GraphiQL and a client the endpoint; None without a gateway."""
        return f"{self.gateway}/graphql" if self.gateway else None


class _Site(Struct, frozen=True):
    """A server and the socket that it listens on."""

    server: DemoServer
    listener: socket.socket


async def run_demo(
    options: DemoOptions,
    gateway: Callable[[SourceUrls], ASGIApp],
    announce: Callable[[DemoAddresses], None],
    *,
    protocol: type[asyncio.Protocol] = HttpToolsProtocol,
) -> None:
    """Run the demo until SIGINT, SIGTERM or a cancellation; then end it within two seconds.

    A signal makes this return normally. While requests are still ending, a second one cancels
    them. The caller chooses and runs the loop.

    Args:
        options: What the person who starts it has chosen.
        gateway: Makes the gateway for these sources; not called with `sources_only`. Its lifespan
            is run.
        announce: Called once, when all servers answer.
        protocol: Makes what speaks HTTP on a connection of the gateway; uvicorn's own by default.

    Raises:
        DemoError: A port, the data folder or a server is not as it should be. Nothing is left
            running.
    """
    sites: list[_Site] = []
    # A timeout without a time is a scope that can be ended from outside: by a signal.
    until_signal = asyncio.timeout(None)
    try:
        async with until_signal:

            def interrupt() -> None:
                if until_signal.when() is None:
                    until_signal.reschedule(asyncio.get_running_loop().time())
                else:
                    for site in sites:
                        site.server.cancel_requests()

            with _signals_call(interrupt), ExitStack() as stack:
                # Built on the loop: for half a second, in which the loop has nothing else to do.
                folder = stack.enter_context(data_folder(options.data))
                services = stack.enter_context(demo_services(folder))
                front = None
                if not options.sources_only:
                    front = stack.enter_context(listen(options.host, options.port))
                sources = _place_services(options, services, sites, stack)
                if front:
                    server = DemoServer(
                        "the gateway", gateway(sources), grace=_GATEWAY_GRACE_S, protocol=protocol
                    )
                    sites.append(_Site(server, front))
                addresses = DemoAddresses(base_url(front) if front else None, sources, folder)
                await _serve(sites, lambda: announce(addresses))
    except TimeoutError:
        if not until_signal.expired():
            raise


def _place_services(
    options: DemoOptions, services: DemoServices, sites: list[_Site], stack: ExitStack
) -> SourceUrls:
    """Give each service its port and its faults, and add a site for each that listens."""
    slow = {latency.source: latency.seconds for latency in options.latency}
    faults = {fault.source: fault.effect for fault in options.faults}
    ports = options.service_ports

    def place(name: SourceName, app: ASGIApp) -> str:
        wanted = ports[name]
        effect = faults.get(name)
        if effect is FaultKind.REFUSE:
            return base_url(stack.enter_context(reserve(options.host, wanted)))
        if effect is not None:
            app = FaultMiddleware(app, effect)
        if name in slow:
            app = SlowMiddleware(app, slow[name])
        listener = stack.enter_context(listen(options.host, wanted))
        server = DemoServer(f"the {name} service", app, grace=_SERVICE_GRACE_S)
        sites.append(_Site(server, listener))
        return base_url(listener)

    return SourceUrls(
        profile=place(SourceName.PROFILE, services.profile),
        billing=place(SourceName.BILLING, services.billing),
        activity=place(SourceName.ACTIVITY, services.activity),
    )


async def _serve(sites: Sequence[_Site], started: Callable[[], None]) -> None:
    """Run the servers until this is cancelled or one of them ends, then stop them all.

    Not a TaskGroup: that would cancel the servers where they are to be asked to stop.

    Raises:
        DemoError: A server did not start, or there is none.
    """
    if not sites:
        raise DemoError("all services refuse and there is no gateway: nothing is left to run")
    servers = [asyncio.create_task(site.server.serve([site.listener])) for site in sites]
    all_ready = asyncio.create_task(_all_ready(sites))
    try:
        await asyncio.wait((all_ready, *servers), return_when=asyncio.FIRST_COMPLETED)
        if all_ready.done():
            started()
            await asyncio.wait(servers, return_when=asyncio.FIRST_COMPLETED)
    finally:
        all_ready.cancel()
        for site in sites:
            site.server.should_exit = True
        ended, late = await asyncio.wait(servers, timeout=_STOP_WITHIN_S)
        for server in late:
            server.cancel()
        await asyncio.gather(all_ready, *late, return_exceptions=True)
        for server in ended:
            server.result()


async def _all_ready(sites: Sequence[_Site]) -> None:
    """Wait until each server serves."""
    for site in sites:
        await site.server.ready.wait()


@contextmanager
def _signals_call(handler: Callable[[], None]) -> Generator[None]:
    """Let SIGINT and SIGTERM call the handler, in the running loop, and put back what was."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        for number in _SIGNALS:
            loop.add_signal_handler(number, handler)
    except NotImplementedError:
        # Windows: there Ctrl-C cancels the task that asyncio.run runs, which ends the demo too.
        yield
        return
    try:
        yield
    finally:
        for number, previous in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, previous)
