"""The command that runs the gateway, and the settings with which it does not start.

The checklist rejects settings that are never right in production: anyone can read private data, or
no limit applies to anyone's requests. Settings that some operators need, such as introspection
within a company, are accepted. No option overrides a rule; each message names the setting to
change.
"""

import errno
import os
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeAlias
from urllib.parse import urlsplit

import click
import uvicorn
from msgspec import Struct

from app.cli.base import (
    EXIT_MISUSE,
    UNFIT,
    UNUSABLE,
    Port,
    config_option,
    hint_without_file,
    refuse,
)
from app.errors import ConfigurationError, LibraryError, quote
from app.main import app_of_process, load_settings, protocol_of
from app.observability.logs import log_format_of, make_log, uvicorn_log_config
from app.observability.otlp_variables import read_otlp
from app.server.control import ControlAddress
from app.server.gateway_server import ServerPart
from app.server.process import open_standard_streams
from app.server.serving import Serving, run_server
from app.server.unusable import STARTUP_FAILURE, log_unusable
from app.settings.auth import JwtCallers
from app.settings.models import LogSettings, Settings
from app.settings.server import ServerTlsSettings, is_loopback

PORT = "The gateway does not start, because of its port:"

ADMIN_PORT = "The gateway does not start, because of its admin port:"

UNSAFE = "The gateway does not start, because these settings are not safe:"

_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

_Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

DRAIN_SECONDS = 5.0
"""Seconds of the drain if other machines can reach the gateway. Kubernetes sends SIGTERM while it
tells its nodes and ingresses that the pod ends, and that takes a few seconds. The drain and the end
of running requests (10 s) fit into its grace period (30 s)."""


class ServeIntent(Struct, frozen=True):
    """The settings and the address with which the gateway is about to start.

    Attributes:
        settings: All settings.
        public: Whether other machines can reach the address on which the gateway listens.
    """

    settings: Settings
    public: bool


Rule = Callable[[ServeIntent], str | None]
"""Returns what is wrong and which setting to change; ``None`` if nothing is wrong."""


def forbidden(settings: Settings, host: str) -> tuple[str, ...]:
    """Apply all rules of the checklist.

    Args:
        settings: All settings.
        host: The address to listen on.

    Returns:
        One sentence for each broken rule: what is wrong, and which setting to change. Empty if the
        gateway may start.
    """
    intent = ServeIntent(settings, public=not is_loopback(host))
    return tuple(mistake for rule in RULES if (mistake := rule(intent)) is not None)


def _host_names_are_set(intent: ServeIntent) -> str | None:
    """Require ``hosts`` if other machines can reach the gateway, even to allow only localhost."""
    if not intent.public or "hosts" in intent.settings.model_fields_set:
        return None
    return (
        "other machines can reach the gateway, and the names that they may use are not set: set"
        " GATEWAY_HOSTS, such as api.example.com"
    )


def _cookies_are_protected(intent: ServeIntent) -> str | None:
    """Require CSRF prevention if requests may have cookies."""
    if intent.settings.csrf_prevention or not intent.settings.cors.credentials:
        return None
    return (
        "requests may have cookies, and a page of any site can send a GET request with them: set"
        " GATEWAY_CSRF_PREVENTION=true, or GATEWAY_CORS__CREDENTIALS=false"
    )


def _explanations_are_private(intent: ServeIntent) -> str | None:
    """Require known callers for explanations, because these show how sources are called."""
    callers = intent.settings.auth
    known = isinstance(callers, JwtCallers) and not callers.anonymous
    if not intent.public or not intent.settings.explain or known:
        return None
    return (
        "anyone can read how the sources are called: set GATEWAY_EXPLAIN=false, and use"
        " `user-gateway explain`, or accept only known callers with GATEWAY_AUTH__MODE=jwt"
    )


def _documents_are_limited(intent: ServeIntent) -> str | None:
    """Require a limit of documents, because validating one long document delays all requests."""
    limits, trusted = intent.settings.limits, intent.settings.trusted
    if not intent.public or limits.tokens or limits.document_bytes or trusted.mode == "only":
        return None
    return (
        "documents have no limit of length, and long ones take long to validate: set"
        " GATEWAY_LIMITS__TOKENS or GATEWAY_LIMITS__DOCUMENT_BYTES, or GATEWAY_TRUSTED__MODE=only"
    )


def _work_is_limited(intent: ServeIntent) -> str | None:
    """Require a limit of work, because else one client can cause any number of calls."""
    limits, trusted = intent.settings.limits, intent.settings.trusted
    if not intent.public or limits.cost or limits.rate.enabled or trusted.mode == "only":
        return None
    return (
        "the work that a caller can cause has no limit: set GATEWAY_LIMITS__COST or"
        " GATEWAY_LIMITS__RATE__ENABLED=true, or GATEWAY_TRUSTED__MODE=only"
    )


