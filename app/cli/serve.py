"""The command that runs the gateway."""

import os
import ssl
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import uvicorn

from app.cli.base import UNUSABLE, Port, config_option, refuse
from app.cli.checklist import UNSAFE, forbidden
from app.configuration.variables import CONFIG
from app.environment import load_settings
from app.errors import ConfigurationError
from app.graphql.naming import texts_of
from app.main import protocol_of
from app.observability.logs import form_of, uvicorn_log_config
from app.process import open_standard_streams
from app.shapes.server_tls import ServerTlsSettings


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
        texts_of(settings)  # each process reads them anew; here it is found out whether it can
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
        log_config=uvicorn_log_config(settings.log, form_of(settings.log, sys.stderr)),
        timeout_graceful_shutdown=settings.shutdown_timeout,
    )


def _tls_context(
    tls: ServerTlsSettings, _: uvicorn.Config, __: Callable[[], ssl.SSLContext]
) -> ssl.SSLContext:
    """Read the certificates in the process that serves; uvicorn has a way of its own, too."""
    return tls.context()
