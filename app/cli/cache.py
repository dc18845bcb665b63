"""The commands about the entity cache of running gateways."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import click
import httpx
from pydantic import ValidationError

from app.cli.base import EXIT_WRONG, config_option, refuse, refuse_settings
from app.errors import ConfigurationError, what_is_wrong
from app.main import load_settings
from app.server.invalidating import PATH
from app.settings.base import HEADER_VALUE
from app.settings.models import Settings
from app.settings.secret_values import without_secrets
from app.sources.cache.invalidation import Invalidation

NOT_SENT = "The invalidation was not sent:"
NOT_DONE = "The invalidation was not carried out:"

WITHIN = 10.0
"""Seconds in which the admin port has to answer."""

RIGHT_ADDRESS = "expected one such as http://127.0.0.1:9464"
RIGHT_TOKEN = "expected one line of printable ASCII, the value of GATEWAY_ADMIN__TOKEN"  # noqa: S105 # a sentence
NO_PORT = "there is no admin port: expected --address, or the setting GATEWAY_ADMIN__PORT"
NO_TOKEN = "there is no token: expected --token-file, or the setting GATEWAY_ADMIN__TOKEN"  # noqa: S105 # a sentence


@click.group()
def cache() -> None:
    """Change the entity cache of running gateways."""


@cache.command()
@click.option("--user", "users", multiple=True, help="Id of a user. May be repeated.")
@click.option("--source", "sources", multiple=True, help="Name of a source. May be repeated.")
@click.option("--tag", "tags", multiple=True, help="Tag of responses. May be repeated.")
@click.option(
    "--address",
    help="Address of the admin port, such as http://127.0.0.1:9464; by the settings by default.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File with the token of the admin port; by the settings by default.",
)
@config_option
def invalidate(  # noqa: PLR0917 # click passes options by position
    users: Sequence[str],
    sources: Sequence[str],
    tags: Sequence[str],
    address: str | None,
    token_file: Path | None,
    config: Path | None,
) -> None:
    """Let all gateways forget results of users, sources or tags.

    Options of different kinds narrow each other: with a user and a source, only the results of this
    user at this source are forgotten. Exits with 1 if it was not carried out.
    """
    if not (users or sources or tags):
        raise click.UsageError("Nothing says what to forget: expected --user, --source or --tag.")
    try:
        invalidation = Invalidation(
            users=tuple(users) or None, sources=tuple(sources) or None, tags=tuple(tags) or None
        )
    except ValidationError as error:
        refuse(NOT_SENT, [what_is_wrong(error)])
    address, token = _place_of(address, token_file, config)
    try:
        with httpx.Client(timeout=WITHIN, trust_env=False) as client:
            response = client.post(
                address.rstrip("/") + PATH,
                content=invalidation.model_dump_json(exclude_none=True),
                headers={"Authorization": f"Bearer {token}"},
            )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        refuse(
            NOT_SENT, [f"{without_secrets(address)} does not answer: {error}"], exit_code=EXIT_WRONG
        )
    if not response.is_success:
        refuse(NOT_DONE, [f"{response.status_code}: {_message_of(response)}"], exit_code=EXIT_WRONG)
    click.echo("This gateway has forgotten it. Others with the same store do so within a second.")


def _place_of(address: str | None, token_file: Path | None, config: Path | None) -> tuple[str, str]:
    """Return the address of the admin port and its token, by options or by the settings."""
    settings: Settings | None = None
    if address is None or token_file is None:
        try:
            settings = load_settings(config=config)
        except ConfigurationError as error:
            refuse_settings(error, config)
    admin = None if settings is None else settings.admin
    if address is None:
        if admin is None or not admin.port:
            refuse(NOT_SENT, [NO_PORT])
        host = f"[{admin.host}]" if ":" in admin.host else admin.host
        address = f"http://{host}:{admin.port}"
    elif not _is_address(address):
        refuse(NOT_SENT, [f"{without_secrets(address)} is no address: {RIGHT_ADDRESS}"])
    if token_file is not None:
        return address, _token_in(token_file)
    if admin is None or admin.token is None:
        refuse(NOT_SENT, [NO_TOKEN])
    return address, admin.token.get_secret_value()


def _is_address(address: str) -> bool:
    """Return whether a text is an address of HTTP."""
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


def _token_in(file: Path) -> str:
    """Read a token; say what is wrong without showing what the file has."""
    try:
        token = file.read_bytes().decode("utf-8").strip()
    except OSError as error:
        refuse(NOT_SENT, [f"{file} cannot be read: {error.strerror}; {RIGHT_TOKEN}"])
    except UnicodeDecodeError:
        refuse(NOT_SENT, [f"{file} is not UTF-8; {RIGHT_TOKEN}"])
    if not HEADER_VALUE.fullmatch(token):
        what = "has no token in it" if token else "is empty"
        refuse(NOT_SENT, [f"{file} {what}; {RIGHT_TOKEN}"])
    return token


def _message_of(response: httpx.Response) -> str:
    """Return what a response says is wrong."""
    try:
        message: str = response.json()["errors"][0]["message"]
    except (ValueError, LookupError, TypeError):
        return "this is not the admin port of a gateway"
    return message