def _no_shared_secret_signs_tokens(intent: ServeIntent) -> str | None:
    """Reject a shared secret, because anyone who has it can make tokens for any user."""
    callers = intent.settings.auth
    if not intent.public or not isinstance(callers, JwtCallers) or callers.secret is None:
        return None
    return (
        "other machines can reach the gateway, and anyone with GATEWAY_AUTH__SECRET can act as any"
        " user: remove it and let GATEWAY_AUTH__ISSUER be an identity provider, or listen on"
        " 127.0.0.1"
    )


def _keys_are_fetched_safely(intent: ServeIntent) -> str | None:
    """Require https for the keys, because without it others could replace them on the way."""
    callers = intent.settings.auth
    if not intent.public or not isinstance(callers, JwtCallers) or callers.keys_at is None:
        return None
    address = urlsplit(callers.keys_at)
    if address.scheme == "https" or is_loopback(address.hostname or ""):
        return None
    return (
        "the keys that verify tokens are fetched over plain http: expected https in"
        " GATEWAY_AUTH__ISSUER or GATEWAY_AUTH__JWKS_URL"
    )


RULES: tuple[Rule, ...] = (
    _host_names_are_set,
    _cookies_are_protected,
    _explanations_are_private,
    _documents_are_limited,
    _work_is_limited,
    _no_shared_secret_signs_tokens,
    _keys_are_fetched_safely,
)
"""All rules. They are independent of each other."""


@click.command()
@click.option("--host", help="Address to listen on.  [GATEWAY_HOST, 127.0.0.1]")
@click.option("--port", type=Port, help="Port to listen on; 0 for any.  [GATEWAY_PORT, 8000]")
@click.option(
    "--workers", type=click.IntRange(1, 64), help="Processes to run.  [GATEWAY_WORKERS, 1]"
)
@config_option
def serve(host: str | None, port: int | None, workers: int | None, config: Path | None) -> None:
    """Run the gateway over the services in the settings.

    Settings come from the environment first, then from a file .env in the working directory, then
    from the configuration file that GATEWAY_CONFIG or --config names (`user-gateway config schema`
    prints its format). The options of this command replace any of these.
    """
    open_standard_streams()
    option = host
    try:
        settings = settings_to_serve(config, option)
    except UnsafeSettingsError as error:
        _refuse_to_start(error.log, UNSAFE, error.mistakes)
    except ConfigurationError as error:
        _refuse_to_start(LogSettings(), UNUSABLE, error.mistakes, hint_without_file(error, config))
    try:
        protocol_of(settings)
    except LibraryError as error:
        _refuse_to_start(settings.log, UNFIT, (str(error),))
    workers = workers or settings.workers
    host = option or settings.host
    _check_port(host, settings.port if port is None else port, settings.log)
    admin = _bind_admin(settings) if settings.admin.port is not None else None

    def server_config(version: int, of: Settings, control: ControlAddress) -> uvicorn.Config:
        made = uvicorn.Config(
            partial(app_of_process, of, version, control),  # each process makes its own
            factory=True,
            host=host,
            port=of.port if port is None else port,
            workers=workers,
            http=protocol_of(of),
            ws="none",
            lifespan="on",
            access_log=False,
            server_header=False,
            ssl_context_factory=partial(_tls_context, of.tls, of.log) if of.tls else None,
            proxy_headers=False,  # `limits.rate.trusted_proxies` applies instead
            log_config=None,
            timeout_graceful_shutdown=of.shutdown_timeout,
        )
        # Not above: each configuration would set up the log of this process again, with a writer of
        # its own. ``run_server`` does it once, and uvicorn in each process that it starts.
        made.log_config = uvicorn_log_config(of.log, log_format_of(of.log, sys.stderr))
        return made

    drain = settings.drain.seconds
    if drain is None:
        drain = 0.0 if is_loopback(host) else DRAIN_SECONDS
    load = partial(settings_to_serve, config, option, listening=host)
    serving = Serving(server_config, load, ServerPart(protocol_of), workers, drain)
    run_server(serving, settings, admin)


class UnsafeSettingsError(ConfigurationError):
    """Settings that the checklist refuses.

    Attributes:
        log: How to log that.
    """

    def __init__(self, log: LogSettings, mistakes: tuple[str, ...]) -> None:
        super().__init__(mistakes)
        self.log = log


