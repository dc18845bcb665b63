"""The commands about the public schema."""

import sys
from pathlib import Path

import click
from graphql import GraphQLSyntaxError

from app.cli.base import EXIT_WRONG, refuse
from app.graphql.drift import Drift, compare
from app.graphql.schema import build_schema


@click.group()
def schema() -> None:
    """Print the public schema, or compare it with its exported text."""


@schema.command("print")
def schema_print() -> None:
    """Print the schema as GraphQL's schema definition language."""
    click.echo(build_schema().as_str())


@schema.command("check")
@click.argument("file", type=click.Path(path_type=Path), default=Path("schema.graphql"))
def schema_check(file: Path) -> None:
    """Compare FILE (schema.graphql by default) with the schema of the code.

    Exits with 1 when they differ, and says which of the changes would break clients.
    """
    try:
        exported = file.read_text(encoding="utf-8").rstrip("\n")
        drift = compare(exported, build_schema().as_str().rstrip("\n"), name=str(file))
    except (OSError, UnicodeDecodeError) as error:
        refuse(f"{file} cannot be read:", [str(error)])
    except (GraphQLSyntaxError, TypeError) as error:  # TypeError: of a type that is not there
        refuse(f"{file} is not a schema:", [str(error)])
    if not drift.diff:
        click.echo(f"{file} is the schema of the code.")
        return
    _explain(drift, file)
    sys.exit(EXIT_WRONG)


def _explain(drift: Drift, file: Path) -> None:
    """Say how the code's schema differs from the exported one, and what that does to clients."""
    click.echo(drift.diff)
    if drift.breaking:
        click.echo("Would break clients:")
        click.echo("\n".join(f"  - {change}" for change in drift.breaking))
    else:
        click.echo("No change would break a client.")
    if drift.dangerous:
        click.echo("May surprise clients:")
        click.echo("\n".join(f"  - {change}" for change in drift.dangerous))
    click.echo(f"If that is what you want: user-gateway schema print > {file}")
