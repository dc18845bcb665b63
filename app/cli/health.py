"""The command that asks a running gateway whether it lives, for health checks of containers."""

import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import ip_address
from pathlib import Path

import click
from pydantic import ValidationError

from app.cli.base import EXIT_WRONG, UNUSABLE, config_option, refuse
from app.settings.listening import ListeningSettings
from app.settings.variables import ENV_FILE
from app.settings.written import written_values

PATH = "/healthz"
UNHEALTHY = "The gateway is not healthy:"
OK = 200


@click.command()
@click.option("--timeout", default=2.0, show_default=True, help="Seconds that the answer may take.")
@config_option
def health(timeout: float, config: Path | None) -> None:
    """Ask the gateway of this machine whether it lives. No source is called.

    The gateway is where the settings say: at its admin port if it has one, which answers for all
    processes, else at its own port. Options of `serve` are not known here, so set the port by a
    setting if you use this command.

    Exits with 1 if the gateway does not live, and says why.
    """
    try:
        written = written_values(ListeningSettings, env_file=ENV_FILE, config=config)
        listening = ListeningSettings.model_validate(written)
    except ValidationError as error:
        places = [".".join(map(str, one["loc"])) for one in error.errors()]
        refuse(UNUSABLE, [f"{place} does not say where the gateway is" for place in places])
    connection = _connection(listening, timeout)
    address = f"{connection.host}:{connection.port}"
    try:
        connection.request("GET", PATH)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        refuse(UNHEALTHY, [f"{address} does not answer: {error}"], exit_code=EXIT_WRONG)
    finally:
        connection.close()
    if response.status != OK:
        refuse(UNHEALTHY, [f"{address} answers {response.status}: {text}"], exit_code=EXIT_WRONG)
    click.echo(text)


def _connection(listening: ListeningSettings, timeout: float) -> HTTPConnection:
    """Choose the port to ask. Variables for proxies do not apply."""
    if listening.admin.port:  # not 0, which is a port that nobody knows
        return HTTPConnection(
            _reachable(listening.admin.host), listening.admin.port, timeout=timeout
        )
    host = _reachable(listening.host)
    if listening.tls is None:
        return HTTPConnection(host, listening.port, timeout=timeout)
    # The certificate is for the name that clients use, and this connection stays on the machine.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(host, listening.port, timeout=timeout, context=context)


def _reachable(host: str) -> str:
    """Return an address to connect to: one of this machine where all addresses are listened on."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004 # the version of IP
