"""The command that runs the gateway, and the settings with which it does not start.

The checklist refuses what nobody can want in production: anybody may ask for what is private, or
nothing limits what anybody may ask for. Settings that an operator can want, such as introspection
within a company, are not refused. No option overrides a rule; each names the setting to change.
"""

import os
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import click
import uvicorn

from app.cli.base import UNUSABLE, Port, config_option, refuse
from app.errors import ConfigurationError
from app.execution.trusted import document_store_of
from app.main import load_settings, protocol_of
from app.observability.logs import log_format_of, uvicorn_log_config
from app.server.process import open_standard_streams
from app.settings.auth import JwtCallers
from app.settings.models import Settings
from app.settings.server import ServerTlsSettings, is_loopback
from app.settings.variables import CONFIG

UNSAFE = "It is not safe to serve with these settings:"


@dataclass(frozen=True, slots=True)
class ServeIntent:
    """What is to be served, and where.

    Attributes:
        settings: All settings.
        public: Whether others than this machine can reach the address that is listened on.
    """

    settings: Settings
    public: bool


Rule = Callable[[ServeIntent], str | None]
"""Says what is wrong and what to set, or nothing."""


def forbidden(settings: Settings, host: str) -> tuple[str, ...]:
    """Find all that forbids to serve.

    Args:
        settings: All settings.
        host: The address to listen on.

    Returns:
        One sentence for each: what is wrong, and what to set.
    """
    intent = ServeIntent(settings, public=not is_loopback(host))
    return tuple(told for rule in RULES if (told := rule(intent)) is not None)


def _names_are_said(intent: ServeIntent) -> str | None:
    """Whoever lets others in says by which name, even if it is localhost (a published port)."""
    if not intent.public or "hosts" in intent.settings.model_fields_set:
        return None
    return (
        "other machines can reach it, and nothing says by which names they call it: set"
        """ GATEWAY_HOSTS, such as '["api.example.com"]'"""
    )


def _cookies_are_protected(intent: ServeIntent) -> str | None:
    """Where pages send cookies, no page may send them unasked."""
    if intent.settings.csrf_prevention or not intent.settings.cors.credentials:
        return None
    return (
        "requests may carry cookies, and any site's page can have a GET executed with them: set"
        " GATEWAY_CSRF_PREVENTION=true, or GATEWAY_CORS__CREDENTIALS=false"
    )


def _nothing_is_explained(intent: ServeIntent) -> str | None:
    """How sources are called is not for everybody."""
    callers = intent.settings.auth
    known = isinstance(callers, JwtCallers) and not callers.anonymous
    if not intent.public or not intent.settings.explain or known:
        return None
    return (
        "it tells anyone how the sources are asked: set GATEWAY_EXPLAIN=false, and use"
        " `user-gateway explain`, or let in only known callers by GATEWAY_AUTH__MODE=jwt"
    )


def _documents_are_limited(intent: ServeIntent) -> str | None:
    """With neither limit one document can keep the gateway from answering all others."""
    limits, trusted = intent.settings.limits, intent.settings.trusted
    if not intent.public or limits.tokens or limits.document_bytes or trusted.mode == "only":
        return None
    return (
        "documents may be as long as they like, and take as long to validate: set"
        " GATEWAY_LIMITS__TOKENS or GATEWAY_LIMITS__DOCUMENT_BYTES, or GATEWAY_TRUSTED__MODE=only"
    )


def _work_is_limited(intent: ServeIntent) -> str | None:
    """With neither limit one client can have the sources asked for everything, for ever."""
    limits, trusted = intent.settings.limits, intent.settings.trusted
    if not intent.public or limits.cost or limits.rate.enabled or trusted.mode == "only":
        return None
    return (
        "nothing limits what a caller may ask of the sources: set GATEWAY_LIMITS__COST or"
        " GATEWAY_LIMITS__RATE__ENABLED=true, or GATEWAY_TRUSTED__MODE=only"
    )


def _nobody_signs_tokens_by_a_shared_secret(intent: ServeIntent) -> str | None:
    """Whoever has the secret that checks tokens can make them, for anyone."""
    callers = intent.settings.auth
    if not intent.public or not isinstance(callers, JwtCallers) or callers.secret is None:
        return None
    return (
        "other machines can reach it, and whoever has GATEWAY_AUTH__SECRET can be any user: leave"
        " that out and let GATEWAY_AUTH__ISSUER be an identity provider, or listen on 127.0.0.1"
    )


def _keys_come_as_they_were_sent(intent: ServeIntent) -> str | None:
    """Whoever is on the way of the keys could put their own in the place of the issuer's."""
    callers = intent.settings.auth
    if not intent.public or not isinstance(callers, JwtCallers) or callers.keys_at is None:
        return None
    address = urlsplit(callers.keys_at)
    if address.scheme == "https" or is_loopback(address.hostname or ""):
        return None
    return (
        "the keys that tokens are checked by come over plain http: expected https in"
        " GATEWAY_AUTH__ISSUER or GATEWAY_AUTH__JWKS_URL"
    )


RULES: tuple[Rule, ...] = (
    _names_are_said,
    _cookies_are_protected,
    _nothing_is_explained,
    _documents_are_limited,
    _work_is_limited,
    _nobody_signs_tokens_by_a_shared_secret,
    _keys_come_as_they_were_sent,
)
"""Every rule, each of its own."""


@click.command()
@click.option("--host", help="Address to listen on.  [GATEWAY_HOST, 127.0.0.1]")
@click.option("--port", type=Port, help="Port to listen on; 0 for any.  [GATEWAY_PORT, 8000]")
@click.option(
    "--workers", type=click.IntRange(1, 64), help="Processes to run.  [GATEWAY_WORKERS, 1]"
)
@config_option
def serve(host: str | None, port: int | None, workers: int | None, config: Path | None) -> None:
    """Run the gateway over the services that the settings name.

    Settings come from the environment; for what that lacks, from a file .env in the working
    directory; for what both lack, from the configuration file that GATEWAY_CONFIG or --config names
    (`user-gateway config schema` has all that it may hold). An option here wins over all of them.
    """
    open_standard_streams()
    try:
        settings = load_settings(config=config, serving=True)
        document_store_of(
            settings
        )  # each process reads them anew; here it is found out whether it can
    except ConfigurationError as error:
        refuse(UNUSABLE, error.mistakes)
    host = host or settings.host
    if mistakes := forbidden(settings, host):
        refuse(UNSAFE, mistakes)
    if config is not None:
        os.environ[CONFIG.name] = str(config)  # what each server process reads its settings by
    uvicorn.run(
        "app.main:app_from_environment",
        factory=True,
        host=host,
        port=settings.port if port is None else port,
        workers=workers or settings.workers,
        http=protocol_of(settings),
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        ssl_context_factory=partial(_tls_context, settings.tls) if settings.tls else None,
        proxy_headers=False,  # whom to believe is for `limits.rate.trusted_proxies` to say
        log_config=uvicorn_log_config(settings.log, log_format_of(settings.log, sys.stderr)),
        timeout_graceful_shutdown=settings.shutdown_timeout,
    )


def _tls_context(
    tls: ServerTlsSettings, _: uvicorn.Config, __: Callable[[], ssl.SSLContext]
) -> ssl.SSLContext:
    """Read the certificates in the process that serves; uvicorn has a way of its own, too."""
    return tls.context()
