"""The commands about the public schema."""

import shlex
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import TypeVar

import click
from graphql import GraphQLSyntaxError

from app.cli.base import EXIT_WRONG, UNUSABLE, config_option, refuse, unread_file
from app.errors import ConfigurationError
from app.execution.schema import build_schema
from app.execution.source_fit import completed, definition_in, misfits_in
from app.schema.default import DEFAULT_SCHEMA
from app.schema.definitions import SchemaDefinition
from app.schema.export import Drift, client_text, compare
from app.settings.environment import read
from app.settings.nested import Keys

Command = TypeVar("Command", bound=Callable[..., None])


class SchemaForm(Enum):
    """A form of the schema. Each value is the option that chooses it."""

    WHOLE = ""
    UNSECURED = "--no-security-directives"
    CLIENT = "--client"

    def text(self, definition: SchemaDefinition) -> str:
        """Write a schema in this form.

        Args:
            definition: The schema.

        Returns:
            The text in GraphQL's schema definition language.
        """
        schema = build_schema(definition, security_directives=self is not SchemaForm.UNSECURED)
        return client_text(schema.core) if self is SchemaForm.CLIENT else schema.as_str()


def form_options(command: Command) -> Command:
    """Add the options that choose a form to a command.

    Args:
        command: The command. It gets the form as its parameter ``form``; ``None`` without an
            option.

    Returns:
        The same command, with the options.
    """
    options = (
        click.option(
            SchemaForm.CLIENT.value,
            "form",
            flag_value=SchemaForm.CLIENT,
            help="The form for tools of clients, such as code generators: without the parts of"
            " Apollo Federation, which such tools reject.",
        ),
        click.option(
            SchemaForm.UNSECURED.value,
            "form",
            flag_value=SchemaForm.UNSECURED,
            help="The form for routers that do not support @authenticated and @requiresScopes,"
            " such as Apollo's JavaScript gateway.",
        ),
    )
    for option in options:
        command = option(command)
    return command


@click.group()
def schema() -> None:
    """Print the public schema, or compare it with its exported text."""


@schema.command("print")
@form_options
@config_option
def schema_print(form: SchemaForm | None, config: Path | None) -> None:
    """Print the schema in GraphQL's schema definition language.

    By default it is the whole schema, for federation routers. It is the schema of the configuration
    file, if there is one, else the default one. The options choose the form;
    GATEWAY_SECURITY_DIRECTIVES applies to a running gateway.
    """
    click.echo((form or SchemaForm.WHOLE).text(_definition(config)))


@schema.command("check")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--against", type=click.Path(path_type=Path), help="The same as FILE.")
@form_options
@config_option
def schema_check(
    file: Path | None, against: Path | None, form: SchemaForm | None, config: Path | None
) -> None:
    """Compare FILE (schema.graphql by default) with the schema.

    It is the schema of the configuration file, if there is one, else the default one. Exits with 1
    if they differ, and lists the changes that would break clients. If the file was printed with an
    option, use the same option here.
    """
    if file is not None and against is not None:
        raise click.BadParameter("expected FILE or --against, not both", param_hint="--against")
    file = file or against or Path("schema.graphql")
    form, definition = form or SchemaForm.WHOLE, _definition(config)
    try:
        exported = file.read_text(encoding="utf-8").rstrip("\n")
        drift = compare(exported, form.text(definition).rstrip("\n"), name=str(file))
    except (OSError, UnicodeDecodeError) as error:
        absent = isinstance(error, FileNotFoundError)
        hints = [f"to write it: {_command('print', form, config, f'> {file}')}"] if absent else []
        refuse(f"{file} cannot be read:", [unread_file(error), *hints])
    except (GraphQLSyntaxError, TypeError) as error:  # TypeError: a type is not defined
        refuse(f"{file} is not a schema:", [str(error)])
    if not drift.diff:
        click.echo(f"{file} is the schema of {'the code' if config is None else config}.")
        return
    for other in SchemaForm:
        if exported == other.text(definition).rstrip("\n"):
            command = _command("check", other, config, f"{file}")
            refuse(f"{file} is in another form:", [f"expected {command}"], exit_code=EXIT_WRONG)
    _explain(drift, _command("print", form, config, f"> {file}"))
    sys.exit(EXIT_WRONG)


def _definition(config: Path | None) -> SchemaDefinition:
    """Return the schema of the settings; if it is wrong, print the mistakes and exit.

    Addresses and secrets may be missing: a schema is also checked where these are not known.
    """
    found: list[SchemaDefinition | None] = []

    def check(values: object) -> Iterator[tuple[Keys, str | None]]:
        found.append(definition_in(values))
        return misfits_in(values)

    try:
        read(check=check, complete=completed, config=config)
    except ConfigurationError as error:
        if not found or found[0] is None or error.unreadable:
            refuse(UNUSABLE, error.mistakes)
    definition = found[0]
    return DEFAULT_SCHEMA if definition is None else definition


def _explain(drift: Drift, accepting: str) -> None:
    """Print how the schema differs from the file, the effect on clients, and how to accept it."""
    click.echo(drift.diff)
    if drift.breaking:
        click.echo("Would break clients:")
        click.echo("\n".join(f"  - {change}" for change in drift.breaking))
    else:
        click.echo("No change would break a client.")
    if drift.dangerous:
        click.echo("May surprise clients:")
        click.echo("\n".join(f"  - {change}" for change in drift.dangerous))
    click.echo(f"To accept the changes: {accepting}")


def _command(name: str, form: SchemaForm, config: Path | None, rest: str) -> str:
    """Write a command of this group."""
    settings = "" if config is None else shlex.join(("--config", str(config)))
    return " ".join(filter(None, ("user-gateway schema", name, form.value, settings, rest)))
