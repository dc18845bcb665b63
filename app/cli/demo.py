"""The command that runs three small services with made-up users, and the gateway over them."""

import asyncio
import logging.config
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import click
from msgspec.structs import asdict
from pydantic import TypeAdapter, ValidationError
from starlette.types import ASGIApp
from uvicorn.loops.auto import auto_loop_factory

from app import __version__
from app.cli.base import UNFIT, Port, refuse
from app.cli.demo_callers import DemoCallers, DemoToken
from app.cli.placeholders import sources_at
from app.demo.faults import (
    DemoOptions,
    Fault,
    Latency,
    SourceName,
    fail_option,
    latency_option,
    ports_option,
)
from app.demo.run import DemoAddresses, SourceUrls, run_demo
from app.errors import LibraryError
from app.main import create_app, protocol_of
from app.observability.logs import make_log, uvicorn_log_config, writer_to
from app.server.admin import AdminPort, bind_admin, open_admin
from app.server.control import ControlAddress, ControlListener
from app.server.process import log_uncaught, open_standard_streams
from app.server.reports import Reports
from app.settings.auth import OpenCallers
from app.settings.limits import LimitsSettings
from app.settings.models import LogSettings, Settings
from app.settings.server import (
    ANY_PORT,
    EVERY_HOST,
    LOOPBACK_HOSTS,
    CorsSettings,
    Origin,
    is_loopback,
)

_NOT_KNOWN_YET = SourceUrls(*["http://127.0.0.1:9"] * 3)

_LOCAL_PAGES = tuple(
    f"{scheme}://{host}{ANY_PORT}"
    for scheme in ("http", "https")
    for host in ("localhost", "127.0.0.1", "[::1]")
)
"""Pages of this machine, on any port: those of a frontend that is being developed."""

_ORIGINS: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[Origin, ...])


def checked_origins(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """Check the origins of ``--cors``. A click callback.

    Args:
        ctx: The context of the command.
        param: The option.
        values: The origins.

    Returns:
        The origins.

    Raises:
        click.BadParameter: One is not an origin.
    """
    try:
        return _ORIGINS.validate_python(values)
    except ValidationError as error:
        wrong = "".join(
            f"{one['input']!r}: {one['msg'].split(', ', 1)[-1]}" for one in error.errors()[:1]
        )
        raise click.BadParameter(wrong, ctx=ctx, param=param) from None


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=Port,
    default=8000,
    show_default=True,
    help="Port of the gateway, or the next free one; 0 for any.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to keep the services' data in; a temporary one when absent.",
)
@ports_option
@click.option(
    "--cors",
    "origins",
    metavar="ORIGIN",
    multiple=True,
    callback=checked_origins,
    help="Origin whose pages may ask, as https://app.example.com. Repeatable. Pages of localhost"
    " always may.",
)
@latency_option
@fail_option
@click.option(
    "--admin-port",
    type=Port,
    help="Port for operators, with /metrics, /healthz and /readyz; 0 for any. None when absent.",
)
@click.option("--sources-only", is_flag=True, help="Run the three services without the gateway.")
def demo(
    *,
    host: str,
    port: int,
    data: Path | None,
    ports: tuple[int, int, int] | None,
    origins: tuple[str, ...],
    latency: tuple[Latency, ...],
    faults: tuple[Fault, ...],
    admin_port: int | None,
    sources_only: bool,
) -> None:
    """Run three services with 1,000 users, and the gateway over them.

    By default the demo can be reached only from this machine. Ctrl-C ends it. To see partial
    responses, for example: user-gateway demo --fail billing=503 --latency activity=300ms

    Without a token, all fields can be seen. Two tokens are printed, to try what their callers may
    see.
    """
    open_standard_streams()
    # uvicorn and the libraries use the gateway's log; uvicorn logs only warnings and errors.
    logging.config.dictConfig(uvicorn_log_config(LogSettings(level="warning"), "console"))
    log_uncaught()
    options = DemoOptions(
        host=host,
        port=port,
        data=data,
        ports=ports,
        latency=latency,
        faults=faults,
        sources_only=sources_only,
    )
    callers = DemoCallers((_user_id(1), _user_id(2)))
    planned = _demo_settings(host, _NOT_KNOWN_YET, origins)
    try:
        # The protocol of clients' connections does not depend on the addresses of the services.
        protocol = protocol_of(planned)
    except LibraryError as error:
        refuse(UNFIT, (str(error),))
    with ExitStack() as stack:
        admin = control = None
        if admin_port is not None and not sources_only:
            control = stack.enter_context(
                ControlListener(Reports(1, time.monotonic), has_reports=True)
            )
            admin = stack.enter_context(_admin(admin_port, control))
        gateway = partial(
            demo_gateway,
            host,
            callers=callers,
            origins=origins,
            control=control.address if control else None,
        )
        announce = partial(
            _announce,
            tokens=callers.tokens,
            admin=admin.address if admin else None,
            notes=partial(demo_notes, options, planned),
        )
        runner = stack.enter_context(asyncio.Runner(loop_factory=auto_loop_factory()))
        runner.run(run_demo(options, gateway, announce, protocol=protocol))


def _admin(port: int, control: ControlListener) -> AbstractContextManager[AdminPort]:
    """Open the admin port, or say why that is not possible."""
    try:
        listener = bind_admin("127.0.0.1", port)
    except OSError as error:
        refuse("The demo does not start:", (f"--admin-port {port}: {error.strerror}",))
    return open_admin(listener, control, __version__)


