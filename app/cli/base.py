"""What all commands share: an option, exit codes, refusals, and placeholder settings of sources."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import click

from app.settings.models import SourcesSettings
from app.settings.source import SourceSettings
from app.settings.variables import CONFIG

UNUSABLE = "The settings cannot be used:"

EXIT_WRONG = 1
"""What was looked at is wrong."""

EXIT_MISUSE = 2
"""The command could not look: wrong options, settings, files."""

Port = click.IntRange(0, 65_535)

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help=f"Configuration file, in TOML.  [{CONFIG.name}]",
)


def refuse(headline: str, mistakes: Sequence[str], *, exit_code: int = EXIT_MISUSE) -> NoReturn:
    """Say why a command cannot run, one line a mistake, and end.

    Args:
        headline: What cannot be done.
        mistakes: Why.
        exit_code: The exit code.
    """
    click.echo(headline, err=True)
    for mistake in mistakes:
        click.echo(f"  - {mistake}", err=True)
    sys.exit(exit_code)


UNSERVED = "http://127.0.0.1:9"
"""An address where nothing answers: the discard port."""


def sources_at(addresses: Mapping[str, str]) -> SourcesSettings:
    """Make the settings of the sources.

    Args:
        addresses: Base URLs by name; where one has none, nothing answers.

    Returns:
        Their settings, all else by default.
    """
    return SourcesSettings.model_validate(
        {
            name: SourceSettings(base_url=addresses.get(name, UNSERVED))
            for name in SourcesSettings.model_fields
        }
    )
