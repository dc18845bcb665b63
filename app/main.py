"""Assembles the application and its lifespan. No other module does."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from threading import Event
from typing import NoReturn

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from structlog.typing import FilteringBoundLogger

from app import __version__
from app.auth.callers import Authenticate
from app.errors import Code, ConfigurationError, LibraryError, quote
from app.execution.render import OperationCompiler
from app.execution.schema import GatewaySchema
from app.execution.source_fit import completed, misfits_in
from app.execution.trusted import misfits_of_documents
from app.expressions.expression import compile_expression
from app.fastpath import responses, wire
from app.fastpath.compiled import Compiler
from app.fastpath.expressions import compile_to_function
from app.fastpath.kept_users import KeptUsers
from app.fastpath.records import record_maker
from app.fastpath.route import Shortcut
from app.fastpath.rows import page_decoder, struct_decoder
from app.fastpath.scan import scanner_at_once
from app.observability.logs import make_log
from app.observability.otlp import open_telemetry
from app.observability.otlp_variables import read_otlp
from app.observability.telemetry import GatewayMetrics, Telemetry
from app.resilience.clock import Clock, SystemClock
from app.resilience.retry import Chance
from app.resilience.shared_parts import SharedParts
from app.server import pipelining
from app.server.collector import tune_collector
from app.server.commands import CommandHandlers, HandleCommand, InvalidateCache
from app.server.control import ControlAddress
from app.server.correlation import CorrelationMiddleware
from app.server.cross_site import cors
from app.server.endpoint import GraphQLEndpoint
from app.server.gateway import Gateway
from app.server.generations import Generations
from app.server.head import HeadMiddleware
from app.server.health import Health, Readiness
from app.server.observation import observed_server
from app.server.process import log_uncaught
from app.server.protocol import protocol_for
from app.server.rate_limit import Admission, RateLimiter, by_subject
from app.server.refusals import COUNT_REFUSAL
from app.server.responses import error_response, security_headers, wrong_method
from app.server.telemetry import HttpTelemetry
from app.server.token_buckets import MemoryBuckets, SharedBuckets, TokenBuckets
from app.server.unusable import STARTUP_FAILURE, UNUSABLE, log_unusable
from app.server.watch import watching
from app.settings import environment
from app.settings.files import with_files
from app.settings.models import LogSettings, Settings
from app.settings.variables import ENV_FILE
from app.sources.mapping.contract import Observer
from app.sources.mapping.decoding import ReadMethods, each_page, each_row, validating_decoder
from app.sources.mapping.scan import scan
from app.store.redis_client import LibraryCommands, MakeCommands, connect
from app.store.shared import SharedStore
from app.transport.client import client_transport
from app.transport.transport import TransportFactory

PATH = "/graphql"


class _App(Starlette):
    """Starlette without its outermost error handler; ``CorrelationMiddleware`` replaces it."""

    def build_middleware_stack(self) -> ASGIApp:
        """Return the middleware stack without ``ServerErrorMiddleware``."""
        outermost = super().build_middleware_stack()
        return outermost.app if isinstance(outermost, ServerErrorMiddleware) else outermost


def create_app(
    settings: Settings,
    log: FilteringBoundLogger,
    *,
    clock: Clock | None = None,
    chance: Chance = random.random,
    transports: TransportFactory | None = None,
    observer: Observer | None = None,
    schema: GatewaySchema | None = None,
    authenticate: Authenticate | None = None,
    telemetry: Telemetry | None = None,
    control: ControlAddress | None = None,
    shared: SharedParts | None = None,
    is_draining: Callable[[], bool] = lambda: False,
    version_of: Callable[[str], str] = version,
) -> Starlette:
    """Assemble the gateway of one version of the settings.

    Args:
        settings: All settings.
        log: The log.
        clock: The clock; the system's by default.
        chance: Returns random numbers between 0 and 1, for the jitter of waits.
        transports: Makes the transport to each service; by default the one of the settings.
        observer: Gets each record and how it was made, for ``app/probe/``.
        schema: The schema, if ``schema_for`` has built it of the settings; ``settings`` are those
            that it returned. By default, it is built here.
        authenticate: Returns the caller of a request; by default as the settings say.
        telemetry: What the parts of the gateway measure with; by default metrics that are counted
            and not exported.
        control: Where the supervisor of this process listens; ``None`` if it has none.
        shared: The parts that gateways of other settings of this process may have. By default, it
            is the only gateway, and watches the process.
        is_draining: Returns whether the process is about to end.
        version_of: Returns the version of an installed package, for the fast paths.

    Returns:
        The ASGI application. Its lifespan opens and closes the clients of the sources. Its
        ``state.readiness`` returns the ``Readiness``, with the states of sources, and
        ``state.unreachable`` tries to reach the services. ``state.commands`` carries out commands.

    Raises:
        ConfigurationError: The settings do not say how callers are authenticated, or their schema
            does not fit together.
    """
    time = clock or SystemClock()
    settings, missing = usable(settings, version_of)
    for name, reason in missing.items():
        log.warning("fastpath.unavailable", fastpath=name, reason=reason)
    telemetry = telemetry or Telemetry(GatewayMetrics(settings.telemetry.operation_names))
    is_alone, shared = shared is None, shared or SharedParts()
    http_telemetry = HttpTelemetry(telemetry)
    store: SharedStore | None = None
    if settings.store.url is not None:
        store = shared.kept(
            "store",
            (with_files(settings.store), settings.fastpath),
            lambda: SharedStore(
                partial(connect, commands=store_commands_of(settings)),
                settings.store,
                clock=time,
                chance=chance,
                log=log,
                metrics=telemetry.metrics,
            ),
        )
    gateway = Gateway(
        settings,
        log,
        clock=time,
        chance=chance,
        transports=transports or _transports_of(settings),
        observer=observer,
        schema=schema,
        telemetry=telemetry,
        store=store,
        shared=shared,
        methods=read_methods(settings),
        compiler_of=compiler_of,
    )
    health = Health(gateway.services, gateway.can_authenticate, is_draining)
    commands = CommandHandlers().having(InvalidateCache, gateway.invalidate)
    graphiql = gateway.graphiql()
    page = graphiql.page if graphiql is not None else None
    rate = settings.limits.rate
    limiter: RateLimiter | None = None
    if rate.enabled:
        buckets = partial(buckets_of, settings, store)
        counted_in = (rate, id(store), settings.store.rate_limits)
        limiter = shared.kept("rate", counted_in, lambda: RateLimiter(rate, buckets=buckets()))
    most = settings.max_operations
    admission = shared.kept("admission", most, lambda: Admission(most))
    endpoint = GraphQLEndpoint(
        gateway.engine,
        page,
        explainer=gateway.explainer(),
        authenticate=authenticate or gateway.authenticate,
        rate=limiter,
        admission=admission,
        caller_key=by_subject(rate.trusted_proxies),
        settings=settings,
        clock=time,
        log=log,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[Mapping[str, object]]:
        """Open the gateway, and close the endpoint at the end."""
        async with AsyncExitStack() as stack:
            if is_alone:
                watched = watching(telemetry, health.readiness, control, commands, log)
                await stack.enter_async_context(watched)
            if store is not None:
                await stack.enter_async_context(_opened_once(shared, store))
            await stack.enter_async_context(gateway.opened())
            # Shared like the admission itself, so that it is observed once.
            made_of = (id(admission), settings.fastpath)
            observed = partial(observed_server, telemetry, admission, settings.fastpath)
            await stack.enter_async_context(shared.opened("observed", made_of, observed))
            stack.callback(endpoint.close)
            yield {COUNT_REFUSAL: http_telemetry.count_connection_refusal}

    hsts = settings.tls.hsts if settings.tls is not None else 0
    forwards = frozenset[str]().union(
        *(source.auth.forwards for source in settings.sources.values())
    )
    made = _App(
        routes=[
            Route(PATH, endpoint),
            Route("/healthz", health.alive),
            Route("/readyz", health.ready),
            Route("/", _home),
            *(graphiql.routes if graphiql is not None else ()),
        ],
        middleware=[
            Middleware(
                CorrelationMiddleware,
                log=log,
                telemetry=http_telemetry,
                clock=time,
                forwards=forwards,
                headers=security_headers(hsts),
            ),
            Middleware(HeadMiddleware, hosts=settings.hosts, limits=settings.connections),
            *cors(settings.cors),
            *(
                [Middleware(Shortcut, path=PATH, endpoint=endpoint)]
                if settings.fastpath.uses("route")
                else ()
            ),
        ],
        exception_handlers={404: _not_found, 405: _wrong_method},
        lifespan=lifespan,
    )
    made.state.readiness = health.readiness
    made.state.unreachable = gateway.unreachable
    made.state.commands = commands
    return made


def load_settings(
    env_file: Path | None = ENV_FILE, *, config: Path | None = None, serving: bool = False
) -> Settings:
    """Read the settings from the environment, and from files for what that lacks.

    Args:
        env_file: A file of ``NAME=value`` lines, which is as good as the environment. It need not
            exist.
        config: The configuration file; the one that ``GATEWAY_CONFIG`` names by default, if any.
        serving: Whether requests are going to be answered, so that it has to be said who may ask,
            and trusted documents are read.

    Returns:
        The settings, which fit the sources.

    Raises:
        ConfigurationError: They cannot be used; with one sentence a mistake.
    """
    checks = (misfits_in, misfits_of_documents) if serving else (misfits_in,)
    return environment.load_settings(
        env_file, checks=checks, complete=completed, config=config, serving=serving
    )


def app_from_environment(config: Path | None = None) -> Generations:
    """Assemble the application from the settings in the environment, for a server process.

    Args:
        config: The configuration file; the one that ``GATEWAY_CONFIG`` names by default, if any.

    Returns:
        The ASGI application.

    Raises:
        SystemExit: The settings cannot be used. The log has one event with all mistakes.
    """
    try:
        settings = load_settings(config=config, serving=True)
    except ConfigurationError as error:
        _exit_unusable(error)
    return app_of_process(settings)


def app_of_process(
    settings: Settings, version: int = 1, control: ControlAddress | None = None
) -> Generations:
    """Assemble the application of a server process: a gateway that others can replace.

    Args:
        settings: All settings.
        version: Their number.
        control: Where the supervisor of this process listens; ``None`` if it has none.

    Returns:
        The ASGI application.

    Raises:
        SystemExit: The settings cannot be used. The log has one event with all mistakes.
    """
    clock, log, drain = SystemClock(), make_log(settings.log), Event()
    try:
        telemetry = open_telemetry(
            read_otlp(os.environ),
            GatewayMetrics(settings.telemetry.operation_names),
            version=__version__,
            monotonic=clock.monotonic,
        )

        def make(of: Settings, shared: SharedParts) -> Starlette:
            return create_app(
                of,
                log,
                clock=clock,
                telemetry=telemetry,
                shared=shared,
                is_draining=drain.is_set,
            )

        def watched(
            readiness: Callable[[], Readiness], handle: HandleCommand
        ) -> AbstractAsyncContextManager[None]:
            return watching(telemetry, readiness, control, handle, log, version=version)

        app = Generations(
            settings,
            version,
            make,
            watched=watched,
            drain=drain,
            log=log,
            is_welcomed=control is not None,
        )
    except ConfigurationError as error:
        _exit_unusable(error)
    log_uncaught()
    tune_collector()
    return app


def _exit_unusable(error: ConfigurationError) -> NoReturn:
    """Log why the process cannot start, and end it."""
    log_unusable(make_log(LogSettings()), UNUSABLE, error.mistakes, cause=error.__cause__)
    sys.exit(STARTUP_FAILURE)


async def _not_found(request: Request, _: Exception) -> Response:
    """Refuse an unknown path, and name the right one."""
    message = f"nothing is served at {quote(request.url.path)}: expected /graphql"
    return error_response(404, Code.BAD_REQUEST, message)


async def _wrong_method(request: Request, error: Exception) -> Response:
    """Refuse a method, and name the allowed ones."""
    headers = error.headers if isinstance(error, HTTPException) else None
    allowed = sorted((headers or {}).get("Allow", "GET").split(", "))
    return wrong_method(request.method, allowed, ", ".join(allowed))


async def _home(_: Request) -> Response:
    """Redirect ``/`` to the page at ``/graphql``."""
    return RedirectResponse("graphql")


def read_methods(settings: Settings) -> ReadMethods:
    """Choose what decodes rows and evaluates expressions.

    Args:
        settings: All settings.

    Returns:
        The fast paths that are on, and else the libraries.
    """
    rows, expressions = (settings.fastpath.uses(name) for name in ("rows", "expressions"))
    decoders = struct_decoder if rows else validating_decoder
    return ReadMethods(
        decoders=decoders,
        scan=scanner_at_once() if rows else scan,
        expressions=compile_to_function if expressions else compile_expression,
        records=record_maker(decoders) if expressions else each_row,
        pages=page_decoder if rows else each_page,
    )


def compiler_of(settings: Settings, schema: GatewaySchema) -> OperationCompiler | None:
    """Choose what compiles operations.

    Args:
        settings: All settings.
        schema: The schema.

    Returns:
        The compiler; ``None`` where all is left to Strawberry's executor.
    """
    if not settings.fastpath.uses("compiled"):
        return None
    cached = {name for name, one in settings.sources.items() if one.cache.enabled}
    kept = None
    if cached and settings.limits.memory.kept_users and settings.fastpath.uses("kept_users"):
        kept = KeptUsers(cached, max_bytes=settings.limits.memory.kept_users)
    return Compiler(schema, kept)


def _opened_once(shared: SharedParts, store: SharedStore) -> AbstractAsyncContextManager[object]:
    """Open a store, unless another gateway has opened it."""
    return shared.opened("store", id(store), lambda: store)


def buckets_of(settings: Settings, store: SharedStore | None) -> TokenBuckets:
    """Choose where the costs of callers are counted.

    Args:
        settings: All settings.
        store: The shared store; ``None`` if there is none.

    Returns:
        The buckets.
    """
    rate = settings.limits.rate
    alone = MemoryBuckets(rate)
    if store is None or not settings.store.rate_limits:
        return alone
    return SharedBuckets(rate, store, alone)


def store_commands_of(settings: Settings) -> MakeCommands:
    """Choose what carries commands out at the store.

    Args:
        settings: All settings, with a store.

    Returns:
        What makes it.
    """
    if not settings.fastpath.uses("store"):
        return LibraryCommands
    from app.fastpath.store import DirectCommands  # noqa: PLC0415 # few have a store

    return DirectCommands


def usable(
    settings: Settings, version_of: Callable[[str], str] = version
) -> tuple[Settings, Mapping[str, str]]:
    """Switch off the fast paths that do not fit the installed libraries.

    Args:
        settings: All settings.
        version_of: Returns the version of an installed package.

    Returns:
        The settings, and the reason for each fast path that was switched off, by its name.
    """
    fastpath = settings.fastpath
    needed = [responses.REQUIRES, wire.REQUIRES]
    if settings.store.url is not None:
        from app.fastpath.store import REQUIRES  # noqa: PLC0415 # few have a store

        needed.append(REQUIRES)
    missing = {
        required.name: reason
        for required in needed
        if fastpath.uses(required.name) and (reason := required.missing(version_of)) is not None
    }
    if missing:
        off = fastpath.model_copy(update=dict.fromkeys(missing, False))
        settings = settings.model_copy(update={"fastpath": off})
    return settings, missing


def protocol_of(
    settings: Settings, version_of: Callable[[str], str] = version
) -> type[asyncio.Protocol]:
    """Make the value of uvicorn's option ``http``.

    Args:
        settings: All settings.
        version_of: Returns the version of an installed package.

    Returns:
        A factory of the protocol of each connection. It can be pickled for other processes.

    Raises:
        LibraryError: uvicorn is not the one that the protocol was written for. There is no
            substitute: uvicorn's own protocol has none of the limits in ``connections``, and can
            mix up the responses of two clients.
    """
    if (reason := pipelining.REQUIRES.missing(version_of)) is not None:
        raise LibraryError(
            f"the code that handles connections does not fit uvicorn ({reason}): expected the"
            " versions that requirements/runtime.txt lists"
        )
    chosen, _ = usable(settings, version_of)
    write = responses.whole_response if chosen.fastpath.uses("responses") else None
    return protocol_for(chosen.connections, chosen.max_body_bytes, write)


def _transports_of(settings: Settings) -> TransportFactory:
    """Return the transport factory that the settings choose."""
    return wire.wire_transport if settings.fastpath.uses("wire") else client_transport
