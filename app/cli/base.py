"""Shared by all commands: reading of options, exit codes, error messages."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
from pydantic import TypeAdapter, ValidationError

from app.errors import ConfigurationError
from app.settings.variables import CONFIG, ENV_FILE, read_environment

UNUSABLE = "The settings cannot be used:"

UNFIT = "The gateway does not start, because of an installed library:"

USUAL_FILE = "gateway.toml"
"""The name of the configuration file that `init` writes by default."""

EXIT_WRONG = 1
"""The command ran, and found a mistake in its subject: a document, a schema, a source."""

EXIT_MISUSE = 2
"""The command could not run, because options, settings, files or libraries are wrong."""

Port = click.IntRange(0, 65_535)

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),  # whoever reads it says why that fails
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


def refuse_settings(error: ConfigurationError, config: Path | None) -> NoReturn:
    """Print the mistakes in settings, and exit. If no file was named, say how to name one.

    Args:
        error: The mistakes.
        config: The configuration file that an option names, if any.

    Raises:
        SystemExit: Always, with the exit code.
    """
    refuse(UNUSABLE, [*error.mistakes, *hint_without_file(error, config)])


def hint_without_file(error: ConfigurationError, config: Path | None) -> Sequence[str]:
    """Say how to name a configuration file, if none was read.

    Args:
        error: What is wrong with the settings. If the file ``.env`` is unreadable, it may name one.
        config: The configuration file that an option names, if any.

    Returns:
        One sentence; none if a file was named.
    """
    if (
        config is not None
        or error.unreadable
        or CONFIG.name in read_environment(ENV_FILE).variables
    ):
        return ()
    hint = f"no configuration file was read: --config or {CONFIG.name} names one"
    if Path(USUAL_FILE).is_file():
        return (f"{hint}, such as the one in this folder: --config {USUAL_FILE}",)
    return (f"{hint}, and `user-gateway init` writes one",)


def unread_file(error: OSError | UnicodeDecodeError) -> str:
    """Say why a file cannot be read, without the number of the error.

    Args:
        error: The error.

    Returns:
        The file and the reason.
    """
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8: {error.reason} at byte {error.start:,}"
    return f"{error.filename or 'standard input'}: {error.strerror or error}"


def document_text(document: str) -> str:
    """Read a GraphQL document from an argument.

    Args:
        document: The text itself; `@FILE` for a file, or `-` for standard input.

    Returns:
        The text.

    Raises:
        SystemExit: The file or the input cannot be read, or is not UTF-8.
    """
    try:
        if document == "-":
            return sys.stdin.buffer.read().decode("utf-8")
        if document.startswith("@"):
            return Path(document[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        refuse("The document cannot be read:", [unread_file(error)])
    return document


def variable_values(text: str | None) -> dict[str, Any] | None:
    """Read the values of an operation's variables from an option.

    Args:
        text: A JSON object; ``None`` without the option.

    Returns:
        The values by name.

    Raises:
        click.BadParameter: The text is not a JSON object.
    """
    try:
        return None if text is None else TypeAdapter(dict[str, Any]).validate_json(text)
    except ValidationError as error:
        raise click.BadParameter(
            """expected a JSON object such as '{"id": "…"}'""", param_hint="--variables"
        ) from error


def header_pairs(headers: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Split headers of options into names and values.

    Args:
        headers: Headers as `NAME:VALUE`.

    Returns:
        Names and values, without white space around them.

    Raises:
        click.BadParameter: A header has no name, or is not printable ASCII.
    """
    pairs: list[tuple[str, str]] = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip() or not header.isascii() or not header.isprintable():
            raise click.BadParameter("expected NAME:VALUE in ASCII", param_hint="--header")
        pairs.append((name.strip(), value.strip()))
    return pairs
