"""The commands about the settings in effect and the file that they may be in."""

import json
from pathlib import Path

import click

from app.cli.base import UNUSABLE, config_option, refuse
from app.configuration.overview import overview
from app.configuration.schema import file_schema
from app.environment import read
from app.errors import ConfigurationError
from app.settings import Settings


@click.group()
def config() -> None:
    """Show the settings in effect, or what a configuration file may hold."""


@config.command("show")
@click.option("--all", "everything", is_flag=True, help="Show what has its default, too.")
@config_option
def config_show(config: Path | None, *, everything: bool) -> None:
    """Print the settings in effect and where each is from; secrets are hidden.

    That is a line of the configuration file, a variable, or the default. Exits with 2 when the
    settings cannot be used, and says why, as serve does.
    """
    try:
        click.echo(overview(read(config=config), everything=everything))
    except ConfigurationError as error:
        refuse(UNUSABLE, error.mistakes)


@config.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration file.

    An editor that knows TOML (Taplo, Even Better TOML) completes and checks the file by it, where
    the file begins with: #:schema gateway.schema.json
    """
    click.echo(json.dumps(file_schema(Settings), indent=2, ensure_ascii=False))
