"""Shared by all commands: an option, exit codes, error messages, and placeholder settings."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import click

from app.settings.models import DEFAULT_SOURCES
from app.settings.source import SourceSettings
from app.settings.variables import CONFIG

UNUSABLE = "The settings cannot be used:"

UNFIT = "The gateway does not start, because of an installed library:"

EXIT_WRONG = 1
"""The command ran, and found a mistake in its subject: a document, a schema, a source."""

EXIT_MISUSE = 2
"""The command could not run, because options, settings, files or libraries are wrong."""

Port = click.IntRange(0, 65_535)

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help=f"Configuration file, in TOML.  [{CONFIG.name}]",
)


def refuse(headline: str, mistakes: Sequence[str], *, exit_code: int = EXIT_MISUSE) -> NoReturn:
    """Print why a command fails, with one line for each mistake, and exit.

    Args:
        headline: What failed.
        mistakes: The reasons.
        exit_code: The exit code of the process.

    Raises:
        SystemExit: Always, with the exit code.
    """
    click.echo(headline, err=True)
    for mistake in mistakes:
        click.echo(f"  - {mistake}", err=True)
    sys.exit(exit_code)


UNSERVED = "http://127.0.0.1:9"
"""An address at which no service listens: the discard port (RFC 863)."""


def sources_at(addresses: Mapping[str, str]) -> Mapping[str, SourceSettings]:
    """Make the settings of the default sources.

    Args:
        addresses: Base URLs by the name of the source. A source that is missing here gets an
            address at which no service listens.

    Returns:
        The settings of these sources, with defaults except for the addresses.
    """
    return {
        name: SourceSettings(base_url=addresses.get(name, UNSERVED)) for name in DEFAULT_SOURCES
    }
