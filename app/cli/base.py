"""What all commands have in common: an option, exit codes, a way to say no."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from app.configuration.variables import CONFIG

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