def demo_gateway(
    host: str,
    urls: SourceUrls,
    *,
    callers: DemoCallers,
    origins: Sequence[str] = (),
    control: ControlAddress | None = None,
) -> ASGIApp:
    """Make the gateway over the demo's services.

    Args:
        host: The address on which the gateway listens.
        urls: The addresses of the services.
        callers: Authenticates callers.
        origins: The origins whose pages may ask, besides those of this machine.
        control: Where its supervisor listens; ``None`` if it has none.

    Returns:
        The application.
    """
    settings = _demo_settings(host, urls, origins)
    log = make_log(settings.log)
    return create_app(settings, log, authenticate=callers.authenticate(log), control=control)


def _demo_settings(host: str, urls: SourceUrls, origins: Sequence[str]) -> Settings:
    """Make the settings of the demo's gateway."""
    # The users are made up. So if other machines can reach the demo, any host name is accepted.
    hosts = LOOPBACK_HOSTS if is_loopback(host) else (EVERY_HOST,)
    # A source that the gateway has and the demo has not gets an address that cannot be reached.
    return Settings(
        sources=sources_at(asdict(urls)),
        auth=OpenCallers(),
        hosts=hosts,
        cors=CorsSettings(origins=(*_LOCAL_PAGES, *origins)),
        trace="asked",
        explain=True,
        limits=LimitsSettings(report="asked"),
        introspection=True,
        suggestions=True,
        graphiql=True,
        log=LogSettings(format="console"),
    )


def _announce(
    addresses: DemoAddresses,
    *,
    tokens: Sequence[DemoToken],
    admin: str | None,
    notes: Callable[[DemoAddresses], Sequence[str]],
) -> None:
    """Print the addresses, an example of a request, and the tokens."""
    # Not with `click.echo`: the demo should run even if its output cannot be written.
    text = announcement(addresses, tokens, admin=admin, notes=notes(addresses))
    writer_to(sys.stdout).warning(text)


def demo_notes(options: DemoOptions, settings: Settings, addresses: DemoAddresses) -> Sequence[str]:
    """Say what may surprise: ports that were taken, and delays longer than the gateway waits.

    Args:
        options: What the person who starts the demo has chosen.
        settings: The settings of the demo's gateway.
        addresses: The addresses.

    Returns:
        A line for each.
    """
    sources = addresses.sources
    services = zip(SourceName, (sources.profile, sources.billing, sources.activity), strict=True)
    places = [(f"the {of} service", options.service_ports[of], address) for of, address in services]
    if addresses.gateway is not None:
        places.insert(0, ("the gateway", options.port, addresses.gateway))
    notes = [
        f"Port {wanted} is in use, so {what} has {urlsplit(address).port}."
        for what, wanted, address in places
        if wanted not in {0, urlsplit(address).port}
    ]
    if addresses.gateway is not None:
        notes += [
            f"The {one.source} service takes {one.seconds:g} s, and the gateway waits"
            f" {settings.sources[one.source].timeout:g} s: its fields are null, with"
            " SOURCE_TIMEOUT. Try a shorter delay, to see a slow answer."
            for one in options.latency
            if one.seconds >= settings.sources[one.source].timeout
        ]
    return notes


def announcement(
    addresses: DemoAddresses,
    tokens: Sequence[DemoToken] = (),
    *,
    admin: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Write the addresses of the demo, an example of a request, and the tokens.

    Args:
        addresses: The addresses.
        tokens: The tokens with which the policies can be tried.
        admin: The address of the admin port; ``None`` if there is none.
        notes: What may surprise, a line each.

    Returns:
        Lines for a terminal.
    """
    sources = addresses.sources
    noted = [*(f"Note: {one}" for one in notes), *([""] if notes else [])]
    if addresses.gateway is None:
        return "\n".join(
            [
                "The three services run. To run the gateway over them, in another terminal:",
                "",
                f"  export GATEWAY_SOURCES__PROFILE__BASE_URL={sources.profile}",
                f"  export GATEWAY_SOURCES__BILLING__BASE_URL={sources.billing}",
                f"  export GATEWAY_SOURCES__ACTIVITY__BASE_URL={sources.activity}",
                "  export GATEWAY_AUTH__MODE=none",
                "  user-gateway serve",
                "",
                *noted,
                "Ctrl-C ends them.",
            ]
        )
    fields = "displayName plan billingStatus lastSeenAt"
    query = f'{{ user(id: \\"{_user_id(1)}\\") {{ {fields} }} }}'
    return "\n".join(
        [
            f"GraphiQL   {addresses.graphiql}",
            f"Services   {sources.profile} {sources.billing} {sources.activity}",
            f"Users      {_user_id(1)} to {_user_id(1000)}",
            *([] if admin is None else [f"Metrics    {admin}/metrics"]),
            "",
            f"  curl {addresses.graphiql} -H 'Content-Type: application/json' \\",
            f"""    -d '{{"query": "{query}"}}'""",
            "",
            *(["Without a token, all fields can be seen. Two tokens:", ""] if tokens else []),
            *(line for one in tokens for line in _token_lines(one)),
            *noted,
            "Ctrl-C ends everything.",
        ]
    )


def _token_lines(token: DemoToken) -> list[str]:
    """Write a token as a header."""
    return [f"  {token.who}", f"    Authorization: Bearer {token.text}", ""]


def _user_id(number: int) -> str:
    """Return the id of one of the demo's users."""
    return f"00000000-0000-4000-8000-{number:012d}"