def settings_to_serve(
    config: Path | None, option: str | None, *, listening: str | None = None
) -> Settings:
    """Read the settings and the files that they name, to start or to reload.

    Args:
        config: The configuration file; ``None`` for that of GATEWAY_CONFIG, or for none.
        option: The address of ``--host``; ``None`` for that of the settings.
        listening: The address that the gateway listens on; ``None`` before its start. A new one in
            the settings needs a restart, so the rules have to hold for both.

    Returns:
        The settings.

    Raises:
        ConfigurationError: Something is wrong. It has all mistakes; broken rules of the checklist
            only if each setting is valid by itself.
        UnsafeSettingsError: Nothing is wrong but broken rules.
    """

    def unsafe(settings: Settings) -> tuple[str, ...]:
        chosen = option or settings.host
        hosts = (chosen, listening or chosen)
        return (*dict.fromkeys(one for host in hosts for one in forbidden(settings, host)),)

    # Each process reads these variables again. Here they are only checked.
    wrong = _mistakes_of(partial(read_otlp, os.environ))
    try:
        settings = load_settings(config=config, serving=True)
    except ConfigurationError as error:
        broken = unsafe(error.settings) if isinstance(error.settings, Settings) else ()
        mistakes = (*error.mistakes, *wrong, *broken)
        raise ConfigurationError(mistakes, unreadable=error.unreadable) from error
    broken = unsafe(settings)
    if wrong:
        raise ConfigurationError((*wrong, *broken))
    if broken:
        raise UnsafeSettingsError(settings.log, broken)
    return settings


def _mistakes_of(check: Callable[[], object]) -> tuple[str, ...]:
    """Return the mistakes that a check finds."""
    try:
        check()
    except ConfigurationError as error:
        return error.mistakes
    return ()


def _bind_admin(settings: Settings) -> socket.socket:
    """Bind the admin port, or say why that is not possible."""
    from app.server.admin import bind_admin  # noqa: PLC0415 # few have an admin port

    admin = settings.admin
    try:
        return bind_admin(admin.host, admin.port or 0)
    except OSError as error:
        mistake = _not_bound(error, admin.host, admin.port or 0, "GATEWAY_ADMIN__", "")
        _refuse_to_start(settings.log, ADMIN_PORT, (mistake,))


def _check_port(host: str, port: int, log: LogSettings) -> None:
    """Try to bind the port. uvicorn binds it only after the start, and names no setting."""
    problems: list[OSError | None] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        problems.append(error)
    else:
        problems += [_problem(family, kind, of, at) for family, kind, of, _, at in found]
    # A name such as localhost may have an IPv6 address on a machine without IPv6.
    serious = [one for one in problems if one is not None]
    if None in problems:
        serious = [one for one in serious if one.errno not in _NO_SUCH_ADDRESS]
    if serious:
        mistake = _not_bound(serious[0], host, port, "GATEWAY_", " or --{}")
        _refuse_to_start(log, PORT, (mistake,))


def _problem(family: int, kind: int, protocol: int, address: _Address) -> OSError | None:
    """Return why a socket cannot be bound; ``None`` if it can."""
    try:
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            trial.bind(address)
    except OSError as error:
        return error
    return None


def _not_bound(error: OSError, host: str, port: int, prefix: str, option: str) -> str:
    """Say why an address cannot be listened on, and which setting or option names it."""
    number = error.errno or 0
    if number < 0 or number in _NO_SUCH_ADDRESS:  # names have negative numbers
        return (
            f"{quote(host)} is not an address of this machine: expected one in"
            f" {prefix}HOST{option.format('host')}, such as 127.0.0.1, ::1 or 0.0.0.0"
        )
    named = f"{prefix}PORT{option.format('port')}"
    return f"{host}:{port} cannot be used ({named}): {os.strerror(number)}"


def _refuse_to_start(
    log: LogSettings, headline: str, mistakes: Sequence[str], hints: Sequence[str] = ()
) -> NoReturn:
    """Say why the gateway does not start: to people as text with hints, to a log as an event."""
    if log_format_of(log, sys.stderr) == "console":
        refuse(headline, [*mistakes, *hints])
    log_unusable(make_log(log, stream=sys.stderr), headline.removesuffix(":"), mistakes)
    sys.exit(EXIT_MISUSE)


def _tls_context(
    tls: ServerTlsSettings, log: LogSettings, _: uvicorn.Config, __: Callable[[], ssl.SSLContext]
) -> ssl.SSLContext:
    """Read the certificates in the serving process; the last parameters are uvicorn's.

    The files were right when the settings were read. A process that starts later may find only one
    of them replaced.
    """
    try:
        return tls.context()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        mistake = f"the certificates in GATEWAY_TLS__… cannot be used: {why}"
        log_unusable(make_log(log), UNUSABLE.removesuffix(":"), (mistake,))
        sys.exit(STARTUP_FAILURE)
